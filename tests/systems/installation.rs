//! An installation of the product, and a Python 2.7 program that runs under it.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tests::ask::woken;
use tests::interpreters::{self, Interpreter};
use tests::process::{Program, command};
use tests::product::product;

/// Where the product is installed, and what runs under it. All paths are those inside `root`.
pub struct Installation {
    /// Its name in the table.
    pub name: String,
    /// The root directory of its processes, if that is not the machine's.
    pub root: Option<PathBuf>,
    /// The folder of the commands.
    pub bin: PathBuf,
    /// The interpreter.
    pub python: PathBuf,
    /// The folder that has greenlet for that interpreter, if there is one.
    pub greenlet: Option<PathBuf>,
    /// Variables for all its processes.
    pub environment: Vec<(&'static str, PathBuf)>,
}

impl Installation {
    /// An installation on the machine itself, asked with one of its interpreters.
    pub fn here(name: &str, bin: PathBuf, python: &Interpreter) -> Installation {
        let libraries = python.libraries.clone();
        let environment = libraries.map(|folder| ("LD_LIBRARY_PATH", folder));
        Installation {
            name: name.to_owned(),
            root: None,
            bin,
            python: python.path.clone(),
            greenlet: greenlet(),
            environment: environment.into_iter().collect(),
        }
    }

    /// A program of this system, not started yet.
    pub fn program(&self, path: impl AsRef<Path>) -> Command {
        let mut command = command(path.as_ref());
        if let Some(root) = &self.root {
            enter(&mut command, root);
        }
        command.envs(self.environment.iter().cloned());
        if let Some(folder) = &self.greenlet {
            command.env("PYTHONPATH", folder);
        }
        command
    }

    /// One of the product's commands, not started yet.
    pub fn command(&self, name: &str) -> Command {
        self.program(self.bin.join(name))
    }

    /// The path of a target for the system's processes.
    pub fn target(&self, name: &str) -> PathBuf {
        let staged = product().target(name);
        let Some(root) = &self.root else {
            return staged;
        };
        let inside = Path::new("/tmp").join(name);
        std::fs::copy(&staged, root.join("tmp").join(name)).expect("a root can be written");
        inside
    }

    /// Starts a target under `sa-run`, and waits until it is ready and has its agent.
    #[track_caller]
    pub fn run(&self, target: &str) -> Program {
        let mut sa_run = self.command("sa-run");
        sa_run.arg(&self.python).arg(self.target(target));
        woken(&mut sa_run)
    }
}

/// The interpreters of this machine, which are looked for once.
pub fn pythons() -> &'static [Interpreter] {
    static FOUND: OnceLock<Vec<Interpreter>> = OnceLock::new();
    FOUND.get_or_init(|| interpreters::find().interpreters)
}

/// The Python 2.7 of this machine that runs under what is installed: no debug build.
#[track_caller]
pub fn python() -> Interpreter {
    let mut found = pythons().iter();
    let found = found.find(|one| one.version == (2, 7) && !one.debug);
    found.expect("a Python 2.7 on this machine").clone()
}

/// The folder of greenlet for wide builds of 2.7 that are not debug builds.
pub fn greenlet() -> Option<PathBuf> {
    let packages = product().root.join(".tools/python2.7-packages");
    packages
        .join("complete")
        .exists()
        .then(|| packages.join("gevent"))
}

/// Makes a command run in another root. The runner must be root.
fn enter(command: &mut Command, root: &Path) {
    let root = CString::new(root.as_os_str().as_bytes()).expect("a path has no zero byte");
    // SAFETY: both are plain system calls, which a forked child may make; the string was made before the fork
    // and belongs to the closure.
    unsafe {
        command.pre_exec(move || {
            let entered = libc::chroot(root.as_ptr()) == 0 && libc::chdir(c"/".as_ptr()) == 0;
            match entered {
                true => Ok(()),
                false => Err(std::io::Error::last_os_error()),
            }
        });
    }
}
