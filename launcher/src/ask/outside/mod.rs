//! The way without an agent: where none can be loaded, this command reads the stacks from the process's memory itself.
//!
//! Enters: a process, and why nothing was loaded. Leaves: the bytes of an answer, in the form in which an agent gives one
//! that it has read from memory. What changes meanwhile is read again; a thread whose stack changes all the time is held
//! while its frames are read. It takes the right to trace the process, as loading does.

mod stacks;
mod threads;

use std::fmt::Write;
use std::io;
use std::time::{Duration, Instant};

use crate::ask::outside::stacks::Stacks;
use crate::ask::outside::threads::Threads;
use crate::find::interpreter;
use crate::find::target::Alive;
use crate::state::budget::AnswerBytes;
use crate::system::process::Process;
use crate::trouble::Trouble;
use protocol::names::{NOBODY_RUNS_PYTHON, THREAD_HEADING, WALK_HEADING};
use protocol::walk;

/// The longest time for all stacks.
const LONGEST: Duration = Duration::from_secs(2);

/// No more text is made, in bytes.
const MOST_TEXT: usize = 64 << 20;

/// Reads the stacks of a process into which nothing could be loaded, for this reason. `None` if that is no process of
/// Python 2.6 or 2.7, or we may not read its memory.
pub fn read(process: Process, why: &Trouble) -> Option<AnswerBytes> {
    Alive::examine(process).ok()?;
    let text = read_text(process, why).ok().flatten()?;
    Some(text.into_bytes().into())
}

fn read_text(process: Process, why: &Trouble) -> io::Result<Option<String>> {
    let Some(found) = interpreter::find(process)? else {
        return Ok(None);
    };
    let until = Instant::now() + LONGEST;
    let threads = Threads::of(process, &found.states);
    let mut stacks = Stacks::of(process, found.head);
    let mut text = String::new();
    let mut count = 0;
    for thread in &threads.alive {
        if thread.frame == 0 {
            continue;
        }
        if Instant::now() > until || text.len() > MOST_TEXT {
            text.push_str(walk::CUT);
            break;
        }
        let _ = write!(text, "\n\n{THREAD_HEADING}{}:\n", thread.ident);
        stacks.write(thread, &mut text, until);
        count += 1;
    }
    if !threads.are_all {
        text.push_str(walk::TORN_LIST);
    }
    Ok(Some(match count {
        0 => NOBODY_RUNS_PYTHON.to_owned(),
        _ => format!(
            "{WALK_HEADING}from outside, as nothing was loaded ({})\n{text}",
            why.what()
        ),
    }))
}
