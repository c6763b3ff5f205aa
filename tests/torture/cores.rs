//! One core for a program and for who asks it. gdb takes its time to start, and a program that
//! has but a tenth of a second to live would be gone by then, or past the moment that was meant.
//! Where the two share a core and gdb may have nearly all of it, the program stands almost still
//! until gdb is there, without a signal or a tracer that it could notice.
//!
//! Nearly: with a real-time priority one of the two can wait in the kernel for the other for ever.

use crate::dice::Dice;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use tests::procfs;

/// A core's number.
#[derive(Clone, Copy, Debug)]
pub struct Core(usize);

/// So much of a core: about nine times what others get, and not so much that they starve.
const FOREMOST: libc::c_int = -10;

impl Core {
    /// One of those that we may use. None for others than root, who may prefer nobody.
    pub fn any(dice: &mut Dice) -> Option<Core> {
        // SAFETY: geteuid has no conditions. An all-zero cpu_set_t is an empty one, which the
        // call fills; CPU_ISSET is given numbers that it has room for.
        let usable: Vec<usize> = unsafe {
            if libc::geteuid() != 0 {
                return None;
            }
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
            (0..libc::CPU_SETSIZE as usize)
                .filter(|&core| libc::CPU_ISSET(core, &set))
                .collect()
        };
        usable.get(dice.below(usable.len())).copied().map(Core)
    }

    /// The command runs on this core.
    pub fn hold(self, command: &mut Command) {
        self.place(command, 0);
    }

    /// The command runs on this core, and gets nearly all of it.
    pub fn hold_foremost(self, command: &mut Command) {
        self.place(command, FOREMOST);
    }

    fn place(self, command: &mut Command, nice: libc::c_int) {
        // SAFETY: between fork and exec the closure makes plain system calls, which are
        // async-signal-safe; the set is its own.
        unsafe {
            command.pre_exec(move || {
                let mut set: libc::cpu_set_t = std::mem::zeroed();
                libc::CPU_SET(self.0, &mut set);
                libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
                if nice != 0 {
                    libc::setpriority(libc::PRIO_PROCESS, 0, nice);
                }
                Ok(())
            });
        }
    }
}

/// gdb, whose activator this is, comes first too. Niceness counts only within a session where
/// the kernel groups by sessions, and gdb is started in one of its own. Whether there is a gdb yet.
pub fn prefer_gdb(activator: i32) -> bool {
    let Some(&gdb) = procfs::children(activator).first() else {
        return false;
    };
    // Until it has become gdb it is in the activator's session.
    let is_gdb = procfs::read(gdb, "comm").trim() == "gdb";
    if is_gdb {
        let _ = fs::write(format!("/proc/{gdb}/autogroup"), FOREMOST.to_string());
    }
    is_gdb
}
