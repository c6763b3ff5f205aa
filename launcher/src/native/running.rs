//! The registers and the stack of a thread that runs: it is held for as long as it takes to read them.

use std::io;
use std::time::{Duration, Instant};

use crate::native::unwind::Registers;
use crate::system::memory;
use crate::system::process::Process;
use crate::system::thread_status::ThreadStatus;
use crate::system::tracee::{self, Look, Tracee};

/// Why a thread that runs has no native frames.
pub const NOT_HELD: &str =
    "it runs: its native frames take the right to trace it (--via gdb, as root or the same user)";

/// How long a thread may take to stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// How much of its stack is read at most, in bytes, in pieces of a page.
const LONGEST: usize = 64 << 10;
const PIECE: usize = 4096;

/// The registers of a thread that runs, where its stack begins, and its stack. `tid` is its TID in the process's own
/// PID namespace.
///
/// # Errors
/// Why not, in words.
pub fn sample(
    process: Process,
    tid: i32,
    until: Instant,
) -> Result<(Registers, u64, Vec<u8>), String> {
    let tid = outer(process, tid).ok_or("it has ended")?;
    let patience = until
        .saturating_duration_since(Instant::now())
        .min(PATIENCE);
    let read = |held: &Tracee| read_stack(process, held);
    match tracee::while_stopped(process, tid, patience, read) {
        Ok(Look::Seen(read)) => read.map_err(|error| error.to_string()),
        Ok(Look::Busy) => Err("it runs, and was just taking a signal".to_owned()),
        Ok(Look::Gone) => Err("it has ended".to_owned()),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Err(NOT_HELD.to_owned()),
        Err(error) => Err(format!("it runs, and could not be held: {error}")),
    }
}

fn read_stack(process: Process, held: &Tracee) -> io::Result<(Registers, u64, Vec<u8>)> {
    let registers = held.registers()?;
    let start = registers.rsp;
    let mut bytes = vec![0; LONGEST];
    let mut length = 0;
    while length < LONGEST {
        let at = start.wrapping_add(length as u64);
        let piece = PIECE - at as usize % PIECE;
        let piece = &mut bytes[length..LONGEST.min(length + piece)];
        let count = piece.len();
        if memory::read_memory_into(process.pid, at, piece).is_err() {
            break;
        }
        length += count;
    }
    bytes.truncate(length);
    let mut known = Registers::of_sleeping((start, registers.rip));
    for (number, value) in [
        (0, registers.rax),
        (1, registers.rdx),
        (2, registers.rcx),
        (3, registers.rbx),
        (4, registers.rsi),
        (5, registers.rdi),
        (6, registers.rbp),
        (8, registers.r8),
        (9, registers.r9),
        (10, registers.r10),
        (11, registers.r11),
        (12, registers.r12),
        (13, registers.r13),
        (14, registers.r14),
        (15, registers.r15),
    ] {
        known = known.with(number, value);
    }
    Ok((known, start, bytes))
}

/// The number that we know a thread by, from its TID in the process's own PID namespace.
pub fn outer(process: Process, tid: i32) -> Option<i32> {
    let inner = |thread: i32| -> Option<i32> {
        let status = ThreadStatus::read(process, thread)?;
        match status.value("NSpid") {
            Some(numbers) => numbers.split_whitespace().next_back()?.parse().ok(),
            // Before Linux 4.1.
            None => Some(thread),
        }
    };
    if inner(tid) == Some(tid) {
        return Some(tid);
    }
    let mut threads = process.threads().ok()?.into_iter();
    threads.find(|&thread| inner(thread) == Some(tid))
}
