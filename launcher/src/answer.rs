//! What an agent answered, and how it stands in the memory of its process.

use std::io;

use crate::interface::{ANSWER_MAGIC, AnswerHeader, THREAD_HEADING};
use crate::trouble::Trouble;

/// What an agent said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The state of every thread, as text.
    State(Vec<u8>),
    /// Why there is no state, in one line.
    Reason(String),
}

impl Answer {
    /// Tells a state from a reason for having none.
    pub fn from_text(text: Vec<u8>) -> Self {
        let heading = THREAD_HEADING.as_bytes();
        if text
            .split(|byte| *byte == b'\n')
            .any(|line| line.starts_with(heading))
        {
            Answer::State(text)
        } else {
            Answer::Reason(String::from_utf8_lossy(&text).trim().to_owned())
        }
    }
}

/// No state is longer: a length beyond this is not a length.
const LONGEST: u64 = 1 << 32;

/// Fetches the answer that stands at `address`, header first, by means of `read`, which gets
/// an address and a length.
pub fn fetch(
    address: u64,
    mut read: impl FnMut(u64, usize) -> Result<Vec<u8>, Trouble>,
) -> Result<Vec<u8>, Trouble> {
    let header_size = size_of::<AnswerHeader>();
    let Some(header_at) = address.checked_sub(header_size as u64).filter(|at| *at > 0) else {
        return Err(Trouble::plain("its agent gave no answer at all"));
    };
    let header = parse_header(&read(header_at, header_size)?).ok_or_else(|| {
        Trouble::new(
            "the library in this process is of another version than this command",
            "use the sleeper_agent_activate that was installed with that library, or restart the program with this one",
        )
    })?;
    // It fits into usize: it is below LONGEST, and 32-bit processes are not larger than that.
    let length = usize::try_from(header.length).unwrap_or(usize::MAX);
    read(address, length)
}

fn parse_header(bytes: &[u8]) -> Option<AnswerHeader> {
    let (magic, length) = bytes.split_first_chunk::<8>()?;
    let header = AnswerHeader {
        magic: *magic,
        length: u64::from_ne_bytes(length.try_into().ok()?),
    };
    (header.magic == ANSWER_MAGIC && header.length < LONGEST).then_some(header)
}

/// Reads another process's memory; the kernel asks of us the same right that a debugger needs.
pub fn read_memory(pid: i32, address: u64, length: usize) -> io::Result<Vec<u8>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn in_memory(magic: &[u8; 8], length: u64, text: &[u8]) -> Vec<u8> {
        [magic, &length.to_ne_bytes()[..], text].concat()
    }

    fn fetch_from(memory: &[u8]) -> Result<Vec<u8>, Trouble> {
        fetch(0x1000 + 16, |address, length| {
            let from = (address - 0x1000) as usize;
            Ok(memory[from..from + length].to_vec())
        })
    }

    #[test]
    fn fetches_the_text_behind_its_header() {
        let memory = in_memory(&ANSWER_MAGIC, 5, b"hello\0junk");
        assert_eq!(fetch_from(&memory), Ok(b"hello".to_vec()));
    }

    #[test]
    fn refuses_what_another_version_wrote() {
        let memory = in_memory(b"SLEEPER0", 5, b"hello\0");
        let trouble = fetch_from(&memory).expect_err("another magic");
        assert!(trouble.to_string().contains("another version"));
        let memory = in_memory(&ANSWER_MAGIC, u64::MAX, b"hello\0");
        assert!(fetch_from(&memory).is_err());
        assert!(fetch(0, |_, _| Ok(Vec::new())).is_err());
    }

    #[test]
    fn tells_a_state_from_a_reason() {
        let state = b"(read without the GIL)\n### Thread 1:\n  File".to_vec();
        assert_eq!(Answer::from_text(state.clone()), Answer::State(state));
        assert_eq!(
            Answer::from_text(b"the interpreter is shutting down\n".to_vec()),
            Answer::Reason("the interpreter is shutting down".into())
        );
        assert_eq!(
            Answer::from_text(b"a line with ### Thread in it".to_vec()),
            Answer::Reason("a line with ### Thread in it".into())
        );
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
