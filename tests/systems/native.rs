//! The deb and the rpm, installed by `dpkg` and `rpm` into roots of their own, used, and removed again.

use crate::installation::{self, Installation};
use crate::packages::{are_gone, are_installed, package};
use crate::questions::ask_all;
use crate::results::Row;
use crate::wheel::imports;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::ended::Ended;
use tests::process::{command, run};
use tests::scratch::Scratch;

/// The reason why a package of this kind cannot be installed here, if there is one.
pub fn lacking(tool: &str) -> Option<String> {
    // SAFETY: geteuid has no conditions.
    let root = unsafe { libc::geteuid() } == 0;
    let found = Command::new(tool).arg("--version").output();
    let missing = !found.is_ok_and(|output| output.status.success());
    match (missing, root) {
        (true, _) => Some(format!("no {tool}")),
        (false, false) => Some("not root".to_owned()),
        (false, true) => None,
    }
}

/// `dpkg` for another root, in which nothing is installed yet.
#[track_caller]
pub fn dpkg(root: &Path, arguments: &[&str]) -> Ended {
    let database = root.join("var/lib/dpkg");
    fs::create_dir_all(&database).unwrap();
    if !database.join("status").exists() {
        fs::write(database.join("status"), "").unwrap();
    }
    let mut dpkg = command("dpkg");
    // The root may have no shell for the package's script.
    dpkg.arg("--force-script-chrootless")
        .arg(format!("--root={}", root.display()))
        .args(arguments);
    let ended = run(&mut dpkg);
    ended.expect_code(0);
    ended
}

/// Installs the deb into a root.
#[track_caller]
pub fn install_deb(root: &Path) {
    let deb = package(".deb");
    dpkg(
        root,
        &[
            "-i",
            deb.to_str().expect("the target folder's path is text"),
        ],
    );
    are_installed(
        &root.join("usr/bin"),
        &root.join("usr/share"),
        "vendor-completions",
        "copyright",
    );
}

#[track_caller]
fn rpm(root: &Path, arguments: &[&str]) -> Ended {
    let mut rpm = command("rpm");
    let ended = run(rpm.arg("--root").arg(root).args(arguments));
    ended.expect_code(0);
    ended
}

/// The commands in `usr/bin` of a root, on this machine's interpreter; and the import from `usr/share`.
#[track_caller]
fn used(root: &Path, name: &str) -> Row {
    let python = installation::python();
    let bin = root.join("usr/bin");
    let mut importing = python.command();
    importing.env("PYTHONPATH", root.join("usr/share/sleeper-agent"));
    imports(importing, &bin.join("sleeper_agent_activate"));
    let installation = Installation::here(name, bin, &python);
    Row::new(&installation, ask_all(&installation))
}

#[track_caller]
fn left_nothing(root: &Path) {
    let folders = ["bin", "lib", "share", "share/doc", "share/man/man1"];
    let folders = folders.map(|folder| root.join("usr").join(folder));
    are_gone(&folders.each_ref().map(PathBuf::as_path));
}

/// The deb: installed, used, removed.
pub fn deb() -> Row {
    let root = Scratch::new();
    install_deb(&root);
    let row = used(&root, "deb");
    dpkg(&root, &["--purge", "sleeper-agent"]);
    left_nothing(&root);
    row
}

/// The rpm: installed, used, removed.
pub fn rpm_package() -> Row {
    let root = Scratch::new();
    let file = package(".rpm");
    let file = file.to_str().expect("the target folder's path is text");
    rpm(&root, &["-i", "--nodeps", "--nosignature", file]);
    are_installed(
        &root.join("usr/bin"),
        &root.join("usr/share"),
        "site-functions",
        "LICENSE",
    );
    let told = rpm(&root, &["-q", "--requires", "sleeper-agent"]).out();
    for line in told.lines() {
        assert!(line.starts_with("rpmlib("), "it needs {line}");
    }
    let row = used(&root, "rpm");
    rpm(&root, &["-e", "sleeper-agent"]);
    left_nothing(&root);
    row
}
