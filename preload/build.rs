//! The library's linker flags, and the C library that it is linked against: a generated one, which has the
//! oldest version of each symbol in `libc-symbols.txt` and nothing else.
//!
//! Linked against the C library of the machine that builds it, the library would need that one or a newer
//! one everywhere: the linker takes the newest version of each symbol.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The list of symbols, and the name of the library that has them at run time.
const LIST: &str = "libc-symbols.txt";
const SONAME: &str = "libc.so.6";

/// Libraries that Rust's standard library and the crate `libc` name to the linker. What they hold is not
/// taken from them, so empty archives stand in for them.
const EMPTY: [&str; 6] = ["dl", "gcc_s", "m", "pthread", "rt", "util"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={LIST}");
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names it")).join("libc");
    make_libc(&folder);
    flag(&format!("-L{}", folder.display()));
    // The compiler's start files would look four more symbols up in every process, for a library that is
    // never unloaded.
    flag("-nostartfiles");
    // What is missing is missing here, and not in somebody's program. (AddressSanitizer's functions come with
    // the program.)
    if env::var_os("CARGO_CFG_SANITIZE").is_none() {
        flag("-Wl,-z,defs");
    }
    // Once loaded, the library stays: the agent's threads and the interpreter's lists point into it.
    flag("-Wl,-z,nodelete");
    // The library calls its own functions, even if another copy of it was loaded before.
    flag("-Wl,-Bsymbolic");
    // The loader binds every symbol at load: an interrupted thread that asks must never enter the loader,
    // which takes locks.
    flag("-Wl,-z,now");
    // RELRO would cost every process that inherits the library a mapping and a system call, to
    // write-protect tables that hold addresses of libc only.
    flag("-Wl,-z,norelro");
    // Code and constants in one mapping instead of two, for the same reason.
    flag("-Wl,-z,noseparate-code");
}

/// Adds an argument for the linker, where the library itself is linked. (Its unit tests are a program.)
fn flag(argument: &str) {
    println!("cargo::rustc-cdylib-link-arg={argument}");
}

/// Makes `libc.so` in this folder, and empty archives for the other libraries.
fn make_libc(folder: &Path) {
    let list = fs::read_to_string(LIST).expect("the list of symbols");
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in list.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (symbol, version) = line
            .split_once(' ')
            .unwrap_or_else(|| panic!("{LIST}: a symbol and its version, not {line:?}"));
        versions.entry(version).or_default().push(symbol);
    }
    let (mut code, mut script) = (String::from(".text\n"), String::new());
    for (version, symbols) in &versions {
        let _ = writeln!(script, "{version} {{ {}; }};", symbols.join("; "));
        for symbol in symbols {
            let _ = writeln!(
                code,
                ".globl {symbol}\n.type {symbol}, @function\n{symbol}:"
            );
        }
    }
    // Behind the last symbol, so that none stands at the section's end.
    code.push_str("ret\n.section .note.GNU-stack, \"\", @progbits\n");
    fs::create_dir_all(folder).expect("a folder below cargo's");
    let file = |name: &str| folder.join(name);
    fs::write(file("libc.s"), code).expect("a file below cargo's folder");
    fs::write(file("libc.map"), script).expect("a file below cargo's folder");
    for name in EMPTY {
        fs::write(file(&format!("lib{name}.a")), "!<arch>\n").expect("a file below cargo's folder");
    }
    let linker = env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let done = Command::new(&linker)
        .current_dir(folder)
        .args(["-shared", "-nostdlib", "-Wl,--version-script=libc.map"])
        .arg(format!("-Wl,-soname,{SONAME}"))
        .args(["-o", "libc.so", "libc.s"])
        .status();
    match done {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{linker:?} could not link {}: {status}", folder.display()),
        Err(error) => panic!("{linker:?} cannot be run: {error}; a C compiler is needed"),
    }
}
