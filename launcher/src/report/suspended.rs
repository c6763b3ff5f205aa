//! Suspended greenlets and generators, in the full format.

use std::fmt::Write;

use crate::printable::Printable;
use crate::report::frames::Frames;
use crate::state::coroutines::{self, Coroutines};
use crate::state::greenlets::{self, Greenlet, Greenlets};

impl Coroutines {
    /// Writes what there is to say above the threads: how many more there are, or that they are
    /// not known.
    pub(crate) fn write_note(&self, text: &mut String) {
        match self {
            Coroutines::Unknown => {
                text.push_str("Suspended generators cannot be found here.\n");
            }
            Coroutines::Told(told) if told.left_out > 0 => {
                let _ = writeln!(
                    text,
                    "Not all suspended generators are told of: there are {} more",
                    told.left_out
                );
            }
            _ => {}
        }
    }
}

impl coroutines::Told {
    /// How many there are, in words; `None` if there are none.
    pub(crate) fn counted(&self) -> Option<String> {
        match self.count + self.left_out {
            0 => None,
            1 => Some("1 suspended generator".to_owned()),
            count => Some(format!("{count} suspended generators")),
        }
    }

    /// Writes all chains.
    pub(crate) fn write(&self, text: &mut String, frames: &mut Frames) {
        for chain in &self.suspended {
            let name = chain.name.as_deref().unwrap_or("a generator");
            let mut line = format!(
                "### Generator {name}, driven by {}: suspended",
                chain.library.name()
            );
            if chain.frames.len() > 1 {
                let _ = write!(
                    line,
                    ", each of these {} waits for the next",
                    chain.frames.len()
                );
            }
            let _ = writeln!(text, "\n{}", Printable(&line));
            if let Some(wait) = &chain.waits_for {
                let _ = writeln!(text, "  - waits for {}", Printable(&wait.words()));
            }
            for frame in &chain.frames {
                frames.write(text, ' ', frame);
            }
        }
    }
}

impl Greenlets {
    /// Writes what there is to say above the threads: how many more there are, or that they are not
    /// known.
    pub(crate) fn write_note(&self, text: &mut String) {
        match self {
            Greenlets::Unknown => text.push_str("Greenlets cannot be found here.\n"),
            Greenlets::Told(told) if told.left_out > 0 => {
                let _ = writeln!(
                    text,
                    "Not all greenlets are looked at: there are {} more",
                    told.left_out
                );
            }
            _ => {}
        }
    }
}

impl greenlets::Told {
    /// What is told of a thread's greenlets below its heading, in lines.
    pub(crate) fn of_thread(&self, thread: Option<u64>) -> Vec<String> {
        let current = self.current.iter().filter(|one| one.thread == thread);
        let mut lines: Vec<String> = current
            .map(|one| format!("its current greenlet is {}", one.named()))
            .collect();
        let not_started = self.not_started.iter().filter(|one| one.thread == thread);
        lines.extend(not_started.map(|one| match one.count {
            1 => "a greenlet of it has not started".to_owned(),
            count => format!("{count} greenlets of it have not started"),
        }));
        lines
    }

    /// Writes the suspended ones of some threads.
    pub(crate) fn write(
        &self,
        text: &mut String,
        frames: &mut Frames,
        of: impl Fn(Option<u64>) -> bool,
    ) {
        for greenlet in self.suspended.iter().filter(|one| of(one.thread)) {
            let _ = writeln!(text, "\n{}", Printable(&greenlet.heading()));
            if let Some(wait) = &greenlet.waits_for {
                let _ = writeln!(text, "  - waits for {}", wait.words());
            }
            frames.write_stack(text, &greenlet.frames);
        }
        if of(None) {
            for line in self.of_thread(None) {
                let _ = writeln!(text, "\nOf a thread that is not known: {line}");
            }
        }
    }
}

impl Greenlet {
    /// The line over its stack.
    fn heading(&self) -> String {
        let mut line = format!("### Greenlet {}", self.named());
        match self.thread {
            Some(thread) => {
                let _ = write!(line, " of thread {thread}");
            }
            None => line.push_str(" of a thread that is not known"),
        }
        line.push_str(match self.suspended {
            true => ": suspended",
            // It has no frames of Python's.
            false => ": suspended, or the thread's current one",
        });
        line
    }

    /// Its address and what else it is known by.
    fn named(&self) -> String {
        let mut words = format!("{:#x}", self.id);
        if let Some(name) = &self.name {
            let _ = write!(words, " {name:?}");
        }
        let mut more = Vec::new();
        if self.parent.is_none() {
            more.push("the thread's first".to_owned());
        } else if let Some(class) = self.class.as_ref().filter(|&class| class != "greenlet") {
            more.push(class.clone());
        }
        if let Some(function) = &self.function {
            more.push(format!("runs {function}"));
        }
        if !more.is_empty() {
            let _ = write!(words, " ({})", more.join(", "));
        }
        words
    }
}
