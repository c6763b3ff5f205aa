//! Small C programs, built during the test with the system's compiler.

use crate::process::{command, run};
use crate::product::product;
use std::path::{Path, PathBuf};

/// Whether there is a C compiler.
pub fn have_compiler() -> bool {
    std::process::Command::new("cc")
        .arg("--version")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Builds `tests/embedded/SOURCE` into `folder` and returns the program's path.
#[track_caller]
pub fn compile(source: &str, folder: &Path, more: &[&str]) -> PathBuf {
    build(
        &product().root.join("tests/embedded").join(source),
        folder,
        more,
    )
}

/// The same for `tests/hostile/programs/SOURCE`.
#[track_caller]
pub fn compile_hostile(source: &str, folder: &Path, more: &[&str]) -> PathBuf {
    build(
        &product().root.join("tests/hostile/programs").join(source),
        folder,
        more,
    )
}

#[track_caller]
fn build(source: &Path, folder: &Path, more: &[&str]) -> PathBuf {
    let program = folder.join(source.file_stem().unwrap());
    let mut cc = command("cc");
    cc.args(["-O1", "-g", "-Wall", "-Werror", "-pthread", "-o"])
        .arg(&program)
        .arg(source)
        .args(more)
        .arg("-ldl");
    run(&mut cc).expect_code(0);
    program
}
