//! Threads.

use crate::state::frame::Stack;
use crate::state::native::Native;
use crate::state::variables::{StackVariables, Variables};
use crate::state::wait::{Hold, SuspendedHolder, Wait};

/// A thread that runs Python code.
#[derive(Clone, Debug, Default)]
pub struct Thread {
    /// Its identifier (`thread.get_ident()`).
    pub ident: u64,
    /// Its name in the module `threading`, if that knows it, without secrets.
    pub name: Option<String>,
    /// Whether the program ends without waiting for it; `None` if `threading` does not know it.
    pub daemon: Option<bool>,
    /// Whether it is the main thread.
    pub main: bool,
    /// What the kernel says of it; `None` if it has ended meanwhile.
    pub task: Option<Task>,
    /// What it waits for, if that is known.
    pub wait: Option<Wait>,
    /// The locks that it holds for `with` blocks.
    pub holds: Vec<Hold>,
    /// The addresses of locks that other threads wait for and that it has in a variable: it may hold
    /// them.
    pub may_hold: Vec<u64>,
    /// Where no thread holds the lock that it waits for: what is suspended and holds it.
    pub suspended_holders: Vec<SuspendedHolder>,
    /// Its stack.
    pub frames: Stack,
    /// The variables of its frames; none if they were not asked for.
    pub variables: StackVariables,
    /// Whether there was no time for all of them.
    pub variables_cut: bool,
    /// Its native stack, as far as it was asked for.
    pub native: Native,
}

impl Thread {
    /// Its TID, in the process's own PID namespace, if it is known.
    pub fn tid(&self) -> Option<i32> {
        self.task.as_ref().map(|task| task.number)
    }

    /// The variables of the frame with this index in the stack.
    pub fn variables_at(&self, index: usize) -> Option<Variables<'_>> {
        self.variables.at(self.frames.len().checked_sub(index + 1)?)
    }

    /// The memory that it takes, in bytes, without its stack and its variables.
    pub fn size(&self) -> usize {
        let holds = self.holds.iter();
        let holds = holds.map(|hold| size_of::<Hold>() + hold.file.len());
        let name = self.name.as_ref().map_or(0, String::len);
        let wait = self.wait.as_ref().map_or(0, Wait::size);
        // A vector that grows may be twice as long as it must.
        let suspended = self.suspended_holders.iter();
        let suspended = suspended
            .map(|one| 2 * size_of::<SuspendedHolder>() + one.file.len() + one.function.len());
        let holders = holds.sum::<usize>() + suspended.sum::<usize>();
        2 * size_of::<Thread>() + name + wait + holders + 8 * self.may_hold.len()
    }
}

/// A thread as the kernel sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its TID, in the process's own PID namespace.
    pub number: i32,
    /// The name of the system call that it is in, or its number; `None` if it is in none, or the kernel
    /// does not tell.
    pub call: Option<String>,
    /// Whether it runs, or is ready to.
    pub runs: bool,
    /// How long it has been off the CPU, in seconds, if that is known
    /// ([`crate::system::idle_times`]).
    pub seconds: Option<f64>,
}
