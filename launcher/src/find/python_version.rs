//! The version of the Python in a process, read from the files that are mapped into it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::system::bounded_file::Budget;
use crate::system::elf;
use crate::system::mapped_file::open_mapped;
use crate::system::maps::MappedFile;
use crate::system::process::Process;

/// The most files of one process that may be its interpreter.
const MOST_FILES: usize = 8;

/// A file is searched in pieces of this size,
const PIECE: usize = 64 << 10;

/// each after so many bytes of the piece before it: the longest version is `2.7.18rc1+`.
const CONTEXT: usize = 16;

/// Looks versions up, and keeps them by file: many processes run the same one.
#[derive(Default)]
pub struct Versions {
    /// By device and inode.
    known: HashMap<(u64, u64), Option<String>>,
}

impl Versions {
    /// The version of the CPython 2.6 or 2.7 in a process that has these files mapped, as far as it is known,
    /// such as `2.7.18` or `2.7`; `None` if there is no such Python, or if we may not read its files, or if more
    /// would have to be read of them than the budget allows.
    pub fn of(
        &mut self,
        process: Process,
        files: &[MappedFile],
        budget: &Budget,
    ) -> Option<String> {
        let program = fs::read_link(process.path("exe")).unwrap_or_default();
        let is_program = |file: &&MappedFile| file.path == program;
        let others = files
            .iter()
            .filter(|file| !is_program(file) && may_be_python(file));
        let mut candidates = files.iter().filter(is_program).chain(others);
        candidates
            .by_ref()
            .take(MOST_FILES)
            .find_map(|file| self.of_file(process, file, budget).ok().flatten())
    }

    fn of_file(
        &mut self,
        process: Process,
        file: &MappedFile,
        budget: &Budget,
    ) -> io::Result<Option<String>> {
        let opened = open_mapped(process, file)?;
        let data = opened.metadata()?;
        let key = (data.dev(), data.ino());
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let version = read_version(&opened, &file.path, budget)?;
        self.known.insert(key, version.clone());
        Ok(version)
    }
}

/// Whether a file has the name of Python, or of its library.
pub fn may_be_python(file: &MappedFile) -> bool {
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    name.contains("python")
}

/// The version of the interpreter in this file, if it is a version that we know.
fn read_version(file: &File, name: &Path, budget: &Budget) -> io::Result<Option<String>> {
    if elf::symbol_offset(file, "Py_GetVersion", budget)?.is_none() {
        return Ok(None);
    }
    // Its constant texts; the whole file if it has no names of sections.
    let place = elf::section_place(file, ".rodata", budget)?;
    let written = search(file, place.unwrap_or((0, u64::MAX)), budget)?;
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    let by_name = ["2.6", "2.7"].into_iter().find(|one| name.contains(one));
    // What looks like a version may be another program's.
    Ok(match (written, by_name) {
        (Some(written), Some(by_name)) if !written.starts_with(by_name) => Some(by_name.into()),
        (None, by_name) => by_name.map(str::to_owned),
        (written, _) => written,
    })
}

/// The first version in a part of a file, given as offset and size.
fn search(file: &File, (start, size): (u64, u64), budget: &Budget) -> io::Result<Option<String>> {
    let mut piece = vec![0; CONTEXT + PIECE];
    let (mut at, end) = (start, start.saturating_add(size));
    while at < end {
        let room = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
        let count = file.read_at(&mut piece[CONTEXT..CONTEXT + room], at)?;
        if count == 0 {
            break;
        }
        budget.take(count as u64)?;
        if let Some(version) = version_after(&piece[..CONTEXT + count], CONTEXT) {
            return Ok(Some(version));
        }
        piece.copy_within(count..count + CONTEXT, 0);
        at += count as u64;
    }
    Ok(None)
}

/// The first text in a file that is, or ends in, a version of CPython 2.6 or 2.7, such as `2.7.18` or
/// `2.6rc2`. Every interpreter has such a text for `Py_GetVersion` (PY_VERSION, Python/getversion.c),
/// which the linker may have merged into the tail of a longer text.
pub fn version_in(bytes: &[u8]) -> Option<String> {
    version_after(bytes, 0)
}

/// The same, of the texts that end behind the first `context` bytes.
fn version_after(bytes: &[u8], context: usize) -> Option<String> {
    // Each text ends in NUL, a version before it in a letter, a digit or `+`.
    let ends = bytes.windows(2).enumerate().skip(context.saturating_sub(1));
    let may_end =
        |pair: &[u8]| pair[1] == 0 && (pair[0].is_ascii_alphanumeric() || pair[0] == b'+');
    for (last, _) in ends.filter(|(_, pair)| may_end(pair)) {
        let end = last + 1;
        // The longest version is `2.7.18rc1+`.
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
    use crate::system::maps;
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
        let files = maps::of(us, maps::MOST_TEXT, may_be_python)
            .expect("procfs")
            .0;
        let budget = Budget::new(1 << 20);
        assert_eq!(Versions::default().of(us, &files, &budget), None);
        assert!(
            budget.left() < 1 << 20,
            "our own program has been looked at"
        );
    }

    #[test]
    fn finds_versions_between_pieces() {
        let path = std::env::temp_dir().join(format!("sleeper-pieces-{}", std::process::id()));
        let found = |offset: usize, text: &[u8]| {
            let mut bytes = vec![b'x'; 3 * PIECE];
            bytes[offset..offset + text.len()].copy_from_slice(text);
            std::fs::write(&path, bytes).expect("a new file");
            let file = File::open(&path).expect("just written");
            let budget = Budget::new(3 * PIECE as u64);
            search(&file, (0, u64::MAX), &budget).expect("enough")
        };
        for offset in PIECE - 20..PIECE + 20 {
            assert_eq!(
                found(offset, b"\x002.7.18rc1+\0").as_deref(),
                Some("2.7.18rc1+")
            );
            assert_eq!(found(offset, b"expat_2.7.18\0"), None);
        }
        let file = File::open(&path).expect("just written");
        let error = search(&file, (0, u64::MAX), &Budget::new(1)).expect_err("too much");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        std::fs::remove_file(&path).expect("just written");
    }
}
