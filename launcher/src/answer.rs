//! What an agent answered, and how it stands in the memory of its process.

use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::unix::fs::FileExt;

use crate::bell::Seen;
use crate::facts::Facts;
use crate::interface::{ANSWER_MAGIC, AnswerHeader, THREAD_HEADING};
use crate::message::{FACTS, FACTS_OF_ANY, LONGEST_ANSWER};
use crate::process::Process;
use crate::trouble::Trouble;
use crate::wanted::Wanted;

/// What an agent said.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The state of every thread, as text.
    State(Vec<u8>),
    /// What there is to tell of every thread.
    Facts(Facts),
    /// Why there is no state, in one line.
    Reason(String),
}

impl Answer {
    /// From what came. Where facts were asked for, it may still be text: how the agent gets at the
    /// threads without the GIL, or why there is no state.
    pub fn parse(answer: Vec<u8>) -> Result<Self, Trouble> {
        if answer.starts_with(FACTS_OF_ANY) {
            let facts = answer.strip_prefix(FACTS).and_then(Facts::parse);
            return facts.map(Answer::Facts).ok_or_else(of_another_version);
        }
        Ok(if has_heading(&answer) {
            Answer::State(answer)
        } else {
            Answer::Reason(String::from_utf8_lossy(&answer).trim().to_owned())
        })
    }
}

fn has_heading(text: &[u8]) -> bool {
    let heading = THREAD_HEADING.as_bytes();
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.any(|line| line.starts_with(heading))
}

/// Whether this is the answer to a question for this, and not to another command's, by the number of
/// the question that its header has; where that was none, it tells why, and is for anyone.
pub fn is_for(question: u64, wanted: Wanted) -> bool {
    question == 0 || question == wanted.number()
}

/// An answer that may be replaced while it is fetched.
pub enum Fetched {
    /// All of it, and `AnswerHeader::question`.
    Text(Vec<u8>, u64),
    /// It is not there any more.
    Replaced,
}

/// Fetches the answer that a bell tells of, from a process that runs and may answer others.
pub fn fetch_numbered(process: Process, seen: Seen) -> Fetched {
    let read = |address, length| read_memory(process.pid, address, length);
    let header = || {
        let address = seen.text.checked_sub(size_of::<AnswerHeader>() as u64)?;
        let header = parse_header(&read(address, size_of::<AnswerHeader>()).ok()?)?;
        (header.number == seen.number).then_some(header)
    };
    let text = || {
        let text = read(seen.text, length_of(&header()?)).ok()?;
        // The library takes a header back before it writes over the text.
        header().map(|header| Fetched::Text(text, header.question))
    };
    text().unwrap_or(Fetched::Replaced)
}

/// The trouble of a library that this command does not understand.
pub fn of_another_version() -> Trouble {
    Trouble::new(
        "the library in this process is of another version than this command",
        "use the sleeper_agent_activate that was installed with that library, or restart the program with this one",
    )
}

/// The trouble where we were told to stop before the answer came.
pub fn not_waited_for() -> Trouble {
    Trouble::plain("its answer was not waited for, because this command was told to stop")
}

/// It fits into usize: it is below LONGEST_ANSWER, and 32-bit processes are not larger than that.
fn length_of(header: &AnswerHeader) -> usize {
    usize::try_from(header.length).unwrap_or(usize::MAX)
}

fn parse_header(bytes: &[u8]) -> Option<AnswerHeader> {
    let number = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let header = AnswerHeader {
        magic: *bytes.first_chunk()?,
        length: number(offset_of!(AnswerHeader, length))?,
        number: number(offset_of!(AnswerHeader, number))?,
        question: number(offset_of!(AnswerHeader, question))?,
    };
    (header.magic == ANSWER_MAGIC && header.length < LONGEST_ANSWER).then_some(header)
}

/// Reads another process's memory; the kernel asks of us the same right that a debugger needs.
pub fn read_memory(pid: i32, address: u64, length: usize) -> io::Result<Vec<u8>> {
    let error = match copy_memory(pid, address, length) {
        // A filter for system calls may forbid this one and not that one.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)) => error,
        result => return result,
    };
    let memory = File::open(format!("/proc/{pid}/mem")).map_err(|_| error)?;
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(length)?;
    bytes.resize(length, 0);
    memory.read_exact_at(&mut bytes, address)?;
    Ok(bytes)
}

fn copy_memory(pid: i32, address: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(length)?;
    while bytes.len() < length {
        let missing = length - bytes.len();
        let local = libc::iovec {
            iov_base: bytes.spare_capacity_mut().as_mut_ptr().cast(),
            iov_len: missing,
        };
        let remote = libc::iovec {
            iov_base: (address + bytes.len() as u64) as usize as *mut libc::c_void,
            iov_len: missing,
        };
        // SAFETY: `local` describes the unused part of `bytes`, which is at least `missing`
        // bytes long, since `length` was reserved; the kernel writes nowhere else. `remote` is
        // an address in the other process, which the kernel checks.
        let read = unsafe { libc::process_vm_readv(pid, &local, 1, &remote, 1, 0) };
        match usize::try_from(read) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            // SAFETY: the kernel has just initialised `read` bytes behind the present length,
            // and no more than were asked for.
            Ok(read) => unsafe { bytes.set_len(bytes.len() + read) },
            Err(_) => return Err(io::Error::last_os_error()),
        }
    }
    Ok(bytes)
}

/// The trouble of an answer, or a bell, that cannot be read.
pub fn unreadable(error: &io::Error) -> Trouble {
    Trouble::plain(format!(
        "its answer could not be read from memory ({error})"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_memory(magic: &[u8; 8], length: u64, text: &[u8]) -> Vec<u8> {
        let (number, question) = (7_u64, 9);
        let rest = [length, number, question].map(u64::to_ne_bytes).concat();
        [magic, &rest[..], text].concat()
    }

    #[test]
    fn notices_that_an_answer_was_replaced() {
        let memory = in_memory(&ANSWER_MAGIC, 5, b"hello\0");
        let seen = |number| Seen {
            listens: true,
            rung: 1,
            answered: 1,
            text: memory.as_ptr() as u64 + 32,
            number,
            detours: 0,
            asked: 0,
            question: 0,
        };
        let us = Process {
            pid: std::process::id() as i32,
        };
        assert!(matches!(fetch_numbered(us, seen(7)), Fetched::Text(text, 9) if text == b"hello"));
        assert!(matches!(fetch_numbered(us, seen(8)), Fetched::Replaced));
        let nowhere = Seen { text: 8, ..seen(7) };
        assert!(matches!(fetch_numbered(us, nowhere), Fetched::Replaced));
    }

    #[test]
    fn tells_a_state_from_a_reason() {
        let parsed = |answer: &[u8]| Answer::parse(answer.to_vec()).expect("an answer");
        let state = b"(read without the GIL)\n### Thread 1:\n  File";
        assert_eq!(parsed(state), Answer::State(state.to_vec()));
        for reason in [
            "the interpreter is shutting down\n",
            "a line with ### Thread in it",
        ] {
            let told = Answer::Reason(reason.trim().to_owned());
            assert_eq!(parsed(reason.as_bytes()), told);
        }
        for facts in [FACTS, b"SLEEPER FACTS 1\n"] {
            assert!(Answer::parse([facts, b"what is this"].concat()).is_err());
        }
    }

    #[test]
    fn tells_whose_answer_it_is() {
        let state = Wanted::default();
        let facts = Wanted {
            facts: true,
            ..state
        };
        let locals = Wanted {
            locals: true,
            ..facts
        };
        let all = [state, facts, locals];
        for (index, wanted) in all.into_iter().enumerate() {
            let whose = all.map(|one| is_for(one.number(), wanted));
            assert_eq!(whose, [0, 1, 2].map(|one| one == index));
            assert!(is_for(0, wanted));
        }
    }

    #[test]
    fn reads_memory_and_reports_what_cannot_be_read() {
        let text = b"some text of ours".to_vec();
        let us = std::process::id() as i32;
        let read = read_memory(us, text.as_ptr() as u64, text.len());
        assert_eq!(read.expect("our own memory"), text);
        assert!(read_memory(us, 0, 16).is_err());
    }
}
