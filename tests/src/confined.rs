//! Commands for which the system does less: `tests/hostile/programs/confined.c`.

use crate::compile::compile_hostile;
use crate::process::command;
use crate::scratch::Scratch;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

/// Environment variable that identifies a command and its children.
const MARK: &str = "SLEEPER_CONFINED";

/// The last system calls of Linux 2.6.32, 3.2 and 3.10 as CentOS 7 has it (arch/x86/entry/syscalls/syscall_64.tbl).
pub const LAST_CALLS: [u32; 3] = [298, 311, 313];

/// The program that confines itself.
pub struct Confined {
    _folder: Scratch,
    program: PathBuf,
}

impl Confined {
    /// Builds it.
    #[track_caller]
    pub fn build() -> Confined {
        let folder = Scratch::new();
        let program = compile_hostile("confined.c", &folder, &[]);
        Confined {
            _folder: folder,
            program,
        }
    }

    /// A command under these options of `confined`, still without arguments; and its mark.
    pub fn command(&self, options: &[String], program: impl AsRef<OsStr>) -> (Command, String) {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{count}", std::process::id());
        let mut confined = command(&self.program);
        confined.env(MARK, &mark);
        confined.args(options).arg("--").arg(program);
        (confined, mark)
    }
}

/// Whether a process with this mark is left, which no zombie is.
pub fn is_left(mark: &str) -> bool {
    let mark = format!("{MARK}={mark}");
    let has_mark = |folder: PathBuf| {
        let environment = fs::read(folder.join("environ")).unwrap_or_default();
        let mut entries = environment.split(|byte| *byte == 0);
        entries.any(|entry| entry == mark.as_bytes())
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.map(|entry| entry.path()).any(has_mark)
}
