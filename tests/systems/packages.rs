//! The packages that `make packages` has made, and what must be in each.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tests::product::product;

/// The commands.
pub const COMMANDS: [&str; 4] = ["sa-list", "sa-load", "sa-run", "sleeper_agent_activate"];

/// The only package whose file name has this ending, or why there is none.
pub fn find(ending: &str) -> Result<PathBuf, String> {
    let folder = product().target.join("packages");
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut found = entries
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(ending));
    match (found.next(), found.next()) {
        (Some(path), None) => Ok(path),
        (None, _) => Err(format!(
            "no {ending} in target/packages: run `make packages`"
        )),
        (Some(_), Some(_)) => Err(format!("several {ending} in target/packages")),
    }
}

/// The package; a trial without it is skipped.
#[track_caller]
pub fn package(ending: &str) -> PathBuf {
    find(ending).unwrap_or_else(|why| panic!("{why}"))
}

/// Checks the commands in a folder, and the pages in another: each there, and with its right mode.
#[track_caller]
pub fn are_installed(bin: &Path, share: &Path, zsh: &str, license: &str) {
    for name in COMMANDS {
        has_mode(&bin.join(name), 0o755);
        for page in [
            format!("man/man1/{name}.1"),
            format!("bash-completion/completions/{name}"),
            format!("zsh/{zsh}/_{name}"),
            format!("fish/vendor_completions.d/{name}.fish"),
        ] {
            has_mode(&share.join(page), 0o644);
        }
    }
    for name in [license, "CHANGELOG.md", "MANUAL.md", "TROUBLESHOOTING.md"] {
        has_mode(&share.join("doc/sleeper-agent").join(name), 0o644);
    }
}

#[track_caller]
fn has_mode(file: &Path, mode: u32) {
    let found = fs::metadata(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    assert_eq!(
        found.permissions().mode() & 0o7777,
        mode,
        "{}",
        file.display()
    );
    assert!(found.len() > 0, "{}", file.display());
}

/// Panics if a removed package has left a file behind.
#[track_caller]
pub fn are_gone(folders: &[&Path]) {
    for folder in folders {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let ours = COMMANDS.contains(&&*name) || name.contains("sleeper");
            assert!(!ours, "{} is left", entry.path().display());
        }
    }
}
