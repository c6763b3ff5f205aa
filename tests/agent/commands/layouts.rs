//! Where `sa-run` finds the library as packages install it, and what it says of an installation that is not right.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::ask::sa_run;
use tests::plain_case;
use tests::process::{command, run};
use tests::product::product;
use tests::scratch::{Scratch, copied};

/// A command that prints what is preloaded into it.
const ASKS: [&str; 3] = ["sh", "-c", "echo \"$LD_PRELOAD\""];

/// Copies the library into a folder below another.
#[track_caller]
fn library_in(prefix: &Path, folder: &str) -> PathBuf {
    let folder = prefix.join(folder);
    fs::create_dir_all(&folder).unwrap();
    let copy = folder.join("libsleeper.so");
    fs::copy(&product().library, &copy).unwrap();
    copy
}

/// `PREFIX/bin/sa-run`, copied there.
#[track_caller]
fn installed(prefix: &Path) -> PathBuf {
    let folder = prefix.join("bin");
    fs::create_dir_all(&folder).unwrap();
    copied(&product().sa_run, &folder)
}

/// What the command preloads; it complains of nothing.
#[track_caller]
fn preloads(mut command: Command) -> String {
    let ended = run(command.args(ASKS));
    ended.expect_code(0);
    assert_eq!(ended.err(), "");
    ended.out().trim().to_owned()
}

plain_case!(of_packages);
fn of_packages() {
    // The same below a virtualenv, ~/.local, /usr, and a tarball's folder.
    for prefix in ["venv", "home/.local", "usr", "sleeper-agent-0.1.0"] {
        for library in [
            "bin",
            "lib",
            "lib/x86_64-linux-gnu",
            "lib64",
            "lib/sleeper-agent",
            "lib64/sleeper-agent",
            "lib/x86_64-linux-gnu/sleeper-agent",
        ] {
            let folder = Scratch::new();
            let prefix = folder.join(prefix);
            let program = installed(&prefix);
            let library = fs::canonicalize(library_in(&prefix, library)).unwrap();
            assert_eq!(preloads(command(&program)), library.display().to_string());
            // By a link from a folder on the PATH, and by a link to that.
            let link = folder.join("link");
            symlink(&program, folder.join("first")).unwrap();
            symlink("first", &link).unwrap();
            assert_eq!(preloads(command(&link)), library.display().to_string());
        }
    }
}

/// Another version of the library, in this file.
#[track_caller]
fn of_another_version(library: &Path) {
    let mut bytes = fs::read(library).unwrap();
    let version = &protocol::names::VERSION_TEXT[..];
    let mut places = bytes.windows(version.len());
    let place = places.position(|one| one == version).expect("a version");
    bytes[place + 7] += 1;
    fs::write(library, bytes).unwrap();
}

plain_case!(another_version);
/// Of two libraries the one that goes with the command is taken.
fn another_version() {
    let folder = Scratch::new();
    let program = installed(&folder);
    let first = library_in(&folder, "lib");
    of_another_version(&first);
    let ended = run(command(&program).args(ASKS));
    ended.expect_refusal(
        125,
        &["of another version than this command", "lib/libsleeper.so"],
    );
    let ended = run(sa_run().args(ASKS).env("SLEEPER_AGENT_LIB", &first));
    ended.expect_refusal(125, &["of another version than this command"]);
    let second = fs::canonicalize(library_in(&folder, "lib64")).unwrap();
    assert_eq!(preloads(command(&program)), second.display().to_string());
}

plain_case!(installed_twice);
/// Another copy in LD_PRELOAD is left out, in one line; the same file under another name is no other.
fn installed_twice() {
    let folder = Scratch::new();
    let (other, third) = (library_in(&folder, "one"), library_in(&folder, "two"));
    let ours = product().library.display().to_string();
    let with = |present: &str| {
        let ended = run(sa_run().args(ASKS).env("LD_PRELOAD", present));
        ended.expect_code(0);
        (ended.out().trim().to_owned(), ended.err())
    };
    let other = other.display();
    let (value, said) = with(&format!("libm.so.6:{other}"));
    assert_eq!(value, format!("{ours}:libm.so.6"));
    assert_eq!(said.lines().count(), 1, "{said}");
    for word in ["another libsleeper.so already", &other.to_string(), &ours] {
        assert!(said.contains(word), "{said}");
    }
    let (value, said) = with(&format!("{ours} {other}:{}", third.display()));
    assert_eq!((&*value, said.lines().count()), (&*ours, 2), "{said}");
    let link = folder.join("link.so");
    symlink(&product().library, &link).unwrap();
    let present = link.display().to_string();
    assert_eq!(with(&present), (present, String::new()));
}

plain_case!(words_of_the_loader);
/// The loader replaces `$LIB`, with another folder for each word size.
fn words_of_the_loader() {
    let folder = Scratch::new();
    for name in ["lib/x86_64-linux-gnu", "lib64"] {
        library_in(&folder, name);
    }
    let name = format!("{}/$LIB/libsleeper.so", folder.display());
    let ended = run(sa_run()
        .args(["sh", "-c", "echo \"$LD_PRELOAD\"; cat /proc/$$/maps"])
        .env("SLEEPER_AGENT_LIB", &name));
    ended.expect_code(0);
    assert_eq!(ended.err(), "");
    let out = ended.out();
    assert_eq!(out.lines().next(), Some(&*name));
    assert!(out.contains("/libsleeper.so\n"), "{out}");
    let missing = format!("{}/$LIB/none.so", folder.display());
    let ended = run(sa_run().args(ASKS).env("SLEEPER_AGENT_LIB", missing));
    ended.expect_refusal(125, &["none.so cannot be opened"]);
}

/// A shell line in a mount namespace of its own, whose mounts go with it.
fn with_mounts(line: &str, arguments: &[&Path]) -> Command {
    let mut shell = command("unshare");
    shell.args(["-m", "--propagation", "private", "sh", "-ec", line, "sh"]);
    shell.args(arguments);
    shell
}

plain_case!(not_executable, Root);
fn not_executable() {
    let folder = Scratch::new();
    let mounted = folder.join("mounted");
    fs::create_dir(&mounted).unwrap();
    let line = "mount -t tmpfs -o noexec none \"$1\"; cp \"$2\" \"$1\"; \
                SLEEPER_AGENT_LIB=\"$1/libsleeper.so\" exec \"$3\" echo started";
    let paths = [&*mounted, &*product().library, &*product().sa_run];
    let ended = run(&mut with_mounts(line, &paths));
    ended.expect_refusal(125, &["mounted noexec", "mounted/libsleeper.so"]);
}

plain_case!(read_only, Root);
fn read_only() {
    let folder = Scratch::new();
    let program = installed(&folder);
    let library = library_in(&folder, "lib");
    fs::set_permissions(&library, Permissions::from_mode(0o444)).unwrap();
    let line = "mount --bind \"$1\" \"$1\"; mount -o remount,ro,bind \"$1\"; \
                ! touch \"$1/file\" 2>/dev/null; exec \"$2\" sh -c 'echo \"$LD_PRELOAD\"'";
    let ended = run(&mut with_mounts(line, &[&folder, &program]));
    ended.expect_code(0);
    assert_eq!(ended.err(), "");
    assert!(ended.out().ends_with("/lib/libsleeper.so\n"), "{ended:?}");
}
