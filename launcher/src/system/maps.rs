//! `/proc/PID/maps`: which files are mapped into a process, and where.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::system::process::Process;

/// Looks into a file that is mapped into a process. The process may live in another mount namespace, and
/// the file may have been replaced since: the kernel still shows root the mapped file.
pub fn in_file<T>(
    process: Process,
    file: &MappedFile,
    mut look: impl FnMut(&Path) -> io::Result<T>,
) -> io::Result<T> {
    // The process chooses the names: to open the file must neither block nor have an effect.
    let mut look = |path: &Path| match std::fs::metadata(path) {
        Ok(data) if data.is_file() => look(path),
        Ok(_) => Err(io::Error::other("it is no regular file")),
        Err(error) => Err(error),
    };
    let mapped = process.path(&format!("map_files/{:x}-{:x}", file.start, file.end));
    if file.deleted {
        return look(&mapped);
    }
    let named = process
        .path("root")
        .join(file.path.strip_prefix("/").unwrap_or(Path::new("")));
    look(&mapped).or_else(|_| look(&named))
}

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
}

/// The files in the text of `/proc/PID/maps`, in its order, each once.
pub fn mapped_files(text: &[u8]) -> Vec<MappedFile> {
    let mut files: Vec<MappedFile> = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let Some(file) = mapped_from_start(line) else {
            continue;
        };
        if !files.iter().any(|known| known.path == file.path) {
            files.push(file);
        }
    }
    files
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
    if offset != 0 {
        return None;
    }
    let name = &line[path_at..];
    let kept = name.strip_suffix(b" (deleted)");
    Some(MappedFile {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        path: PathBuf::from(OsString::from_vec(unescape(kept.unwrap_or(name)))),
        deleted: kept.is_some(),
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
    }

    #[test]
    fn an_empty_map_names_none() {
        assert!(mapped_files(b"").is_empty());
    }
}
