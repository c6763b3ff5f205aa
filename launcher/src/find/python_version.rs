//! The version of the Python in a process, read from the files that are mapped into it.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::system::elf;
use crate::system::maps::{self, MappedFile, in_file};
use crate::system::process::Process;

/// The most bytes to read of a file: no interpreter is larger.
const LARGEST: u64 = 64 << 20;

/// Looks versions up, and keeps them by file: many processes run the same one.
#[derive(Default)]
pub struct Versions {
    /// By device and inode.
    known: HashMap<(u64, u64), Option<String>>,
}

impl Versions {
    /// The version of the CPython 2.6 or 2.7 in a process, as far as it is known, such as `2.7.18` or
    /// `2.7`; `None` if there is no such Python, or if we may not read its files.
    pub fn of(&mut self, process: Process) -> Option<String> {
        let text = fs::read(process.path("maps")).ok()?;
        let files = maps::mapped_files(&text);
        // The program itself usually comes first, as it is mapped lowest.
        let program = fs::read_link(process.path("exe")).unwrap_or_default();
        let may_be = |file: &&MappedFile| file.path == program || names_python(&file.path);
        files
            .iter()
            .filter(may_be)
            .find_map(|file| self.of_file(process, file))
    }

    fn of_file(&mut self, process: Process, file: &MappedFile) -> Option<String> {
        let found = in_file(process, file, |path| {
            let data = fs::metadata(path)?;
            let key = (data.dev(), data.ino());
            if let Some(known) = self.known.get(&key) {
                return Ok(known.clone());
            }
            let version = read_version(path, &file.path)?;
            self.known.insert(key, version.clone());
            Ok(version)
        });
        found.ok().flatten()
    }
}

/// Whether a file has the name of Python, or of its library.
fn names_python(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.contains("python")
}

/// The version of the interpreter in this file, if it is a version that we know.
fn read_version(path: &Path, name: &Path) -> io::Result<Option<String>> {
    if elf::symbol_offset(path, "Py_GetVersion")?.is_none() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(LARGEST)
        .read_to_end(&mut bytes)?;
    let written = version_in(&bytes);
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    let by_name = ["2.6", "2.7"].into_iter().find(|one| name.contains(one));
    // What looks like a version may be another program's.
    Ok(match (written, by_name) {
        (Some(written), Some(by_name)) if !written.starts_with(by_name) => Some(by_name.into()),
        (None, by_name) => by_name.map(str::to_owned),
        (written, _) => written,
    })
}

/// The first text in a file that is, or ends in, a version of CPython 2.6 or 2.7, such as `2.7.18` or
/// `2.6rc2`. Every interpreter has such a text for `Py_GetVersion` (PY_VERSION, Python/getversion.c),
/// which the linker may have merged into the tail of a longer text.
pub fn version_in(bytes: &[u8]) -> Option<String> {
    // Each text ends in NUL; the longest version is `2.7.18rc1+`.
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == 0);
    for (end, _) in ends {
        let tail = &bytes[end.saturating_sub(12)..end];
        let start = tail
            .iter()
            .rposition(|byte| !byte.is_ascii_alphanumeric() && !b".+".contains(byte))
            .map_or(0, |at| at + 1);
        let version = &tail[start..];
        let before = end - version.len();
        if is_version(version) && (before == 0 || b"\0/- ".contains(&bytes[before - 1])) {
            return String::from_utf8(version.to_vec()).ok();
        }
    }
    None
}

/// `2.7.18`, `2.6rc2`, `2.7.18+`: a third number or a stage is required, as `2.7` alone may be anything.
fn is_version(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"2.6").or(text.strip_prefix(b"2.7")) else {
        return false;
    };
    let rest = rest.strip_suffix(b"+").unwrap_or(rest);
    let (micro, stage) = match rest.strip_prefix(b".") {
        Some(rest) => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            (true, &rest[digits..])
        }
        None => (false, rest),
    };
    let stages: [&[u8]; 4] = [b"rc", b"a", b"b", b"c"];
    let serial = stages.iter().find_map(|name| stage.strip_prefix(*name));
    match serial {
        Some(serial) => !serial.is_empty() && serial.iter().all(u8::is_ascii_digit),
        None => micro && stage.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn finds_versions() {
        let found = |text: &[u8]| version_in(text);
        assert_eq!(found(b"x\x002.7.18\0y").as_deref(), Some("2.7.18"));
        assert_eq!(found(b"/opt/2.7.9+\0").as_deref(), Some("2.7.9+"));
        assert_eq!(found(b"2.6rc2\0").as_deref(), Some("2.6rc2"));
        assert_eq!(found(b"\x002.7.18rc1\0").as_deref(), Some("2.7.18rc1"));
        for other in [
            &b"\x002.7\0"[..],
            b"expat_2.6.0\0",
            b"12.7.18\0",
            b"\x002.7.\0",
            b"\x002.7.18",
            b"\x002.5.1\0",
            b"\x002.7.18rc\0",
            b"",
        ] {
            assert_eq!(found(other), None, "{other:?}");
        }
    }

    #[test]
    fn finds_no_python_in_this_process() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        assert_eq!(Versions::default().of(us), None);
    }
}
