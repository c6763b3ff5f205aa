//! What the kernel says of threads, read for those who are not allowed to.

use std::ffi::CStr;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::agent::threads;
use crate::cpython::api::Python;
use crate::cpython::{find, gil_semaphore};
use crate::files::system_calls::{self, Room, SystemCall};
use crate::system::memory::{AT_ONCE, read, read_each};
use crate::system::proc_file::{self, Folder};
use protocol::state::GIL;

/// Where a thread's number (TID) stands behind its identifier, the address of glibc's `struct
/// pthread` (nptl/descr.h): it differs from version to version. 0: it is not known (yet).
static NUMBER_AT: AtomicUsize = AtomicUsize::new(0);

/// How far it is looked for, in bytes: the structure is larger than that in all versions.
const LONGEST_WAY: usize = 0x600;

/// Looks where it stands in two of our own threads, whose numbers are known. On the reader.
fn number_at() -> Option<usize> {
    let known = NUMBER_AT.load(Ordering::Relaxed);
    if known != 0 {
        return Some(known);
    }
    // SAFETY: has no conditions.
    let this_one = unsafe { libc::gettid() };
    let ours = [
        (Python::this_thread_ident() as usize, this_one),
        (threads::worker_ident(), threads::worker_id()),
    ];
    let stands = |at: usize| {
        let mut ours = ours.iter();
        ours.all(|&(ident, number)| read::<i32>(ident.wrapping_add(at)) == Some(number))
    };
    let mut places = (1..LONGEST_WAY / 4).map(|word| 4 * word);
    // The worker itself reads where there is no reader: that is one thread, and one is too few.
    let at = places
        .find(|&at| stands(at))
        .filter(|_| ours[0] != ours[1])?;
    NUMBER_AT.store(at, Ordering::Relaxed);
    Some(at)
}

/// What the kernel says of the threads with these identifiers, as the state has it under
/// [`TASKS`](protocol::state::document::TASKS): nobody else may be allowed to read
/// `/proc/PID/task/TID/syscall`. As much as there is memory for.
///
/// On the reader, holding nothing: it reads a small file for each thread.
///
/// `own`: whether it has a table of descriptors of its own, in which a folder may stay open.
pub fn of(idents: &[usize], own: bool) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(gil) = find::found().and_then(gil_semaphore::semaphore)
        && text.try_reserve(32).is_ok()
    {
        let _ = writeln!(text, "{GIL} {gil:#x}");
    }
    let Some(number_at) = number_at() else {
        return text;
    };
    let folder = own.then(|| Folder::open(c"/proc/self/task"));
    let folder = folder.flatten();
    let mut room = [0; 4096];
    for part in idents.chunks(AT_ONCE) {
        let mut places = [0; AT_ONCE];
        for (place, ident) in places.iter_mut().zip(part) {
            *place = ident.wrapping_add(number_at);
        }
        let numbers = read_each(&places[..part.len()]);
        for (&ident, number) in part.iter().zip(numbers) {
            let Some(number) = number.filter(|&number| number > 0) else {
                continue;
            };
            let folder = folder.as_ref();
            if write_task(folder, (ident, number), &mut room, &mut text).is_none() {
                return text;
            }
        }
    }
    text
}

/// Appends a thread's line; `None` if there is no memory.
fn write_task(
    folder: Option<&Folder>,
    (ident, number): (usize, i32),
    room: &mut Room,
    text: &mut Vec<u8>,
) -> Option<()> {
    let mut line = [0; 256];
    let line = system_call(folder, number, &mut line).unwrap_or_default();
    let mut waited: &[u8] = &[];
    let mut restarted = None;
    if let Some(mut call) = SystemCall::parse(line) {
        restarted = call.restarted();
        if let Some(number) = restarted {
            call = call.under(number);
        }
        waited = system_calls::describe(number, &call, room);
    }
    // It may have gone on meanwhile.
    let mut again = [0; 256];
    if !waited.is_empty() && system_call(folder, number, &mut again) != Some(line) {
        waited = &[];
    }
    text.try_reserve(512 + waited.len()).ok()?;
    let _ = write!(text, "{ident} {number} ");
    let line = line.trim_ascii_end();
    match (restarted, line.iter().position(|&byte| byte == b' ')) {
        (Some(number), Some(space)) => {
            let _ = write!(text, "{number}");
            text.extend_from_slice(&line[space..]);
        }
        _ => text.extend_from_slice(line),
    }
    text.extend_from_slice(waited);
    text.push(b'\n');
    Some(())
}

/// `folder` is `/proc/self/task`, where that is open.
fn system_call<'a>(folder: Option<&Folder>, number: i32, room: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut path = [0_u8; 64];
    let mut rest = &mut path[..];
    if folder.is_none() {
        rest.write_all(b"/proc/self/task/").ok()?;
    }
    write!(rest, "{number}/syscall\0").ok()?;
    let path = CStr::from_bytes_until_nul(&path).ok()?;
    proc_file::read_in(folder, path, room)
}
