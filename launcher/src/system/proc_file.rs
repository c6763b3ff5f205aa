//! Files below `/proc`, read to a limit.
//!
//! A process decides how long many of them are: its command line and environment can be moved over
//! gigabytes of memory (`PR_SET_MM`, prctl(2)), its maps have a line for each of its mappings, its status
//! names all of its groups.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The most bytes to read of a file whose parts that matter stand at its beginning: `status`, `stat`,
/// `comm`.
pub const SHORT: usize = 4 << 10;

/// The beginning of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beginning {
    /// At most as many bytes as were asked for.
    pub bytes: Vec<u8>,
    /// Whether the file goes on.
    pub cut: bool,
}

/// Reads a file's first bytes, at most `limit`.
pub fn read(path: impl AsRef<Path>, limit: usize) -> io::Result<Beginning> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    let mut length = 0;
    loop {
        // One byte more than is wanted shows that the file goes on.
        let room = (length + limit.min(4096).max(length)).min(limit + 1);
        bytes.resize(room, 0);
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        if length > limit {
            break;
        }
    }
    bytes.truncate(length.min(limit));
    Ok(Beginning {
        bytes,
        cut: length > limit,
    })
}

/// A number as these files write addresses, such as `0x7f`.
pub fn hexadecimal(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

/// Hands each line of a file to `take`, without its newline, until `limit` bytes have been read; returns how
/// many. Only whole lines count.
pub fn lines(
    path: impl AsRef<Path>,
    limit: usize,
    mut take: impl FnMut(&[u8]),
) -> io::Result<usize> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 16 << 10];
    let (mut held, mut total) = (0, 0);
    while total < limit {
        if held == buffer.len() {
            // A line is at most a path long, and a path at most a page.
            return Err(io::ErrorKind::InvalidData.into());
        }
        match file.read(&mut buffer[held..]) {
            Ok(0) => break,
            Ok(count) => {
                held += count;
                total += count;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        let Some(last) = buffer[..held].iter().rposition(|byte| *byte == b'\n') else {
            continue;
        };
        buffer[..last]
            .split(|byte| *byte == b'\n')
            .for_each(&mut take);
        buffer.copy_within(last + 1..held, 0);
        held -= last + 1;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_to_the_limit() {
        let whole = std::fs::read("/proc/self/cmdline").expect("procfs");
        let read_some = |limit| read("/proc/self/cmdline", limit).expect("procfs");
        assert_eq!(read_some(whole.len()).bytes, whole);
        assert!(!read_some(whole.len()).cut);
        assert!(!read_some(1 << 20).cut);
        let short = read_some(whole.len() - 1);
        assert_eq!(
            (&short.bytes[..], short.cut),
            (&whole[..whole.len() - 1], true)
        );
        // Such a file has no end, and no size.
        let endless = read("/dev/zero", 100_000).expect("a device");
        assert_eq!((endless.bytes.len(), endless.cut), (100_000, true));
    }

    #[test]
    fn hands_out_whole_lines() {
        let whole = std::fs::read_to_string("/proc/self/status").expect("procfs");
        let names = |text: &str| -> Vec<String> {
            text.lines()
                .map(|line| line.split(':').next().unwrap_or("").to_owned())
                .collect()
        };
        let mut seen = String::new();
        let total = lines("/proc/self/status", 1 << 20, |line| {
            seen += &String::from_utf8_lossy(line);
            seen.push('\n');
        });
        assert_eq!(names(&seen), names(&whole));
        assert_eq!(total.expect("procfs"), seen.len());
        assert!(lines("/dev/zero", 1 << 20, |_| panic!("it has no lines")).is_err());
        assert_eq!(
            lines("/proc/self/status", 0, |_| panic!("none")).expect("procfs"),
            0
        );
    }
}
