//! Gives up rights of the calling thread, and of no other: by bare system calls, as the C library's functions
//! change all threads of a process.

use std::ffi::{c_int, c_long};

use crate::system::rights::{
    AMBIENT, BOUNDING, EFFECTIVE, INHERITABLE, PERMITTED, Rights, further_groups,
};

/// From which rights, to which.
pub struct Change<'a> {
    /// The rights that the calling thread has.
    pub from: &'a Rights,
    /// The rights that it is to have. It gets none that it has not.
    pub to: &'a Rights,
}

/// The most further groups that are taken over.
const MOST_GROUPS: usize = 1024;

impl Change<'_> {
    /// Makes it, as far as the kernel allows. `status` is the status of a thread with the rights to have.
    pub fn make(&self, status: &[u8]) {
        let (from, to) = (self.from, self.to);
        if from.further_groups != to.further_groups {
            let mut groups = [0; MOST_GROUPS];
            let mut count = 0;
            for (place, group) in groups.iter_mut().zip(further_groups(status)) {
                *place = group;
                count += 1;
            }
            let address = groups.as_ptr() as usize;
            call(libc::SYS_setgroups, [count, address, 0, 0, 0]);
        }
        // The bounding set first: what comes later may take the right to change it.
        for capability in 0..64 {
            let only = |rights: &Rights| rights.capabilities[BOUNDING] >> capability & 1;
            if only(from) > only(to) {
                control(libc::PR_CAPBSET_DROP, capability);
            }
        }
        if from.groups != to.groups {
            let [real, effective, saved, files] = to.groups.map(|id| id as usize);
            call(libc::SYS_setresgid, [real, effective, saved, 0, 0]);
            call(libc::SYS_setfsgid, [files, 0, 0, 0, 0]);
        }
        if from.users != to.users {
            let [real, effective, saved, files] = to.users.map(|id| id as usize);
            call(libc::SYS_setresuid, [real, effective, saved, 0, 0]);
            call(libc::SYS_setfsuid, [files, 0, 0, 0, 0]);
        }
        if from.capabilities[AMBIENT] & !to.capabilities[AMBIENT] != 0 {
            const CLEAR_ALL: usize = 4;
            control(libc::PR_CAP_AMBIENT, CLEAR_ALL);
        }
        let both = |which: usize| from.capabilities[which] & to.capabilities[which];
        set_capabilities(both(EFFECTIVE), both(PERMITTED), both(INHERITABLE));
        if to.no_new_privileges {
            control(libc::PR_SET_NO_NEW_PRIVS, 1);
        }
    }
}

/// Gives up the capabilities that a thread of this process lacks. It needs no `/proc`.
pub fn give_up_capabilities_that_lacks(thread: c_int) {
    if let (Some(own), Some(its)) = (capabilities_of(0), capabilities_of(thread)) {
        let [effective, permitted, inheritable] = [0, 1, 2].map(|which| own[which] & its[which]);
        if [effective, permitted, inheritable] != own {
            set_capabilities(effective, permitted, inheritable);
        }
    }
}

/// Gives up all capabilities, and every right to get one.
pub fn give_up_all() {
    set_capabilities(0, 0, 0);
    control(libc::PR_SET_NO_NEW_PRIVS, 1);
}

/// The third version of the structures of capset(2) and capget(2) (include/uapi/linux/capability.h).
const VERSION_3: u32 = 0x2008_0522;

/// A thread's capabilities, effective, permitted and inheritable ones; 0 is the calling thread.
fn capabilities_of(thread: c_int) -> Option<[u64; 3]> {
    let header = [VERSION_3, thread as u32];
    let mut data = [[0_u32; 3]; 2];
    // SAFETY: the kernel reads the header and writes the data, both locals of the sizes that this version has.
    let result = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) };
    let [low, high] = data;
    (result == 0)
        .then(|| [0, 1, 2].map(|which| u64::from(high[which]) << 32 | u64::from(low[which])))
}

/// capset(2).
fn set_capabilities(effective: u64, permitted: u64, inheritable: u64) {
    let header = [VERSION_3, 0];
    let half = |part: u32| {
        let of = |set: u64| (set >> (32 * part)) as u32;
        [of(effective), of(permitted), of(inheritable)]
    };
    let data = [half(0), half(1)];
    let (header, data) = (header.as_ptr() as usize, data.as_ptr() as usize);
    call(libc::SYS_capset, [header, data, 0, 0, 0]);
}

fn control(operation: c_int, value: usize) {
    call(libc::SYS_prctl, [operation as usize, value, 0, 0, 0]);
}

fn call(number: c_long, [a, b, c, d, e]: [usize; 5]) {
    // SAFETY: each of these calls changes the calling thread's rights alone, and reads at most the arrays whose
    // addresses the callers pass, which are locals that outlive the call.
    unsafe { libc::syscall(number, a, b, c, d, e) };
}
