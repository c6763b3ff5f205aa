//! The same commit gives the same bytes.

use crate::packages;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;
use tests::process::{command, run, run_within};
use tests::product::product;
use tests::scratch::Scratch;

/// The endings of all packages.
pub const ENDINGS: [&str; 4] = [".whl", ".tar.gz", ".deb", ".rpm"];

/// How long a build from nothing may take.
const BUILD: Duration = Duration::from_secs(1800);

/// Packs what is built once more, into another folder, at another time, with another umask, in another
/// timezone.
pub fn packed_again() {
    let scratch = Scratch::new();
    let again = scratch.join("again");
    let mut make = command("make");
    make.current_dir(&product().root)
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .env("CARGO_TARGET_DIR", &product().target)
        .env("TZ", "JST-9")
        .args([
            "packages".to_owned(),
            format!("PACKAGES={}", again.display()),
        ]);
    // SAFETY: a plain system call, which a forked child may make.
    unsafe {
        make.pre_exec(|| {
            libc::umask(0o077);
            Ok(())
        });
    }
    run_within(&mut make, BUILD).expect_code(0);
    are_equal(&product().target.join("packages"), &again);
}

/// Builds a clone of this commit from nothing, in a folder with another path.
pub fn built_again() {
    let scratch = Scratch::new();
    let (clone, target) = (scratch.join("a clone"), scratch.join("its target"));
    let mut git = command("git");
    git.args(["clone", "--quiet"])
        .arg(&product().root)
        .arg(&clone);
    run(&mut git).expect_code(0);
    let mut make = command("make");
    make.current_dir(&clone)
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .env("CARGO_TARGET_DIR", &target)
        .arg("packages");
    run_within(&mut make, BUILD).expect_code(0);
    are_equal(&product().target.join("packages"), &target.join("packages"));
}

/// Why a clone would not have what is built here, if so.
pub fn has_changes() -> Option<String> {
    let mut git = command("git");
    git.arg("-C").arg(&product().root);
    let ended = run(git.args([
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        ".",
        ":!tests",
    ]));
    let clean = ended.status.success() && ended.out().is_empty();
    (!clean).then(|| "there are changes that are not committed".to_owned())
}

/// Panics if the folders do not have the same packages. There must be some.
#[track_caller]
fn are_equal(one: &Path, other: &Path) {
    let (one, other) = (read(one), read(other));
    assert!(!one.is_empty());
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        other.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in &one {
        let differ = bytes.iter().zip(&other[name]).position(|(a, b)| a != b);
        assert_eq!(differ, None, "{name} differs, first at that byte");
        assert_eq!(bytes.len(), other[name].len(), "{name}");
    }
}

fn read(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let packages = names.filter(|name| ENDINGS.iter().any(|ending| name.ends_with(ending)));
    packages
        .map(|name| (name.clone(), fs::read(folder.join(&name)).unwrap()))
        .collect()
}

/// Why a package is missing, if one is.
pub fn lacking() -> Option<String> {
    ENDINGS
        .iter()
        .find_map(|ending| packages::find(ending).err())
}
