//! `/proc/PID/maps`: which files are mapped into a process, and where.
//!
//! A process may have as many mappings as `vm.max_map_count` allows, 65,530 or more, each of a file whose
//! path has 4 KB. So the text is read line by line, and to a limit.

use std::collections::HashSet;
use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::system::proc_file;
use crate::system::process::Process;

/// The most bytes of text that are read for one process: 65,530 lines with paths of 400 bytes.
pub const MOST_TEXT: usize = 32 << 20;

/// The most bytes of file names that are kept for one process. (A large program maps some hundred files, whose
/// names have 50 KB.)
const MOST_NAMES: usize = 1 << 20;

/// A file that is mapped from its first byte on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedFile {
    /// The address of its first byte.
    pub start: u64,
    /// The end of that first mapping.
    pub end: u64,
    /// Its path, as the process itself sees it.
    pub path: PathBuf,
    /// Whether the file has been removed or replaced since.
    pub deleted: bool,
    /// Its device, major and minor number, by the kernel's own count: for some file systems stat(2) has
    /// another.
    pub device: (u32, u32),
    /// Its inode.
    pub inode: u64,
}

/// The files that are mapped into a process, in the order of their addresses, each once, and how many bytes
/// of text were read. If there are very many, those that `matter` by their names are kept longer than others.
///
/// # Errors
/// PermissionDenied if we may not look into this process; NotFound if there is none.
pub fn of(
    process: Process,
    most_text: usize,
    matters: impl Fn(&MappedFile) -> bool,
) -> io::Result<(Vec<MappedFile>, usize)> {
    let mut files = Files::default();
    let total = proc_file::lines(process.path("maps"), most_text, |line| {
        files.add(line, &matters);
    })?;
    Ok((files.files, total))
}

/// A mapping of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The address of its first byte.
    pub start: u64,
    /// The address behind its last byte.
    pub end: u64,
    /// Whether it may be read.
    pub read: bool,
    /// Whether it may be written to.
    pub write: bool,
    /// Whether it holds code.
    pub execute: bool,
    /// Where in the file it begins.
    pub offset: u64,
    /// What is mapped: a path, `[stack]` and the like, or nothing.
    pub name: String,
}

/// All mappings of a process, in the order of their addresses.
///
/// # Errors
/// As [`of`]; FileTooLarge if the text is longer than [`MOST_TEXT`].
pub fn regions(process: Process) -> io::Result<Vec<Region>> {
    let mut regions = Vec::new();
    let read = proc_file::lines(process.path("maps"), MOST_TEXT, |line| {
        regions.extend(region(line));
    })?;
    match read < MOST_TEXT {
        true => Ok(regions),
        false => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

/// The mapping that an address lies in.
pub fn region_at(regions: &[Region], address: u64) -> Option<&Region> {
    regions
        .iter()
        .find(|one| (one.start..one.end).contains(&address))
}

fn region(line: &[u8]) -> Option<Region> {
    let line = String::from_utf8_lossy(line);
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let rights = fields.next()?.as_bytes();
    let may = |at: usize, letter: u8| rights.get(at) == Some(&letter);
    Some(Region {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        read: may(0, b'r'),
        write: may(1, b'w'),
        execute: may(2, b'x'),
        offset: u64::from_str_radix(fields.next()?, 16).ok()?,
        name: fields.nth(2).unwrap_or_default().trim_start().to_owned(),
    })
}

/// Whether nothing is mapped into a process: it is ending, as it gives its memory back first.
pub fn is_empty(process: Process) -> bool {
    proc_file::read(process.path("maps"), 1).is_ok_and(|maps| maps.bytes.is_empty())
}

/// Whether we may see what is mapped into a process.
pub fn is_open(process: Process) -> bool {
    proc_file::read(process.path("maps"), 1).is_ok()
}

/// The files in the text of `/proc/PID/maps`, in its order, each once.
pub fn mapped_files(text: &[u8]) -> Vec<MappedFile> {
    let mut files = Files::default();
    for line in text.split(|byte| *byte == b'\n') {
        files.add(line, |_| false);
    }
    files.files
}

#[derive(Default)]
struct Files {
    files: Vec<MappedFile>,
    /// The hashes of their paths: two that are equal are not to be expected, and cannot be made, as the hash has
    /// a random key.
    known: HashSet<u64>,
    hash: RandomState,
    names: usize,
}

impl Files {
    fn add(&mut self, line: &[u8], matters: impl Fn(&MappedFile) -> bool) {
        let Some(file) = mapped_from_start(line) else {
            return;
        };
        let names = self.names + file.path.as_os_str().len();
        if names > MOST_NAMES && (names > 2 * MOST_NAMES || !matters(&file)) {
            return;
        }
        if self.known.insert(self.hash.hash_one(&file.path)) {
            self.names = names;
            self.files.push(file);
        }
    }
}

/// One line: `7f8c1b400000-7f8c1b401000 r--p 00000000 fe:00 10010699    /tmp/lib.so`.
fn mapped_from_start(line: &[u8]) -> Option<MappedFile> {
    let path_at = line.iter().position(|byte| *byte == b'/')?;
    let mut fields = std::str::from_utf8(&line[..path_at])
        .ok()?
        .split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let _permissions = fields.next()?;
    let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
    let (major, minor) = fields.next()?.split_once(':')?;
    let inode = fields.next()?.parse().ok()?;
    // What has a `/` behind other text is no path but a name that the process has given to memory
    // (PR_SET_VMA_ANON_NAME, prctl(2)).
    if offset != 0 || fields.next().is_some() {
        return None;
    }
    let name = &line[path_at..];
    let kept = name.strip_suffix(b" (deleted)");
    Some(MappedFile {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        path: PathBuf::from(OsString::from_vec(unescape(kept.unwrap_or(name)))),
        deleted: kept.is_some(),
        device: (
            u32::from_str_radix(major, 16).ok()?,
            u32::from_str_radix(minor, 16).ok()?,
        ),
        inode,
    })
}

/// The kernel escapes newlines in file names, as `\012`, and nothing else.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"\\012") {
            plain.push(b'\n');
            rest = after;
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    const MAPS: &[u8] = b"\
55d0c0000000-55d0c0001000 r--p 00000000 fe:00 123                        /usr/bin/python2.7
55d0c0001000-55d0c0002000 r-xp 00001000 fe:00 123                        /usr/bin/python2.7
7f0000000000-7f0000001000 rw-p 00000000 00:00 0
7f8c1b400000-7f8c1b401000 r--p 00000000 fe:00 1001                       /opt/my app/libsleeper.so
7f8c1b401000-7f8c1b402000 r-xp 00001000 fe:00 1001                       /opt/my app/libsleeper.so
7f8c1b500000-7f8c1b501000 r--p 00000000 fe:00 1002                       /opt/a\\012b.so (deleted)
7f8c1b600000-7f8c1b601000 rw-p 00000000 00:00 0                          [anon:/opt/libsleeper.so]
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
broken
";

    #[test]
    fn names_each_file_once_where_it_begins() {
        let files = mapped_files(MAPS);
        let paths: Vec<_> = files.iter().map(|file| file.path.to_str()).collect();
        assert_eq!(
            paths,
            [
                Some("/usr/bin/python2.7"),
                Some("/opt/my app/libsleeper.so"),
                Some("/opt/a\nb.so")
            ]
        );
        assert_eq!(files[1].start, 0x7f8c_1b40_0000);
        assert_eq!(files[1].end, 0x7f8c_1b40_1000);
        assert!(!files[1].deleted);
        assert!(files[2].deleted);
        assert_eq!((files[2].device, files[2].inode), ((0xfe, 0), 1002));
    }

    #[test]
    fn many_names_are_kept_to_a_limit() {
        let mut files = Files::default();
        let mut add = |number: usize, name: &str| {
            let line = format!("1000-2000 r--p 00000000 fe:00 7 /{number:0200}/{name}");
            files.add(line.as_bytes(), |file| file.path.ends_with("matters"));
        };
        (0..10_000).for_each(|number| add(number, "other"));
        (0..10_000).for_each(|number| add(number, "matters"));
        let kept = |name: &str| {
            let files = files.files.iter();
            files.filter(|one| one.path.ends_with(name)).count()
        };
        let limit = MOST_NAMES / 200;
        assert!((limit * 9 / 10..limit).contains(&kept("other")));
        assert!((limit * 9 / 10..limit).contains(&kept("matters")));
    }

    #[test]
    fn regions_have_rights_and_names() {
        let regions: Vec<Region> = MAPS
            .split(|byte| *byte == b'\n')
            .filter_map(region)
            .collect();
        assert_eq!(regions.len(), 8);
        assert!(regions[1].execute && regions[1].read && !regions[1].write);
        assert_eq!((regions[0].offset, regions[1].offset), (0, 0x1000));
        assert_eq!((regions[2].name.as_str(), regions[2].write), ("", true));
        assert_eq!(regions[3].name, "/opt/my app/libsleeper.so");
        assert_eq!(regions[7].name, "[stack]");
        assert_eq!(regions[7].end, 0x7ffc_0002_1000);
    }

    #[test]
    fn an_empty_map_names_none() {
        assert!(mapped_files(b"").is_empty());
    }
}
