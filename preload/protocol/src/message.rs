//! What a command and an agent that it has woken say to each other, over a Unix socket.
//!
//! The command opens a socket under a name that nobody can guess, sends the agent's waking thread
//! a signal that tells it the number in that name, and says [`Kind::Question`]. The agent says
//! [`Kind::Answer`], with the text. Each message is a [`Header`] and as many bytes as that says.
//!
//! The commands include this very file (`#[path]`). The header never changes; change [`VERSION`]
//! whenever the meaning of anything behind it does.

use crate::question::LONGEST_QUESTION;

/// Of what is said here.
pub const VERSION: u32 = 1;

/// How every header begins.
const MAGIC: [u8; 8] = *b"SLEEPER:";

/// The size of a header, in bytes.
pub const HEADER: usize = 24;

/// An answer is never longer, in bytes behind its header: a length beyond this is not a length.
pub const LONGEST_ANSWER: u64 = 1 << 32;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command's. What is behind the header says what is asked for: `wanted.rs`.
    Question = 1,
    /// The agent's: text, or a state ([`crate::state`]).
    Answer = 2,
    /// The agent's, to a question that it cannot make out: nothing is behind the header, whose
    /// version is the agent's own.
    NotUnderstood = 3,
}

/// Stands before every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version that its sender speaks.
    pub version: u32,
    /// What it is: a [`Kind`], if that is known here.
    pub kind: u32,
    /// How many bytes are behind it.
    pub length: u64,
}

impl Header {
    /// The header of a message of ours.
    pub fn new(kind: Kind, length: u64) -> Header {
        Header {
            version: VERSION,
            kind: kind as u32,
            length,
        }
    }

    /// As it is sent. Both ends are on one machine, so numbers are in its own byte order.
    pub fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_ne_bytes());
        bytes[12..16].copy_from_slice(&self.kind.to_ne_bytes());
        bytes[16..].copy_from_slice(&self.length.to_ne_bytes());
        bytes
    }

    /// From what was received; `None` if it is no header.
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

    /// Whether it is of this kind, and of the version that is spoken here.
    pub fn is(&self, kind: Kind) -> bool {
        self.version == VERSION && self.kind == kind as u32
    }
}

/// What an agent hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A question, whose words (`wanted.rs`) are so many bytes.
    Words(usize),
    /// Something else, behind whose header are so many bytes.
    Unknown(usize),
}

impl Incoming {
    /// From the header that was received; `None` if there is nobody to talk to.
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

/// The length of the text that a command hears announced; `None` if that is no answer, or one of
/// another version.
pub fn answer_length(header: &[u8; HEADER]) -> Option<u64> {
    Header::parse(header)
        .filter(|header| header.is(Kind::Answer) && header.length < LONGEST_ANSWER)
        .map(|header| header.length)
}

/// A `siginfo_t` of a queued signal (layout `_rt`, include/uapi/asm-generic/siginfo.h): how a command
/// calls the waker.
#[repr(C)]
pub struct WakeSignal {
    /// Its number.
    pub signal: i32,
    /// Unused.
    pub errno: i32,
    /// Who sent it, or in what way; a command says `WAKE_CODE`.
    pub code: i32,
    /// Unused.
    pub padding: i32,
    /// The sender's PID.
    pub process: i32,
    /// The sender's user.
    pub user: u32,
    /// The number in the name of the command's socket.
    pub value: u64,
    /// Unused.
    pub rest: [u64; 12],
}
const _: () = assert!(size_of::<WakeSignal>() == size_of::<libc::siginfo_t>());

/// The address of the command's socket: a name in the abstract namespace (unix(7)), which needs no
/// file system; and its length.
pub fn socket_address(token: u64) -> (libc::sockaddr_un, libc::socklen_t) {
    const NAME: &[u8] = b"\0sleeper-agent-";
    // SAFETY: plain numbers, for which zeroes are a value.
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
        assert_eq!(heard(Header::new(Kind::Answer, 5)), Some(5));
        for strange in [
            newer,
            Header {
                kind: Kind::Answer as u32,
                ..newer
            },
            Header::new(Kind::NotUnderstood, 0),
            Header::new(Kind::Answer, 1 << 40),
        ] {
            assert_eq!(heard(strange), None, "{strange:?}");
        }
    }

    #[test]
    fn every_token_has_an_address_of_its_own() {
        let name = |token| {
            let (address, length) = socket_address(token);
            let path = address.sun_path.map(|one| one as u8);
            String::from_utf8(path[1..length as usize - 2].to_vec()).expect("text")
        };
        assert_eq!(
            name(0xfedc_ba98_0000_0001),
            "sleeper-agent-fedcba9800000001"
        );
    }
}
