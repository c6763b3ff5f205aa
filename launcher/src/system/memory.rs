//! The memory of another process.
//!
//! The process decides what is there: whoever reads a text of a length that it names reads it in pieces, and
//! looks at each.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What is read at once of a long text.
const PIECE: usize = 1 << 20;

/// Reads a long text in another process's memory, in pieces, as long as what was read so far `may_be` what it
/// should be.
///
/// # Errors
/// InvalidData if it cannot be.
pub fn read_text(
    pid: i32,
    address: u64,
    length: usize,
    mut may_be: impl FnMut(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    while text.len() < length {
        let start = text.len();
        let address = address.checked_add(start as u64);
        let address = address.ok_or(io::ErrorKind::InvalidInput)?;
        let piece = read_memory(pid, address, PIECE.min(length - start))?;
        if !may_be(&piece) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if start == 0 {
            text = piece;
        } else {
            // No more than is needed, and copied seldom.
            text.try_reserve_exact(piece.len().max(text.len().min(length - start)))?;
            text.extend_from_slice(&piece);
        }
    }
    Ok(text)
}

/// Reads another process's memory, for which the kernel demands the rights of a debugger.
pub fn read_memory(pid: i32, address: u64, length: usize) -> io::Result<Vec<u8>> {
    let error = match copy_memory(pid, address, length) {
        // A seccomp filter may forbid this call and allow the file.
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

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn reads_memory_and_reports_what_cannot_be_read() {
        let text = b"some text of ours".to_vec();
        let us = std::process::id() as i32;
        let read = read_memory(us, text.as_ptr() as u64, text.len());
        assert_eq!(read.expect("our own memory"), text);
        assert!(read_memory(us, 0, 16).is_err());
    }
}
