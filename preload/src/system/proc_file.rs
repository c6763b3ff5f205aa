//! Reads small files of `/proc`.

use std::ffi::{CStr, c_int};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::system::kernel;

/// The path of a file of `/proc` about a thread, as text that ends in NUL.
pub type Path = [u8; 64];

/// The path of a file about the calling thread, such as `status`. Any thread, interrupted or not.
pub fn of_this_thread<'a>(name: &str, path: &'a mut Path) -> Option<&'a CStr> {
    if !has_thread_self() {
        // SAFETY: a system call that touches no memory.
        let thread = unsafe { libc::syscall(libc::SYS_gettid) };
        return of_thread(thread as i32, name, path);
    }
    write!(&mut path[..], "{}/{name}\0", kernel::THREAD_SELF).ok()?;
    CStr::from_bytes_until_nul(path).ok()
}

/// The path of a file about a thread of this process. Any thread, interrupted or not.
pub fn of_thread<'a>(thread: i32, name: &str, path: &'a mut Path) -> Option<&'a CStr> {
    write!(&mut path[..], "/proc/self/task/{thread}/{name}\0").ok()?;
    CStr::from_bytes_until_nul(path).ok()
}

/// Whether the kernel has a folder of the calling thread. Where `/proc` cannot be read it is taken to have one:
/// then nothing else is tried.
fn has_thread_self() -> bool {
    static IS_THERE: AtomicBool = AtomicBool::new(false);
    static IS_MISSING: AtomicBool = AtomicBool::new(false);
    if IS_THERE.load(Ordering::Relaxed) || IS_MISSING.load(Ordering::Relaxed) {
        return IS_THERE.load(Ordering::Relaxed);
    }
    let mut path = [0; 64];
    let (mut one, mut other) = ([0; 1], [0; 1]);
    let _ = write!(&mut path[..], "{}/stat\0", kernel::THREAD_SELF);
    let path = CStr::from_bytes_until_nul(&path).unwrap_or_default();
    if read(path, &mut one).is_some() {
        IS_THERE.store(true, Ordering::Relaxed);
    } else if read(c"/proc/self/stat", &mut other).is_some() {
        IS_MISSING.store(true, Ordering::Relaxed);
        return false;
    }
    true
}

/// Reads the beginning of a file about the calling thread, as [`read`] does.
pub fn read_of_this_thread<'a>(name: &str, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    read(of_this_thread(name, &mut [0; 64])?, buffer)
}

/// Reads the beginning of a file, as much as fits the buffer; `None` if it cannot be read.
///
/// Any thread, interrupted or not. A descriptor is open for the time of one read.
pub fn read<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    read_in(None, path, buffer)
}

/// The same for a path within a folder, if one is given.
pub fn read_in<'a>(folder: Option<&Folder>, path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let folder = folder.map_or(libc::AT_FDCWD, |folder| folder.0);
    // SAFETY: the kernel writes to `buffer` only. The descriptor is closed before another thread can
    // learn its number; O_CLOEXEC closes it if the program execs now.
    let count = unsafe {
        let file = libc::openat(folder, path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return None;
        }
        let count = libc::read(file, buffer.as_mut_ptr().cast(), buffer.len());
        libc::close(file);
        usize::try_from(count).ok()?
    };
    Some(&buffer[..count])
}

/// Calls `each` for every entry of a file whose entries end in NUL, such as an environment, until it returns false. Of
/// an entry the first 192 bytes are given.
///
/// On a thread that is not interrupted. A descriptor is open meanwhile.
pub fn for_each_entry(path: &CStr, each: &mut dyn FnMut(&[u8]) -> bool) {
    let mut piece = [0; 512];
    let (mut entry, mut length) = ([0; 192], 0);
    // SAFETY: the kernel writes to `piece` only. The descriptor is this function's own; O_CLOEXEC closes it if the
    // program execs now.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return;
        }
        'reading: while let Ok(count @ 1..) =
            usize::try_from(libc::read(file, piece.as_mut_ptr().cast(), piece.len()))
        {
            for &byte in piece.iter().take(count) {
                if byte != 0 {
                    if let Some(place) = entry.get_mut(length) {
                        *place = byte;
                        length += 1;
                    }
                } else {
                    if !each(entry.get(..length).unwrap_or_default()) {
                        break 'reading;
                    }
                    length = 0;
                }
            }
        }
        libc::close(file);
    }
}

/// Writes a small file; what cannot be written is not. On a thread that is not interrupted.
pub fn write(path: &CStr, bytes: &[u8]) {
    // SAFETY: the kernel reads `bytes` only. The descriptor is closed before another thread can learn its
    // number; O_CLOEXEC closes it if the program execs now.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file >= 0 {
            libc::write(file, bytes.as_ptr().cast(), bytes.len());
            libc::close(file);
        }
    }
}

/// An open folder: the kernel need not look for it again for each file in it.
pub struct Folder(c_int);

impl Folder {
    /// Opens a folder. On the reader, in whose own table of descriptors it may stay open.
    pub fn open(path: &CStr) -> Option<Folder> {
        // SAFETY: the path ends in NUL. The new descriptor belongs to the `Folder`, which closes it.
        let folder = unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
        (folder >= 0).then_some(Folder(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // SAFETY: `open` opened the descriptor, and it is closed only here.
        unsafe { libc::close(self.0) };
    }
}

/// The target of a link, as much as fits: its length. It opens nothing. Any thread, interrupted or not; the callers know
/// whether a filter allows the call.
pub fn link(path: &CStr, target: &mut [u8]) -> Option<usize> {
    // SAFETY: the path ends in NUL, and the kernel writes to `target` only, no more than its length.
    let count = unsafe { libc::readlink(path.as_ptr(), target.as_mut_ptr().cast(), target.len()) };
    usize::try_from(count).ok()
}

/// What stands behind this beginning of a line, in the text of a status.
pub fn value<'a>(status: &'a [u8], beginning: &[u8]) -> Option<&'a [u8]> {
    let mut lines = status.split(|&byte| byte == b'\n');
    lines.find_map(|line| line.strip_prefix(beginning))
}

/// The numbers of a thread's open descriptors, one after the other: what is closed meanwhile may be left out.
pub struct Descriptors {
    folder: c_int,
    entries: [u8; 2048],
    /// Of the entries read, those that have not been looked at.
    rest: std::ops::Range<usize>,
    /// Whether the end has been read.
    is_whole: bool,
}

impl Descriptors {
    /// The calling thread's; `None` without `/proc`. The list has a descriptor itself, in the same table.
    pub fn of_this_thread() -> Option<Descriptors> {
        let mut path = [0; 64];
        Self::in_folder(of_this_thread("fd", &mut path)?)
    }

    /// The numbers that are names in another folder.
    pub fn in_folder(path: &CStr) -> Option<Descriptors> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: the path ends in NUL. The new descriptor belongs to this, which closes it.
        let folder = unsafe { libc::open(path.as_ptr(), flags) };
        (folder >= 0).then_some(Descriptors {
            folder,
            entries: [0; 2048],
            rest: 0..0,
            is_whole: false,
        })
    }

    /// The list's own descriptor.
    pub fn descriptor(&self) -> c_int {
        self.folder
    }

    /// Whether the list has been read to its end.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }
}

impl Iterator for Descriptors {
    type Item = c_int;

    fn next(&mut self) -> Option<c_int> {
        loop {
            if self.rest.is_empty() {
                let (place, size) = (self.entries.as_mut_ptr(), self.entries.len());
                // SAFETY: the kernel writes to `entries` only, no more than its length.
                let count =
                    unsafe { libc::syscall(libc::SYS_getdents64, self.folder, place, size) };
                self.is_whole = count == 0;
                self.rest = 0..usize::try_from(count).ok().filter(|&count| count > 0)?;
            }
            // `struct linux_dirent64`: its length stands at 16, the name at 19 (include/linux/dirent.h).
            let entry = self.entries.get(self.rest.clone())?;
            let &[low, high] = entry.get(16..18)? else {
                return None;
            };
            let length = usize::from(u16::from_ne_bytes([low, high])).max(19);
            let name = CStr::from_bytes_until_nul(entry.get(19..)?).ok()?;
            self.rest.start += length;
            if let Some(number) = name.to_str().ok().and_then(|name| name.parse().ok()) {
                return Some(number);
            }
        }
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        // SAFETY: `of_this_thread` opened the descriptor, and it is closed only here.
        unsafe { libc::close(self.folder) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_about_the_calling_thread() {
        let first_number = |text: &[u8]| {
            let text = std::str::from_utf8(text).expect("a number comes first");
            text.split(' ')
                .next()
                .and_then(|number| number.parse().ok())
        };
        let read = move || {
            let mut text = [0; 64];
            // SAFETY: it touches no memory.
            let own = unsafe { libc::syscall(libc::SYS_gettid) };
            let stat = read_of_this_thread("stat", &mut text).expect("/proc is there");
            assert_eq!(first_number(stat), Some(own));
        };
        std::thread::spawn(read).join().expect("it ends");
        read();
    }
}
