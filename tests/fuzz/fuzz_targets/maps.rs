//! `/proc/PID/maps`: every file is named once, and an inserted file is found.

#![no_main]

use launcher::system::maps::mapped_files;
use libfuzzer_sys::fuzz_target;
use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;

fuzz_target!(|data: &[u8]| {
    let files = mapped_files(data);
    assert!(files.len() <= data.split(|byte| *byte == b'\n').count());
    let names: HashSet<_> = files.iter().map(|file| &file.path).collect();
    assert_eq!(names.len(), files.len());
    for file in &files {
        assert!(file.path.is_absolute());
    }

    // A name as the kernel writes it: a newline as `\012`. A name that itself ends in
    // " (deleted)" or contains `\012` is ambiguous to every reader.
    let ambiguous = |part: &[u8]| data.windows(part.len()).any(|window| window == part);
    if data.contains(&0) || ambiguous(b"\\012") || data.ends_with(b" (deleted)") {
        return;
    }
    let name = [b"/", data].concat();
    let written: Vec<u8> = name
        .iter()
        .flat_map(|byte| match byte {
            b'\n' => b"\\012".to_vec(),
            other => vec![*other],
        })
        .collect();
    for (tail, deleted) in [(&b""[..], false), (b" (deleted)", true)] {
        let line = [
            b"7f0000001000-7f0000003000 r--p 00000000 fe:00 12   ",
            &written[..],
            tail,
        ]
        .concat();
        let later = b"7f0000003000-7f0000004000 r-xp 00002000 fe:00 12   /later\n";
        let files = mapped_files(&[&line, &b"\n"[..], later, &line].concat());
        assert_eq!(files.len(), 1);
        assert_eq!(
            (files[0].start, files[0].end),
            (0x7f0000001000, 0x7f0000003000)
        );
        assert_eq!(files[0].path.as_os_str().as_bytes(), name);
        assert_eq!(files[0].deleted, deleted);
    }
});
