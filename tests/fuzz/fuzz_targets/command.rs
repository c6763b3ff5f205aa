//! The parsers of sa-run before it executes the command: `#!` lines, and LD_PRELOAD.

#![no_main]

#[path = "../memory_file.rs"]
mod memory_file;

use launcher::find::library::{self, Library};
use launcher::run::{command, shebang};
use launcher::system::path_search;
use libfuzzer_sys::fuzz_target;
use memory_file::MemoryFile;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

fuzz_target!(|data: &[u8]| {
    if let Some(line) = shebang::first_line(data) {
        assert!(data.starts_with(b"#!"));
        assert!(!line.program.is_empty());
        assert!(!line.program.contains([' ', '\t', '\n', '\0']));
        if let Some(argument) = &line.argument {
            assert_eq!(argument.trim_matches([' ', '\t']), argument);
        }
        if let Some(name) = line.through_env() {
            assert!(
                line.argument
                    .as_ref()
                    .is_some_and(|argument| argument.contains(name))
            );
            assert!(!name.starts_with('-') && !name.contains('='));
        }
    }
    // The data as a whole file, with /bin as the path that `env` searches.
    let file = MemoryFile::new(data);
    let _ = command::check(&file.path(), Some(OsStr::new("/bin")), true);
    let _ = path_search::find(OsStr::from_bytes(data), Some(OsStr::from_bytes(data)));
    let _ = library::find(Some(file.path().as_os_str()), Path::new("/bin/sa-run"));
    preload(data);
});

/// LD_PRELOAD has the library once, and nothing else in it changes.
fn preload(present: &[u8]) {
    let library = b"/opt/libsleeper.so";
    let path = PathBuf::from(OsStr::from_bytes(library));
    let found = Library {
        file: path.clone(),
        path,
        needs_glibc: false,
    };
    let preload = library::preload_value(&found, Some(OsStr::from_bytes(present)));
    let count = |bytes: &[u8]| {
        let entries = bytes.split(|byte| b" :".contains(byte));
        entries.filter(|entry| *entry == library).count()
    };
    // Other copies of the library would have to lie at paths that are made up here.
    assert!(preload.left_out.is_empty());
    let value = &preload.value[..];
    assert_eq!(count(value), count(present).max(1));
    assert!(value.ends_with(present));
    if count(present) > 0 {
        assert_eq!(value, present);
    }
}
