//! The tarball, used from where it is unpacked, and from where it is moved.

use crate::installation::{self, Installation};
use crate::packages::{are_installed, package};
use crate::questions::ask_all;
use crate::results::Row;
use crate::wheel::imports;
use std::fs;
use std::path::{Path, PathBuf};
use tests::interpreters::Interpreter;
use tests::process::{command, run};
use tests::scratch::Scratch;

/// Unpacks it, and returns its folder.
#[track_caller]
pub fn unpack(into: &Path) -> PathBuf {
    let archive = package(".tar.gz");
    run(command("tar").arg("-xzf").arg(&archive).arg("-C").arg(into)).expect_code(0);
    let name = archive.file_name().expect("a file").to_str().expect("text");
    into.join(name.strip_suffix(".tar.gz").expect("its ending"))
}

/// The tarball on every interpreter of this machine.
pub fn from_where_it_is_unpacked() -> Row {
    let scratch = Scratch::new();
    let folder = unpack(&scratch);
    are_installed(
        &folder.join("bin"),
        &folder.join("share"),
        "site-functions",
        "LICENSE",
    );
    for name in ["LICENSE", "README.md"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    let moved = scratch.join("moved");
    fs::rename(&folder, &moved).expect("it can be moved");
    for python in installation::pythons() {
        // A debug build looks for another file name.
        if !python.debug {
            import(&moved, python);
        }
    }
    let python = installation::python();
    let installation = Installation::here("tarball", moved.join("bin"), &python);
    Row::new(&installation, ask_all(&installation))
}

#[track_caller]
fn import(folder: &Path, python: &Interpreter) {
    let mut command = python.command();
    command.env("PYTHONPATH", folder.join("share/sleeper-agent"));
    imports(command, &folder.join("bin/sleeper_agent_activate"));
}
