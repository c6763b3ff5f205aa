//! Messages between a command and an agent that it wakes by a signal, over a Unix socket.
//!
//! The command listens under a name that nobody can guess, and sends the agent's sleeping thread a signal with the
//! number in that name ([`WakeSignal`]). A thread of the
//! agent's connects. The command sends a [`Kind::Question`], the
//! agent a [`Kind::Answer`]. Each message is a [`Header`] and as many bytes as that says.
//!
//! The header never changes. Change [`VERSION`] whenever the meaning of anything behind it changes.

use crate::question::LONGEST_QUESTION;

/// The version of these messages.
pub const VERSION: u32 = 1;

/// Begins every header.
const MAGIC: [u8; 8] = *b"SLEEPER:";

/// The size of a header, in bytes.
pub const HEADER: usize = 24;

/// Answers of so many bytes behind their header, or more, are not read, by either way in: the answer may come from a program that only imitates an agent, and is kept in the command's memory. (A thread with a
/// stack of 30 frames takes 8 kB, so this has room for 8,000 such threads; a walk has at most 16 MB.)
pub const LONGEST_ANSWER: u64 = 64 << 20;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command's: a [`Question`](crate::question::Question) is behind the header.
    Question = 1,
    /// The agent's: text, or a state ([`crate::state`]).
    Answer = 2,
    /// The agent's, to a question that it does not understand: nothing is behind the header, whose
    /// version is the agent's.
    NotUnderstood = 3,
}

/// Stands before every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version that its sender speaks.
    pub version: u32,
    /// A [`Kind`], or a number that is not known here.
    pub kind: u32,
    /// How many bytes are behind it.
    pub length: u64,
}

impl Header {
    /// The header of a message of this version.
    pub fn new(kind: Kind, length: u64) -> Header {
        Header {
            version: VERSION,
            kind: kind as u32,
            length,
        }
    }

    /// The header as it is sent. Both ends are on one machine: numbers are in its byte order.
    pub fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_ne_bytes());
        bytes[12..16].copy_from_slice(&self.kind.to_ne_bytes());
        bytes[16..].copy_from_slice(&self.length.to_ne_bytes());
        bytes
    }

    /// Reads a header; `None` if these bytes are none.
    pub fn parse(bytes: &[u8; HEADER]) -> Option<Header> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (kind, rest) = rest.split_first_chunk()?;
        (*magic == MAGIC).then_some(Header {
            version: u32::from_ne_bytes(*version),
            kind: u32::from_ne_bytes(*kind),
            length: u64::from_ne_bytes(*rest.first_chunk()?),
        })
    }

    /// Whether the message is of this kind, and of the version that is known here.
    pub fn is(&self, kind: Kind) -> bool {
        self.version == VERSION && self.kind == kind as u32
    }
}

/// A message that an agent receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A question; its text has this many bytes.
    Words(usize),
    /// Something else; this many bytes are behind its header.
    Unknown(usize),
}

impl Incoming {
    /// Reads the header of a message; `None` if no honest command sends it.
    pub fn parse(header: &[u8; HEADER]) -> Option<Incoming> {
        let header = Header::parse(header)?;
        let length = usize::try_from(header.length).ok()?;
        match length {
            0..=LONGEST_QUESTION if header.is(Kind::Question) => Some(Incoming::Words(length)),
            0..=LONGEST_QUESTION => Some(Incoming::Unknown(length)),
            _ => None,
        }
    }
}

/// The length of the answer that a command is about to receive, which may be more than [`LONGEST_ANSWER`];
/// `None` if this is not the header of an answer, or of another version.
pub fn answer_length(header: &[u8; HEADER]) -> Option<u64> {
    Header::parse(header)
        .filter(|header| header.is(Kind::Answer))
        .map(|header| header.length)
}

/// The signal with which a command calls the agent: a `siginfo_t` of a queued signal (its layout `_rt`,
/// include/uapi/asm-generic/siginfo.h).
#[repr(C)]
pub struct WakeSignal {
    /// The signal's number.
    pub signal: i32,
    /// Unused.
    pub errno: i32,
    /// How it was sent: [`WAKE_CODE`](crate::names::WAKE_CODE).
    pub code: i32,
    /// Unused.
    pub padding: i32,
    /// The sender's PID.
    pub process: i32,
    /// The sender's user ID.
    pub user: u32,
    /// The number in the name of the command's socket.
    pub value: u64,
    /// Unused.
    pub rest: [u64; 12],
}
const _: () = assert!(size_of::<WakeSignal>() == size_of::<libc::siginfo_t>());

/// The address of the command's socket, and its length. The name is in the abstract namespace (unix(7)),
/// which needs no file system.
pub fn socket_address(token: u64) -> (libc::sockaddr_un, libc::socklen_t) {
    const NAME: &[u8] = b"\0sleeper-agent-";
    // SAFETY: all fields are plain numbers, which zero is a value of.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let digits =
        (0..16).map(|digit| b"0123456789abcdef"[(token >> (60 - 4 * digit)) as usize & 15]);
    let mut length = std::mem::offset_of!(libc::sockaddr_un, sun_path);
    for (place, byte) in address
        .sun_path
        .iter_mut()
        .zip(NAME.iter().copied().chain(digits))
    {
        *place = byte as libc::c_char;
        length += 1;
    }
    (address, length as libc::socklen_t)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_header_is_read_as_it_was_written() {
        let header = Header::new(Kind::Answer, 1 << 40);
        assert_eq!(Header::parse(&header.bytes()), Some(header));
        assert!(header.is(Kind::Answer) && !header.is(Kind::Question));
        let newer = Header {
            version: VERSION + 1,
            ..header
        };
        assert!(!newer.is(Kind::Answer));
        let mut bytes = header.bytes();
        bytes[3] ^= 1;
        assert_eq!(Header::parse(&bytes), None);
    }

    #[test]
    fn what_is_not_known_is_not_believed() {
        let question = Header::new(Kind::Question, 0);
        let newer = Header {
            version: VERSION + 1,
            length: 7,
            ..question
        };
        let asked = |header: Header| Incoming::parse(&header.bytes());
        assert_eq!(asked(question), Some(Incoming::Words(0)));
        assert_eq!(asked(newer), Some(Incoming::Unknown(7)));
        assert_eq!(
            asked(Header::new(Kind::Answer, 0)),
            Some(Incoming::Unknown(0))
        );
        assert_eq!(asked(Header::new(Kind::Question, 1 << 30)), None);
        assert_eq!(Incoming::parse(&[b'?'; HEADER]), None);
        let heard = |header: Header| answer_length(&header.bytes());
        for length in [5, 1 << 40] {
            assert_eq!(heard(Header::new(Kind::Answer, length)), Some(length));
        }
        for strange in [
            newer,
            Header {
                kind: Kind::Answer as u32,
                ..newer
            },
            Header::new(Kind::NotUnderstood, 0),
        ] {
            assert_eq!(heard(strange), None, "{strange:?}");
        }
    }

    #[test]
    fn every_token_has_an_address_of_its_own() {
        let name = |token| {
            let (address, length) = socket_address(token);
            let path = address.sun_path.map(|byte| byte as u8);
            String::from_utf8(path[1..length as usize - 2].to_vec()).expect("text")
        };
        assert_eq!(
            name(0xfedc_ba98_0000_0001),
            "sleeper-agent-fedcba9800000001"
        );
    }
}
