//! The memory of another process.
//!
//! The process decides what is there: whoever reads a text of a length that it names reads it in pieces, and
//! looks at each.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Reads another process's memory, for which the kernel demands the rights of a debugger.
pub fn read_memory(pid: i32, address: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(length)?;
    bytes.resize(length, 0);
    read_memory_into(pid, address, &mut bytes)?;
    Ok(bytes)
}

/// The same, until `bytes` is full.
pub fn read_memory_into(pid: i32, address: u64, bytes: &mut [u8]) -> io::Result<()> {
    let error = match copy_memory(pid, address, bytes) {
        // A seccomp filter may forbid this call and allow the file.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)) => error,
        result => return result,
    };
    let memory = File::open(format!("/proc/{pid}/mem")).map_err(|_| error)?;
    memory.read_exact_at(bytes, address)
}

/// The word at an address of another process; `None` if it cannot be read.
pub fn read_word(pid: i32, address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    read_memory_into(pid, address, &mut bytes).ok()?;
    Some(u64::from_ne_bytes(bytes))
}

fn copy_memory(pid: i32, address: u64, bytes: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        let missing = &mut bytes[done..];
        let local = libc::iovec {
            iov_base: missing.as_mut_ptr().cast(),
            iov_len: missing.len(),
        };
        let start = address.checked_add(done as u64);
        let remote = libc::iovec {
            iov_base: start.ok_or(io::ErrorKind::InvalidInput)? as usize as *mut libc::c_void,
            iov_len: local.iov_len,
        };
        // SAFETY: `local` describes the rest of `bytes`, which nobody else uses; the kernel writes nowhere
        // else. `remote` is an address in the other process, which the kernel checks.
        let read = unsafe { libc::process_vm_readv(pid, &local, 1, &remote, 1, 0) };
        match usize::try_from(read) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => done += read,
            Err(_) => return Err(io::Error::last_os_error()),
        }
    }
    Ok(())
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
