//! The threads' thread IDs and system calls, from memory and `/proc`. A command may lack the permission to
//! read them itself.

use std::ffi::CStr;
use std::io::Write;

use crate::agent::threads;
use crate::cpython::{find, gil_semaphore};
use crate::files::system_calls::{self, Buffer, SystemCall};
use crate::system::proc_file::{self, Folder};
use crate::system::thread_struct;
use protocol::state::GIL;

/// Describes the threads with these identifiers, as the state has it under
/// [`TASKS`](protocol::state::document::TASKS). Stops when memory runs out.
///
/// On the reader, holding nothing: it reads a small file for each thread, and a folder stays open meanwhile.
pub fn describe(idents: &[usize]) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(gil) = find::found().and_then(gil_semaphore::semaphore)
        && text.try_reserve(32).is_ok()
    {
        let _ = writeln!(text, "{GIL} {gil:#x}");
    }
    let Some(tid_offset) = thread_struct::id_offset(threads::two()) else {
        return text;
    };
    let folder = Folder::open(c"/proc/self/task");
    let mut buffer = [0; 4096];
    let folder = folder.as_ref();
    thread_struct::each_id(idents, tid_offset, &mut |ident, tid| {
        write_task(folder, (ident, tid), &mut buffer, &mut text)
    });
    text
}

/// Appends a thread's line; `None` if there is no memory.
fn write_task(
    folder: Option<&Folder>,
    (ident, tid): (usize, i32),
    buffer: &mut Buffer,
    text: &mut Vec<u8>,
) -> Option<()> {
    let mut line = [0; 256];
    let line = system_call(folder, tid, &mut line).unwrap_or_default();
    let mut waited: &[u8] = &[];
    let mut restarted = None;
    if let Some(mut call) = SystemCall::parse(line) {
        restarted = call.restarted();
        if let Some(number) = restarted {
            call = call.with_number(number);
        }
        waited = system_calls::describe(tid, &call, buffer);
    }
    // If the thread has left that call meanwhile, what was read need not belong to it.
    let mut again = [0; 256];
    if !waited.is_empty() && system_call(folder, tid, &mut again) != Some(line) {
        waited = &[];
    }
    text.try_reserve(512 + waited.len()).ok()?;
    let _ = write!(text, "{ident} {tid} ");
    write_call(line.trim_ascii_end(), restarted, text);
    text.extend_from_slice(waited);
    text.push(b'\n');
    Some(())
}

/// Appends a line of such a file, for which there is room, with the number of the call that a debugger interrupted.
pub fn write_call(line: &[u8], restarted: Option<i64>, text: &mut Vec<u8>) {
    match (restarted, line.iter().position(|&byte| byte == b' ')) {
        (Some(number), Some(space)) => {
            let _ = write!(text, "{number}");
            text.extend_from_slice(&line[space..]);
        }
        _ => text.extend_from_slice(line),
    }
}

/// The content of a thread's `syscall` file. `folder` is `/proc/self/task`, if it is open.
pub fn system_call<'a>(
    folder: Option<&Folder>,
    tid: i32,
    buffer: &'a mut [u8],
) -> Option<&'a [u8]> {
    let mut path = [0_u8; 64];
    let mut rest = &mut path[..];
    if folder.is_none() {
        rest.write_all(b"/proc/self/task/").ok()?;
    }
    write!(rest, "{tid}/syscall\0").ok()?;
    let path = CStr::from_bytes_until_nul(&path).ok()?;
    proc_file::read_in(folder, path, buffer)
}
