//! What gdb must not load or run: files of the user's and of the target's.

use protocol::names::PARKED_THREAD;
use std::fs;
use std::path::Path;
use std::process::Command;
use tests::ask::{activator, target, woken};
use tests::case;
use tests::interpreters::Interpreter;
use tests::process::run;
use tests::procfs::thread_named;
use tests::scratch::Scratch;

/// A home full of files that gdb, its Python or the C library would load, each of which touches the file
/// `sprung`; and the variables that lead there.
struct Traps {
    folder: Scratch,
}

/// Where the built-in Python may look for modules of the user's.
const VERSIONS: std::ops::Range<u32> = 4..20;

impl Traps {
    fn set() -> Traps {
        let folder = Scratch::new();
        let sprung = folder.join("sprung");
        let gdb = format!("shell touch {}\n", sprung.display());
        for name in [
            ".gdbinit",
            ".gdbearlyinit",
            ".config/gdb/gdbinit",
            ".config/gdb/gdbearlyinit",
            "python2.7-gdb.gdb",
        ] {
            folder.write(name, &gdb);
        }
        let python = format!("open({:?}, 'w').close()\n", sprung.display().to_string());
        for name in ["sitecustomize.py", "usercustomize.py", "startup.py"] {
            folder.write(name, &python);
        }
        for version in VERSIONS {
            let place = format!(".local/lib/python3.{version}/site-packages");
            folder.write(&format!("{place}/usercustomize.py"), &python);
            let line = format!("import sys; {python}");
            folder.write(&format!("{place}/trap.pth"), line);
        }
        Traps { folder }
    }

    /// Has a command run in this home.
    fn lead<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let home = self.folder.to_path_buf();
        command
            .current_dir(&home)
            .env("HOME", &home)
            .env("XDG_CONFIG_HOME", home.join(".config"))
            .env("PYTHONPATH", &home)
            .env("PYTHONSTARTUP", home.join("startup.py"))
            .env("PYTHONUSERBASE", home.join(".local"))
            .env("GDBHISTFILE", home.join("history"))
            .env("TERMINFO", home.join("terminfo"))
            .env("LOCPATH", home.join("locale"))
            .env("GCONV_PATH", home.join("gconv"))
    }

    fn are_sprung(&self) -> bool {
        self.folder.join("sprung").exists()
    }
}

case!(files_of_the_users, OnlyOne);
/// As root with a home that somebody else writes to, as `sudo` may keep it.
fn files_of_the_users(python: &Interpreter) {
    let traps = Traps::set();
    let program = woken(target(python, "single.py").arg("sleeping"));
    let mut asking = activator(["--via", "gdb", &program.pid().to_string()]);
    run(traps.lead(&mut asking)).expect_code(0);
    assert!(!traps.are_sprung(), "gdb ran a file of the user's");
    program.handles_sigterm();
}

/// A gdb that strace watches. It watches gdb alone: gdb could not try out what its own child can do if that
/// had a tracer already.
fn watched_gdb(folder: &Scratch) -> String {
    let text = format!(
        "#!/bin/sh\nexec strace -qq -o '{}' -e trace=file gdb \"$@\"\n",
        folder.join("trace").display()
    );
    folder.program("watched-gdb", text).display().to_string()
}

/// The path in a line of strace's; `None` if it was not opened.
fn opened(line: &str) -> Option<&str> {
    let call = line
        .strip_prefix("openat(")
        .or(line.strip_prefix("open("))?;
    let succeeded = !line.rsplit_once(" = ")?.1.starts_with('-');
    call.split('"').nth(1).filter(|_| succeeded)
}

case!(what_gdb_opens, Strace);
/// gdb opens nothing of the user's, and of the target nothing but what Linux shows of it in /proc.
fn what_gdb_opens(python: &Interpreter) {
    let traps = Traps::set();
    // A program whose interpreter's folder, and current folder, gdb might search.
    let work = Scratch::new();
    for name in ["python-gdb.py", "libsleeper.so-gdb.py", ".gdbinit"] {
        work.write(name, "");
    }
    let program = woken(
        target(python, "single.py")
            .arg("sleeping")
            .current_dir(&*work),
    );
    let gdb = watched_gdb(&traps.folder);
    let pid = program.pid().to_string();
    let mut asking = activator(["--via", "gdb", "--gdb", &gdb, &pid]);
    run(traps.lead(&mut asking)).expect_code(0);
    let trace = fs::read_to_string(traps.folder.join("trace")).unwrap();
    let all: Vec<&str> = trace.lines().filter_map(opened).collect();
    // gdb knows the agent's thread by its number.
    let thread = thread_named(program.pid(), PARKED_THREAD).expect("an agent");
    let task = format!("/proc/{thread}/");
    assert!(all.iter().any(|path| path.starts_with(&task)), "{trace}");
    let interpreter = fs::canonicalize(&python.path).unwrap();
    let theirs = [
        traps.folder.to_path_buf(),
        work.to_path_buf(),
        python.path.clone(),
        interpreter,
        tests::product::product().library.clone(),
    ];
    for path in all {
        let theirs = theirs.iter().find(|one| Path::new(path).starts_with(one));
        assert!(theirs.is_none(), "gdb opened {path}");
        // The kernel's files of the process, and no link into what is the process's own.
        if let Some(file) = path.strip_prefix(&task) {
            let links = ["exe", "root", "cwd", "fd/", "map_files/"];
            let link = links.iter().find(|link| file.starts_with(**link));
            assert!(link.is_none(), "gdb opened {path}");
        }
    }
    assert!(!traps.are_sprung());
    program.handles_sigterm();
}
