//! A thread: what its frames and the kernel say of it.

use crate::state::frame::Stack;
use crate::state::variables::Variables;
use crate::state::wait::{Hold, Wait};
use protocol::state::WaitKind;

/// A thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thread {
    /// Its identifier (`thread.get_ident()`).
    pub ident: u64,
    /// What `threading` calls it, if it knows of it.
    pub name: Option<String>,
    /// Whether the program ends without waiting for it; `None` if `threading` doesn't know.
    pub daemon: Option<bool>,
    /// Whether it is the main thread.
    pub main: bool,
    /// What the kernel says of it, if it is still there.
    pub task: Option<Task>,
    /// What it waits for, as far as its frames tell.
    pub wait: Option<Wait>,
    /// The locks that it holds for `with` blocks.
    pub holds: Vec<Hold>,
    /// The addresses of locks that others wait for and that it has in a variable.
    pub has: Vec<u64>,
    /// Its stack.
    pub frames: Stack,
    /// The variables of its frames, where they were asked for; innermost first.
    pub variables: Vec<Variables>,
}

impl Thread {
    /// The variables of the frame that stands here in the stack.
    pub fn variables_at(&self, index: usize) -> Option<&Variables> {
        self.variables.get(self.frames.len() - 1 - index)
    }
}

/// A thread, as the kernel sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its number (TID), in the process's own PID namespace.
    pub number: i32,
    /// The name of the system call that it is in, or its number; `None` if it runs, or the kernel does
    /// not tell.
    pub call: Option<String>,
    /// Whether it runs, or could.
    pub runs: bool,
    /// For how long it has not run, in seconds, if that is known (`idle_times.rs`).
    pub seconds: Option<f64>,
    /// Of one in a futex: whether that is the GIL's, if it is known.
    pub on_gil: Option<bool>,
    /// What that call waits for, if it is known.
    pub wait: Option<Wait>,
}

impl Wait {
    /// Whether what the kernel says of the thread goes with it. Its frames tell where it was when it
    /// last ran Python code: it may have come out of that call, or only tried.
    pub fn agrees(&self, task: &Task) -> bool {
        match task.call.as_deref() {
            // It sleeps and looks, over and over (threading.py, `wait`).
            _ if self.limited == Some(true) => true,
            _ if task.runs => false,
            None => self.kind != WaitKind::Import,
            Some("select" | "pselect6") => self.kind == WaitKind::Sleep,
            // The GIL too is waited for like this. Where it is not known by whom, nothing is said of an
            // import, which may be done with.
            Some("futex") => match task.on_gil {
                Some(true) => false,
                Some(false) => self.kind != WaitKind::Sleep,
                None => !matches!(self.kind, WaitKind::Sleep | WaitKind::Import),
            },
            Some(_) => false,
        }
    }
}
