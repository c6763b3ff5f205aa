//! Frames, read from the memory of a process that runs on meanwhile.
//!
//! An object is believed only if its type's name says what it is, and a stack only if it is the same twice in a row while
//! its thread did not run. That it is the same twice is not enough: frames are used again at once, at the same addresses,
//! and one that is being taken away has no caller any more. A thread that runs is held while it is read, mostly for less
//! than a millisecond. So no stack is made of two moments without a mark.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::ask::outside::threads::Thread;
use crate::find::interpreter::{kind_of, type_name_is};
use crate::system::memory::{read_memory, read_word};
use crate::system::process::Process;
use crate::system::thread_status::ThreadStatus;
use crate::system::tracee::{self, Look, Tracee};
use protocol::layout::{
    CODE_FILENAME, CODE_FIRST_LINE, CODE_LINE_TABLE, CODE_NAME, FRAME_BACK, FRAME_CODE,
    FRAME_LAST_INSTRUCTION, LONGEST_LINE_TABLE, Line, STRING_BYTES, THREAD_FRAME, WORD,
};
use protocol::walk::{self, INNERMOST_SHOWN, LONGEST_NAME, MOST_FRAMES, OUTERMOST_SHOWN};

/// How often a stack is read until its thread did not run meanwhile, before the thread is held.
const TRIES: usize = 10;

/// The longest time that a thread is held: what else of its stack there is, is left out.
const LONGEST_HOLD: Duration = Duration::from_millis(20);

/// The longest time for a thread to stop. Until then it runs. If we gave up sooner, nobody would have the kernel make the
/// system call again that the stop ends a moment later.
const LONGEST_STOP: Duration = Duration::from_secs(3);

/// How much of code objects is kept for the next frame at the same place, in bytes; and what each takes at least.
const MOST_KEPT: usize = 4 << 20;
const FEE: usize = 2 * LONGEST_NAME;

/// A frame of a stack.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Frame {
    address: u64,
    code: u64,
    /// Where it is in its code. The innermost one moves all the time.
    instruction: i32,
}

/// What has been read of a code object.
struct Code {
    file: String,
    name: String,
    first_line: i32,
    table: Option<Vec<u8>>,
}

/// Reads stacks of a process.
pub struct Stacks {
    process: Process,
    /// The size of PyObject_HEAD.
    head: u64,
    /// By address; `None` of what is no code object.
    codes: HashMap<u64, Option<Code>>,
    /// How many bytes these take.
    kept: usize,
    /// The addresses of types, by their names.
    types: HashMap<&'static [u8], u64>,
}

impl Stacks {
    /// Of a process whose objects begin with a head of this size, in bytes.
    pub fn of(process: Process, head: u64) -> Stacks {
        Stacks {
            process,
            head,
            codes: HashMap::new(),
            kept: 0,
            types: HashMap::new(),
        }
    }

    /// Writes a thread's stack as `traceback.format_stack` does, outermost frame first, without lines of source.
    pub fn write(&mut self, thread: &Thread, text: &mut String, until: Instant) {
        let (frames, mark) = self.settled(thread, until);
        let mark = mark.or(frames.is_empty().then_some("no Python code any more"));
        if let Some(mark) = mark {
            let _ = writeln!(text, "  ... {mark} ...");
        }
        let beyond = frames.len().saturating_sub(INNERMOST_SHOWN);
        let left_out = beyond.saturating_sub(OUTERMOST_SHOWN);
        for (index, frame) in frames.iter().enumerate().rev() {
            if left_out > 0 && index == INNERMOST_SHOWN {
                let _ = writeln!(text, "  ... {left_out} frames left out ...");
            }
            if !(INNERMOST_SHOWN..INNERMOST_SHOWN + left_out).contains(&index) {
                self.write_frame(*frame, text);
            }
        }
    }

    /// A thread's frames, innermost first, and what is wrong with them.
    fn settled(&mut self, thread: &Thread, until: Instant) -> (Vec<Frame>, Option<&'static str>) {
        let places = |frames: &[Frame]| -> Vec<(u64, u64)> {
            frames.iter().map(|one| (one.address, one.code)).collect()
        };
        for _ in 0..TRIES {
            let Some(rest) = self.rest(thread) else {
                break;
            };
            let (before, now) = (self.frames(thread, until), self.frames(thread, until));
            let is_same = now.1.is_none() && places(&now.0) == places(&before.0);
            if is_same && self.rest(thread) == Some(rest) {
                return now;
            }
        }
        if let Some(held) = self.held(thread) {
            return held;
        }
        let (frames, mark) = self.frames(thread, until);
        let mark = mark.unwrap_or("the stack may have changed while it was read");
        (frames, Some(mark))
    }

    /// As [`ThreadStatus::rest`]; `None` too if the thread's number is not known.
    fn rest(&self, thread: &Thread) -> Option<u64> {
        ThreadStatus::read(self.process, thread.number?)?.rest()
    }

    /// The frames of a thread, which is held meanwhile; `None` if it cannot be held.
    fn held(&mut self, thread: &Thread) -> Option<(Vec<Frame>, Option<&'static str>)> {
        let number = thread.number?;
        let process = self.process;
        let read = |_: &Tracee| self.frames(thread, Instant::now() + LONGEST_HOLD);
        match tracee::while_stopped(process, number, LONGEST_STOP, read) {
            Ok(Look::Seen(frames)) => Some(frames),
            _ => None,
        }
    }

    /// The frames that a thread has now, as far as they can be read in this time, and what is wrong with them.
    fn frames(&mut self, thread: &Thread, until: Instant) -> (Vec<Frame>, Option<&'static str>) {
        let mut frames = Vec::new();
        let mut seen = HashSet::new();
        let mut next = self
            .word(thread.state.wrapping_add(THREAD_FRAME as u64))
            .unwrap_or(0);
        while next != 0 {
            if frames.len() == MOST_FRAMES {
                return (frames, Some(walk::TOO_MANY));
            }
            if frames.len().is_multiple_of(64) && Instant::now() > until {
                return (frames, Some("frames for which there was no time"));
            }
            if !seen.insert(next) {
                return (frames, Some(walk::CIRCLE));
            }
            let Some((frame, back)) = self.frame(next) else {
                return (frames, Some(walk::UNREADABLE));
            };
            frames.push(frame);
            next = back;
        }
        (frames, None)
    }

    /// A frame, and the address of the one that called it.
    fn frame(&mut self, address: u64) -> Option<(Frame, u64)> {
        let body = self.body(address, b"frame\0", true)?;
        let bytes = read_memory(self.process.pid, body, FRAME_LAST_INSTRUCTION + 4).ok()?;
        let word = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let frame = Frame {
            address,
            code: word(FRAME_CODE)?,
            instruction: i32::from_ne_bytes(*bytes.get(FRAME_LAST_INSTRUCTION..)?.first_chunk()?),
        };
        Some((frame, word(FRAME_BACK)?))
    }

    fn write_frame(&mut self, frame: Frame, text: &mut String) {
        if !self.codes.contains_key(&frame.code) {
            let code = self.code(frame.code);
            let table = code.as_ref().and_then(|code| code.table.as_ref());
            self.kept += FEE + table.map_or(0, Vec::len);
            if self.kept > MOST_KEPT {
                self.codes.clear();
                self.kept = 0;
            }
            self.codes.insert(frame.code, code);
        }
        let _ = match self.codes.get(&frame.code) {
            Some(Some(code)) => {
                let line = code.line(frame.instruction);
                let line = line.map_or("?".to_owned(), |line| line.to_string());
                writeln!(
                    text,
                    "  File \"{}\", line {line}, in {}",
                    code.file, code.name
                )
            }
            _ => text.write_str(walk::UNREADABLE_FRAME),
        };
    }

    fn code(&mut self, address: u64) -> Option<Code> {
        let body = self.body(address, b"code\0", false)?;
        let first_line = self.word(body.wrapping_add(CODE_FIRST_LINE as u64))? as i32;
        let mut name = |at: usize| {
            let read = self.string(body.wrapping_add(at as u64), LONGEST_NAME);
            read.map_or("?".to_owned(), |(bytes, is_whole)| {
                let name = printable(&bytes);
                if is_whole { name } else { name + "..." }
            })
        };
        let (file, name) = (name(CODE_FILENAME), name(CODE_NAME));
        let table = self.string(
            body.wrapping_add(CODE_LINE_TABLE as u64),
            LONGEST_LINE_TABLE,
        );
        Some(Code {
            file,
            name,
            first_line,
            table: table.and_then(|(bytes, is_whole)| is_whole.then_some(bytes)),
        })
    }

    /// The bytes of the `str` that the pointer at this address points to, or so many of them; and whether they are all.
    fn string(&mut self, pointer: u64, most: usize) -> Option<(Vec<u8>, bool)> {
        let object = self.word(pointer)?;
        let body = self.body(object, b"str\0", true)?;
        let length = self.word(body - WORD as u64)?;
        let shown = length.min(most as u64);
        let bytes = read_memory(
            self.process.pid,
            body.wrapping_add(STRING_BYTES as u64),
            shown as usize,
        );
        Some((bytes.ok()?, shown == length))
    }

    /// Where the own fields of the object at this address begin, if its type has this name. `variable` objects have a
    /// size in their head (PyObject_VAR_HEAD).
    fn body(&mut self, object: u64, name: &'static [u8], variable: bool) -> Option<u64> {
        if !object.is_multiple_of(WORD as u64) {
            return None;
        }
        let kind = kind_of(self.process, object, self.head)?;
        match self.types.get(name) {
            Some(known) if *known != kind => return None,
            Some(_) => {}
            None => {
                if !type_name_is(self.process, kind, self.head, name) {
                    return None;
                }
                self.types.insert(name, kind);
            }
        }
        object.checked_add(self.head + if variable { WORD as u64 } else { 0 })
    }

    fn word(&self, address: u64) -> Option<u64> {
        read_word(self.process.pid, address)
    }
}

impl Code {
    fn line(&self, instruction: i32) -> Option<i64> {
        let mut line = Line::of(i64::from(instruction), self.first_line);
        let found = line.after(self.table.as_ref()?);
        Some(found.unwrap_or_else(|| line.at_end()))
    }
}

/// A name without what would break its line.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .map(|one| if one.is_control() { '?' } else { one })
        .collect()
}
