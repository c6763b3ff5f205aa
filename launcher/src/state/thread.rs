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

    /// Whether it is one of these: names, identifiers or TIDs. If there are none, it is.
    pub fn is_among(&self, meant: &[String]) -> bool {
        let is_meant = |meant: &String| {
            let is_number = meant.parse().is_ok_and(|meant: i128| {
                let ident = (self.ident != 0).then_some(i128::from(self.ident));
                ident == Some(meant) || self.tid().map(i128::from) == Some(meant)
            });
            is_number || self.name.as_ref() == Some(meant)
        };
        meant.is_empty() || meant.iter().any(is_meant)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_meant_by_name_or_number() {
        let thread = Thread {
            ident: u64::MAX,
            name: Some("a b".to_owned()),
            task: Some(Task {
                number: 17,
                call: None,
                runs: false,
                seconds: None,
            }),
            ..Thread::default()
        };
        let shows = |meant: &[&str]| {
            let meant: Vec<String> = meant.iter().map(|&one| one.to_owned()).collect();
            thread.is_among(&meant)
        };
        assert!(shows(&[]) && shows(&["17"]) && shows(&["x", "a b"]));
        assert!(shows(&["18446744073709551615"]));
        assert!(!shows(&["a"]) && !shows(&["1"]) && !shows(&["-1"]) && !shows(&["0"]));
    }
}
