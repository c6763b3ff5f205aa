//! What the loader will do with a command: will the library be loaded into it?

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::getxattr_query;

use crate::run::shebang;
use crate::system::elf::{self, Machine};
use crate::system::path_search::{NOT_FOUND, Refusal, executable, find, not_runnable};
use crate::trouble::Trouble;

/// The exit status if `sa-run` itself fails (as `env` has it).
pub const OWN_TROUBLE: u8 = 125;

/// The depth of interpreters of interpreters at which the kernel gives up.
const DEEPEST: usize = 5;

/// Makes sure that the loader will load the library into the program that the kernel starts for this file:
/// the file itself, or the interpreter that its `#!` line names.
/// With `needs_glibc` the library goes into no program of another C library.
pub fn check(path: &Path, search_path: Option<&OsStr>, needs_glibc: bool) -> Result<(), Refusal> {
    check_at_depth(path, search_path, needs_glibc, 0)
}

fn check_at_depth(
    path: &Path,
    search_path: Option<&OsStr>,
    needs_glibc: bool,
    depth: usize,
) -> Result<(), Refusal> {
    // The kernel judges files that we may execute but not read, endless scripts, and pipes: to open a
    // pipe would be to wait.
    if depth > DEEPEST || !path.is_file() {
        return Ok(());
    }
    let Ok(file) = File::open(path) else {
        return Ok(());
    };
    match elf::read(&file) {
        Ok(Some(program)) => return check_program(path, &file, &program, needs_glibc),
        Ok(None) => {}
        Err(error) => {
            return Err(own(
                format!("{} is a damaged program ({error})", path.display()),
                "restore it",
            ));
        }
    }
    let mut beginning = [0; shebang::FIRST_LINE];
    let length = file.read_at(&mut beginning, 0).unwrap_or(0);
    let Some(line) = shebang::first_line(&beginning[..length]) else {
        // `execvp` gives a file that the kernel cannot run to the shell.
        return check_at_depth(Path::new("/bin/sh"), search_path, needs_glibc, depth + 1);
    };
    let interpreter = Path::new(&line.program);
    if let Err(error) = executable(interpreter) {
        let refusal = not_runnable(interpreter.as_os_str(), &error);
        return Err(Refusal {
            status: refusal.status,
            trouble: Trouble::new(
                format!(
                    "{} is a script for {}, which cannot be run ({error})",
                    path.display(),
                    line.program
                ),
                "correct its first line",
            ),
        });
    }
    check_at_depth(interpreter, search_path, needs_glibc, depth + 1)?;
    match line
        .through_env()
        .map(|name| find(OsStr::new(name), search_path))
    {
        // If `env` cannot find it, `env` says so.
        Some(Ok(program)) => check_at_depth(&program, search_path, needs_glibc, depth + 1),
        _ => Ok(()),
    }
}

fn check_program(
    path: &Path,
    file: &File,
    program: &elf::Executable,
    needs_glibc: bool,
) -> Result<(), Refusal> {
    let shown = path.display();
    if let Some(ours) = Machine::ours()
        && program.machine != ours
    {
        return Err(own(
            format!(
                "{shown} is a {} program, and the library is for {ours}",
                program.machine
            ),
            "use the sa-run that was built for it",
        ));
    }
    let name = path.file_name().unwrap_or_default().as_bytes();
    match &program.interpreter {
        // The loader, run as a command, preloads as usual.
        None if name.starts_with(b"ld-linux") || name.starts_with(b"ld.so") => {}
        None => {
            return Err(own(
                format!("{shown} is statically linked, so that nothing can be preloaded"),
                "let the Python program `import sleeper_agent` instead, or start what it runs with sa-run",
            ));
        }
        Some(loader) if needs_glibc && loader.contains("ld-musl") => {
            return Err(own(
                format!("{shown} is built for musl, and the library for glibc"),
                "use a Python that is built for glibc",
            ));
        }
        Some(loader) if !Path::new(loader).exists() => {
            return Err(Refusal {
                status: NOT_FOUND,
                trouble: Trouble::new(
                    format!("{shown} needs the loader {loader}, which is not there"),
                    "install the C library that it was built for",
                ),
            });
        }
        Some(_) => {}
    }
    if let Some(reason) = file
        .metadata()
        .ok()
        .and_then(|data| privileged(&data, path))
    {
        return Err(own(
            format!("{shown} {reason}, so that the loader ignores LD_PRELOAD"),
            "start it as the user it changes to, or start a copy without that privilege",
        ));
    }
    Ok(())
}

/// How the kernel gives this program more rights than we have, if it does: the loader then ignores the
/// environment.
fn privileged(data: &Metadata, path: &Path) -> Option<&'static str> {
    let user = rustix::process::getuid().as_raw();
    let group = rustix::process::getgid().as_raw();
    if data.mode() & libc::S_ISUID != 0 && data.uid() != user {
        return Some("changes its user (set-user-ID)");
    }
    // Without the group's execute bit, set-group-ID means something else.
    let changes_group = libc::S_ISGID | libc::S_IXGRP;
    if data.mode() & changes_group == changes_group && data.gid() != group {
        return Some("changes its group (set-group-ID)");
    }
    (user != 0 && has_capabilities(path)).then_some("has file capabilities")
}

fn has_capabilities(path: &Path) -> bool {
    getxattr_query(path, c"security.capability").is_ok_and(|size| size > 0)
}

fn own(what: String, next: &str) -> Refusal {
    Refusal {
        status: OWN_TROUBLE,
        trouble: Trouble::new(what, next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::path_search::NOT_EXECUTABLE;
    #[test]
    fn finds_commands_as_the_shell_does() {
        let path = OsStr::new("/no/such/folder:/bin");
        let found = find(OsStr::new("sh"), Some(path)).expect("a shell");
        assert_eq!(found, Path::new("/bin/sh"));
        assert_eq!(
            find(OsStr::new("/bin/sh"), None).expect("a shell"),
            Path::new("/bin/sh")
        );
        let status = |command: &str| {
            find(OsStr::new(command), Some(path))
                .expect_err(command)
                .status
        };
        assert_eq!(status("no-such-command"), NOT_FOUND);
        assert_eq!(status(""), NOT_FOUND);
        assert_eq!(status("/no/such/command"), NOT_FOUND);
        assert_eq!(status("/tmp"), NOT_EXECUTABLE);
        assert_eq!(status("/etc/passwd"), NOT_EXECUTABLE);
    }

    #[test]
    fn the_shell_takes_the_library() {
        assert_eq!(check(Path::new("/bin/sh"), None, true), Ok(()));
    }

    #[test]
    fn follows_a_script_to_its_interpreter() {
        let script = std::env::temp_dir().join(format!("sleeper-script-{}", std::process::id()));
        let refused = |text: &str| {
            std::fs::write(&script, text).expect("a file in the temporary directory");
            check(&script, None, true)
                .err()
                .map(|refusal| refusal.status)
        };
        assert_eq!(refused("#!/bin/sh\n"), None);
        assert_eq!(refused("echo no first line\n"), None);
        assert_eq!(refused(""), None);
        assert_eq!(refused("#!/no/such/interpreter\n"), Some(NOT_FOUND));
        assert_eq!(refused("#!/etc/passwd\n"), Some(NOT_EXECUTABLE));
        std::fs::remove_file(&script).expect("just written");
    }
}
