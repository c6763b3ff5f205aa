//! Any system that runs a Python 2: what the built library needs of the C library, and how it gets by where the
//! C library or the kernel has less.

use object::read::elf::{ElfFile64, FileHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SymbolKind, elf};
use protocol::names::THREAD_HEADING;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tests::ask::{WAYS, activate, full_answer, preloaded, state, woken};
use tests::compile::compile;
use tests::interpreters::Interpreter;
use tests::process::{Program, run};
use tests::product::product;
use tests::scratch::Scratch;
use tests::{case, plain_case};

/// References that stay null where nothing defines them. The code that uses each looks first.
const MAY_BE_MISSING: [&str; 3] = [
    "Py_GetVersion",
    "_r_debug",
    // Rust's standard library, for the ends of threads.
    "__cxa_thread_atexit_impl",
];

/// The most that the library may have, in bytes; and without link-time optimisation, which a machine that
/// builds often may turn off.
const LARGEST: u64 = 900_000;
const LARGEST_UNOPTIMISED: u64 = 1_050_000;

plain_case!(needs_little);
fn needs_little() {
    let path = product().target.join("release/libsleeper.so");
    let bytes = fs::read(&path).unwrap();
    let file = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
    let endian = Endianness::Little;
    let header = file.elf_header();
    let sections = header.sections(endian, &*bytes).unwrap();

    let (dynamic, strings) = sections.dynamic(endian, &*bytes).unwrap().unwrap();
    let strings = sections.strings(endian, &*bytes, strings).unwrap();
    let values = |wanted: elf::DynamicTag| {
        let entries = dynamic
            .iter()
            .filter(move |entry| entry.d_tag.get(endian) == wanted);
        entries.map(|entry| entry.d_val.get(endian))
    };
    let needed: Vec<&str> = values(elf::DT_NEEDED)
        .map(|at| std::str::from_utf8(strings.get(at as u32).unwrap()).unwrap())
        .collect();
    assert_eq!(needed, ["libc.so.6"]);
    assert_eq!(values(elf::DT_TEXTREL).count(), 0, "no text relocations");
    let flags = values(elf::DT_FLAGS).fold(0, |all, one| all | one);
    assert_eq!(flags & elf::DF_TEXTREL.0, 0, "no text relocations");

    let (mut versions, link) = sections.gnu_verneed(endian, &*bytes).unwrap().unwrap();
    let strings = sections.strings(endian, &*bytes, link).unwrap();
    let mut names = BTreeSet::new();
    while let Some((_, mut entries)) = versions.next().unwrap() {
        while let Some(entry) = entries.next().unwrap() {
            let name = std::str::from_utf8(entry.name(endian, strings).unwrap()).unwrap();
            let numbers = name
                .strip_prefix("GLIBC_")
                .unwrap_or_else(|| panic!("{name}"));
            let numbers: Vec<u32> = numbers.split('.').map(|one| one.parse().unwrap()).collect();
            names.insert(numbers);
        }
    }
    assert!(names.last() <= Some(&vec![2, 4]), "{names:?}");

    let undefined = file
        .dynamic_symbols()
        .filter(|symbol| symbol.is_undefined());
    for symbol in undefined.filter(ObjectSymbol::is_weak) {
        let name = symbol.name().unwrap();
        assert!(MAY_BE_MISSING.contains(&name), "{name} may be null");
    }

    let debug = fs::read(path.with_file_name("libsleeper.so.debug")).unwrap();
    let debug = ElfFile64::<Endianness>::parse(&*debug).unwrap();
    assert!(
        debug
            .section_by_name(".debug_line")
            .is_some_and(|lines| lines.size() > 100_000)
    );
    let (name, _) = file.gnu_debuglink().unwrap().unwrap();
    assert_eq!(name, b"libsleeper.so.debug");
    // The standard library's own object is there if it was not optimised together with ours.
    let mut objects = debug
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::File);
    let apart = objects.any(|symbol| symbol.name().is_ok_and(|name| name.starts_with("std.")));
    let most = if apart { LARGEST_UNOPTIMISED } else { LARGEST };
    assert!(bytes.len() as u64 <= most, "{} bytes", bytes.len());
}

case!(old_kernel);
/// A kernel without close_range, process_vm_readv, statx and /proc/thread-self: each way in answers as usual, the
/// answer has what the kernel says of threads, and a closed connection of the program is closed.
fn old_kernel(python: &Interpreter) {
    let code = "\
import os, sys, threading
reading, writing = os.pipe()
for _ in range(300):
    os.dup(0)
threading.Thread(target=lambda: os.read(reading, 1)).start()
print('ready')
sys.stdout.flush()
sys.stdin.readline()
os.write(writing, b'x')
";
    let mut command = python.command();
    command.env("LD_PRELOAD", product().library_with("old_kernel"));
    let mut program = woken(command.args(["-c", code]));
    for via in WAYS {
        let answer = full_answer(program.pid(), via);
        assert!(answer.contains(", in <lambda>\n"), "{via}: {answer}");
        assert!(answer.contains(", TID "), "{via}: {answer}");
        assert!(!answer.contains("Read from memory"), "{via}: {answer}");
    }
    let begun = Instant::now();
    for _ in 0..5 {
        activate(["--via", "wake", &program.pid().to_string()]).expect_code(0);
    }
    // With a million closes each answer took 600 ms and more.
    assert!(
        begun.elapsed().as_millis() < 5 * 500,
        "{:?}",
        begun.elapsed()
    );
    program.say("");
    let ended = program.end();
    ended.expect_code(0);
    assert_eq!(ended.err(), "");
}

/// Waits for a line, and ends with 7.
const WAITS: &str =
    "import sys; print('ready'); sys.stdout.flush(); sys.stdin.readline(); sys.exit(7)";

/// A Python whose C library seems to have no threads.
fn without_threads(folder: &Scratch, program: impl AsRef<OsStr>) -> std::process::Command {
    let lacking = compile("lacking.c", folder, &["-shared", "-fPIC"]);
    let both: Vec<String> = [&lacking, &product().library]
        .map(|path: &PathBuf| Path::display(path).to_string())
        .into();
    let mut command = preloaded(program);
    command
        .env("LD_PRELOAD", both.join(":"))
        .env("LACKING", "pthread_attr_setstacksize");
    command
}

case!(c_library_without_threads, Compiler);
/// The program runs, and standard error has one line; an asker is told the same.
fn c_library_without_threads(python: &Interpreter) {
    let folder = Scratch::new();
    let mut command = without_threads(&folder, &python.path);
    python.equip(&mut command);
    let mut program = Program::start(command.args(["-c", WAITS])).ready();
    let why = "the C library of this process has no pthread_attr_setstacksize";
    let ended = activate([program.pid()]);
    assert!(!ended.status.success(), "{ended:?}");
    assert_eq!(ended.err().lines().count(), 1, "{ended:?}");
    assert!(ended.err().contains(why), "{ended:?}");
    let pid = program.pid();
    program.say("");
    let ended = program.end();
    ended.expect_code(7);
    let said = ended.err();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains(why) && said.contains(&format!("process {pid} ")),
        "{said}"
    );

    // What is not Python is not spoken to.
    let ended = run(without_threads(&folder, "/bin/sh").args(["-c", "exit 3"]));
    ended.expect_code(3);
    assert_eq!(ended.err(), "");
}

case!(the_clock_is_a_system_call, Compiler);
/// Before glibc 2.17 a program may have no `clock_gettime`, and no `process_vm_readv` before 2.15.
fn the_clock_is_a_system_call(python: &Interpreter) {
    for lacking in ["clock_gettime", "process_vm_readv"] {
        let folder = Scratch::new();
        let mut command = without_threads(&folder, &python.path);
        python.equip(&mut command).env("LACKING", lacking);
        let program = woken(command.args(["-c", WAITS]));
        assert!(state(program.pid()).starts_with(THREAD_HEADING));
        program.ends_well();
    }
}
