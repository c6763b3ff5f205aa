//! What a thread may do, as the kernel shows it: users, groups, capabilities, filters of system calls.

use std::ffi::CStr;

use crate::system::hash;
use crate::system::proc_file;

/// A thread's rights, from `/proc/PID/task/TID/status` (proc_pid_status(5)).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Real, effective and saved user, and the user for file systems.
    pub users: [u32; 4],
    /// The same of the group.
    pub groups: [u32; 4],
    /// A hash of the list of further groups.
    pub further_groups: u64,
    /// Capabilities: inheritable, permitted, effective, bounding, ambient.
    pub capabilities: [u64; 5],
    /// Whether `PR_SET_NO_NEW_PRIVS` is set.
    pub no_new_privileges: bool,
    /// 0: no filter of system calls; 1: strict mode; 2: filters.
    pub seccomp: u32,
    /// How much of the process is resident, in bytes.
    pub resident: u64,
    /// How many filters. The kernel shows it since Linux 5.9; before, this is the same as `seccomp`.
    pub filters: u32,
}

/// Names of the lines with capabilities, in the order of [`Rights::capabilities`].
const CAPABILITIES: [&[u8]; 5] = [b"CapInh:", b"CapPrm:", b"CapEff:", b"CapBnd:", b"CapAmb:"];

/// Where capabilities stand in [`Rights::capabilities`].
pub const INHERITABLE: usize = 0;
/// See [`INHERITABLE`].
pub const PERMITTED: usize = 1;
/// See [`INHERITABLE`].
pub const EFFECTIVE: usize = 2;
/// See [`INHERITABLE`].
pub const BOUNDING: usize = 3;
/// See [`INHERITABLE`].
pub const AMBIENT: usize = 4;

/// A thread's status, as text. A status with more groups than fit is not read.
pub type Text = [u8; 4096];

impl Rights {
    /// The rights of the thread with this status; `None` without `/proc`. The text stays in `buffer`.
    ///
    /// Any thread: a descriptor is open for the time of one read.
    pub fn of(status: &CStr, buffer: &mut Text) -> Option<Rights> {
        Rights::parse(proc_file::read(status, buffer)?)
    }

    /// Reads the text of a status; `None` if it is cut.
    pub fn parse(text: &[u8]) -> Option<Rights> {
        let value = |name| proc_file::value(text, name);
        let four = |name| -> Option<[u32; 4]> {
            let mut numbers = words(value(name)?).map(|word| number(word, 10));
            let mut next = || numbers.next()?.map(|number| number as u32);
            Some([next()?, next()?, next()?, next()?])
        };
        let single = |name, base| number(words(value(name)?).next()?, base);
        let mut capabilities = [0; 5];
        for (place, name) in capabilities.iter_mut().zip(CAPABILITIES) {
            // There are no ambient ones before Linux 4.3.
            *place = single(name, 16).or((name == b"CapAmb:").then_some(0))?;
        }
        let seccomp = single(b"Seccomp:", 10).unwrap_or(0) as u32;
        Some(Rights {
            users: four(b"Uid:")?,
            groups: four(b"Gid:")?,
            further_groups: hash::of(value(b"Groups:")?.trim_ascii()),
            capabilities,
            no_new_privileges: single(b"NoNewPrivs:", 10) == Some(1),
            resident: single(b"VmRSS:", 10).unwrap_or(0) * 1024,
            seccomp,
            filters: single(b"Seccomp_filters:", 10).map_or(seccomp, |count| count as u32),
        })
    }

    /// Whether a thread with these rights can do nothing that one with `other` cannot.
    pub fn is_within(&self, other: &Rights) -> bool {
        let pairs = self.capabilities.iter().zip(&other.capabilities);
        (self.users, self.groups) == (other.users, other.groups)
            && self.further_groups == other.further_groups
            && pairs.fold(true, |within, (own, its)| within && own & !its == 0)
            && self.no_new_privileges >= other.no_new_privileges
            && self.has_filters_of(other)
    }

    /// The filters alone.
    pub fn as_filters(&self) -> Filters {
        Filters {
            count: self.filters,
            resident: self.resident,
        }
    }

    /// Whether both threads are under the same filters, as far as the kernel shows it.
    pub fn has_filters_of(&self, other: &Rights) -> bool {
        (self.seccomp, self.filters) == (other.seccomp, other.filters)
    }
}

/// The filters of a thread, and how much of its process is resident.
#[derive(Clone, Copy, Default)]
pub struct Filters {
    /// How many filters there are: see [`Rights::filters`].
    pub count: u32,
    /// `VmRSS`, in bytes.
    pub resident: u64,
}

impl Filters {
    /// Reads the text of a status.
    pub fn parse(text: &[u8]) -> Filters {
        let value = |name: &[u8]| number(words(proc_file::value(text, name)?).next()?, 10);
        let count = value(b"Seccomp_filters:").or_else(|| value(b"Seccomp:"));
        Filters {
            count: count.unwrap_or(0) as u32,
            resident: value(b"VmRSS:").unwrap_or(0) * 1024,
        }
    }
}

/// The further groups in the text of a status.
pub fn further_groups(status: &[u8]) -> impl Iterator<Item = u32> {
    let value = proc_file::value(status, b"Groups:");
    words(value.unwrap_or_default()).filter_map(|word| number(word, 10).map(|it| it as u32))
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = text.split(|byte| byte.is_ascii_whitespace());
    words.filter(|word| !word.is_empty())
}

fn number(word: &[u8], base: u32) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(word).ok()?, base).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &[u8] = b"Name:\tx\nUid:\t0\t1000\t0\t1000\nGid:\t1\t2\t3\t4\nGroups:\t4 24 \n\
        CapInh:\t0000000000000000\nCapPrm:\t00000000000000ff\nCapEff:\t0000000000000081\n\
        CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n\
        Seccomp_filters:\t3\n";

    #[test]
    fn reads_a_status() {
        let rights = Rights::parse(STATUS).expect("a whole status");
        assert_eq!(rights.users, [0, 1000, 0, 1000]);
        assert_eq!(rights.capabilities, [0, 0xff, 0x81, 0x1ff_ffff_ffff, 0]);
        assert!(rights.no_new_privileges && (rights.seccomp, rights.filters) == (2, 3));
        assert_eq!(further_groups(STATUS).collect::<Vec<_>>(), [4, 24]);
        assert!(Rights::parse(&STATUS[..120]).is_none());
        let mut buffer = [0; size_of::<Text>()];
        assert!(Rights::of(c"/proc/self/status", &mut buffer).is_some());
    }

    #[test]
    fn compares_rights() {
        let all = Rights::parse(STATUS).expect("a whole status");
        let mut fewer = all;
        fewer.capabilities[PERMITTED] = 1;
        assert!(fewer.is_within(&all) && !all.is_within(&fewer));
        let mut other = all;
        other.users[2] = 1;
        assert!(!other.is_within(&all));
        other = Rights { filters: 2, ..all };
        assert!(!other.is_within(&all));
        other = Rights {
            no_new_privileges: false,
            ..all
        };
        assert!(!other.is_within(&all) && all.is_within(&other));
    }
}
