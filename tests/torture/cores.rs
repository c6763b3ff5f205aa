//! One core for a program and the command that asks it. gdb takes time to start, and a program that
//! lives for a tenth of a second would have ended by then, or passed the intended moment. Where the
//! two share a core and gdb gets nearly all of it, the program almost stands still until gdb is
//! ready, without a signal or a tracer that it could notice.
//!
//! Not all of it: with a real-time priority one of the two can wait in the kernel for the other for
//! ever.

use crate::dice::Dice;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A core's number.
#[derive(Clone, Copy, Debug)]
pub struct Core(usize);

/// The niceness of the foremost program: about nine times the share of others, which do not starve.
const FOREMOST: libc::c_int = -10;

impl Core {
    /// A random core that we may use. None unless we are root: only root may lower niceness.
    pub fn any(dice: &mut Dice) -> Option<Core> {
        // SAFETY: geteuid has no conditions. An all-zero cpu_set_t is an empty set, which the
        // call fills; CPU_ISSET gets only numbers that fit into the set.
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

    /// Pins the command to this core.
    pub fn hold(self, command: &mut Command) {
        self.place(command, 0);
    }

    /// Pins the command to this core, and gives it nearly all of the core.
    pub fn hold_foremost(self, command: &mut Command) {
        self.place(command, FOREMOST);
    }

    fn place(self, command: &mut Command, nice: libc::c_int) {
        // SAFETY: between fork and exec the closure makes plain system calls, which are
        // async-signal-safe; it owns the set.
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
