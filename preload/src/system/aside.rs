//! Runs a piece of work on a short-lived task with a table of descriptors of its own, while the calling thread
//! waits: so what the work opens takes no number that the program could see, and what it closes drops no lock of the
//! program's. (To close any descriptor of a file drops the POSIX locks that the table's owner has on that file:
//! `locks_remove_posix`, fs/locks.c. They belong to the table.)

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::system::descriptor_table;
use crate::system::filter::{self, Call};

/// The size of the stack of a task that looks around, in bytes. It stands on that of the calling thread.
const FOR_LOOKS: usize = 64 << 10;

/// The same for a task that does any other work: it holds a piece of a file, or a question.
const FOR_WORK: usize = 96 << 10;

#[repr(align(64))]
struct Stack<const SIZE: usize>([MaybeUninit<u8>; SIZE]);

/// How a task comes to its table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    /// The kernel gives it an empty one.
    Empty,
    /// It is a copy of the program's, which is closed as the task ends. A file that the program closes meanwhile
    /// stays open for so long.
    Copy,
    /// It is a copy in which the task first closes everything.
    Emptied,
}

struct Job<W, R> {
    table: Table,
    work: Option<W>,
    result: Option<R>,
}

/// Has a task look around; where the kernel makes none, the calling thread looks itself, as the agent has to know
/// its walls. `None` if a filter has ended the task.
///
/// On a thread of the agent's. The task uses that thread's thread-local storage, which is safe as the thread
/// waits. `look` must not panic, must be short, and must open nothing but files of `/proc`.
#[inline(never)]
pub fn run<W: FnOnce() -> R, R>(look: W) -> Option<R> {
    // Not emptied: where the program has many descriptors, to list and close them takes longer than the look.
    match on_task::<W, R, FOR_LOOKS>(look, Table::Copy) {
        Ok(result) => result,
        Err(look) => Some(look()),
    }
}

/// Has a task do some work, which may take long and open anything. `None` if the kernel makes no task; `Some(None)`
/// if a filter has ended it.
///
/// On a thread of the agent's, as for [`run`]. `work` must not panic.
#[inline(never)]
pub fn work<W: FnOnce() -> R, R>(work: W) -> Option<Option<R>> {
    on_task::<W, R, FOR_WORK>(work, Table::Emptied).ok()
}

/// Runs the work on a task; gives it back if there is none. `otherwise`: its table where the kernel gives it no
/// empty one.
fn on_task<W: FnOnce() -> R, R, const STACK: usize>(
    work: W,
    otherwise: Table,
) -> Result<Option<R>, W> {
    let mut job = Job {
        table: Table::Empty,
        work: Some(work),
        result: None,
    };
    if [Call::Clone, Call::EndThread].into_iter().all(filter::may) {
        if descriptor_table::can_at_once() {
            start_and_wait::<W, R, STACK>(&mut job);
        }
        if job.work.is_some() {
            job.table = otherwise;
            start_and_wait::<W, R, STACK>(&mut job);
        }
    }
    match job.work {
        Some(work) => Err(work),
        None => Ok(job.result),
    }
}

/// Starts the task, and waits until it has ended. The work is left where it was if there was no task, or no table.
#[inline(never)]
fn start_and_wait<W: FnOnce() -> R, R, const STACK: usize>(job: &mut Job<W, R>) {
    let mut stack = Stack([const { MaybeUninit::uninit() }; STACK]);
    let running = AtomicI32::new(1);
    let mut flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_CHILD_CLEARTID;
    // Without this flag the kernel copies the table (`dup_fd`, fs/file.c). That is for kernels and filters without
    // a better way: while it copies, the program can open and close nothing; and to close a copy has effects. On
    // some file systems it writes what the program has written, as the end of any forked child does; and it takes
    // back the process's `mq_notify`.
    if job.table == Table::Empty {
        flags |= libc::CLONE_FILES;
    }
    // SAFETY: the task runs on `stack` and touches `job` alone, which outlive it: this function waits until the
    // kernel has cleared `running`, as the last time that the task touches memory (`mm_release`, kernel/fork.c).
    // If it never ends, neither does this. It blocks all signals, as the calling thread does. A child that is forked
    // meanwhile has no task, and not its table; an exit or exec of the process ends it.
    let started = unsafe {
        let top = stack.0.as_mut_ptr().add(STACK);
        let argument = ptr::from_mut(job).cast();
        let nothing = ptr::null_mut::<c_void>();
        let word = running.as_ptr();
        libc::clone(
            begin::<W, R>,
            top.cast(),
            flags,
            argument,
            nothing,
            nothing,
            word,
        ) > 0
    };
    while started && running.load(Ordering::SeqCst) != 0 {
        // SAFETY: the word outlives the call; the kernel compares and sleeps. It wakes this word as one that
        // processes may share (`mm_release`, kernel/fork.c).
        unsafe {
            let no_time = ptr::null::<libc::timespec>();
            libc::syscall(
                libc::SYS_futex,
                running.as_ptr(),
                libc::FUTEX_WAIT,
                1,
                no_time,
            );
        }
    }
}

/// The task. It must not return: `clone` of glibc before 2.26 would then end the process.
extern "C" fn begin<W: FnOnce() -> R, R>(job: *mut c_void) -> c_int {
    // SAFETY: `start_and_wait` passes its job, and waits.
    let job = unsafe { &mut *job.cast::<Job<W, R>>() };
    let own = match job.table {
        Table::Empty => descriptor_table::have_own_at_once(),
        Table::Copy => true,
        Table::Emptied => {
            // SAFETY: the table is this task's alone, and nothing is open in it but copies.
            unsafe { descriptor_table::close_all() };
            true
        }
    };
    if own {
        job.result = job.work.take().map(|work| work());
    }
    loop {
        // SAFETY: it ends this task alone. The kernel closes its table after it has cleared the word that the
        // calling thread waits for (`do_exit`, kernel/exit.c): nothing waits for a file system that hangs.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::{AsRawFd, OwnedFd};

    /// Opens a file, and forgets it. Returns its number.
    fn open_one() -> i32 {
        let file = File::open("/proc/cpuinfo").expect("it is there");
        let number = file.as_raw_fd();
        std::mem::forget(file);
        number
    }

    /// Whether the calling thread has that file under this number.
    fn has(number: i32) -> bool {
        let own = std::fs::read_link(format!("/proc/thread-self/fd/{number}"));
        own.is_ok_and(|path| path.ends_with("cpuinfo"))
    }

    fn in_table<R>(table: Table, work: impl FnOnce() -> R) -> R {
        let mut job = Job {
            table,
            work: Some(work),
            result: None,
        };
        start_and_wait::<_, _, FOR_WORK>(&mut job);
        job.result.expect("nothing ends it")
    }

    #[test]
    fn opens_nothing_in_the_calling_threads_table() {
        assert!(!has(run(open_one).expect("nothing ends it")));
        assert!(!has(work(open_one).flatten().expect("nothing ends it")));
        for table in [Table::Copy, Table::Emptied] {
            assert!(!has(in_table(table, open_one)));
        }
    }

    #[test]
    fn an_emptied_table_keeps_no_file_of_the_program_open() {
        let (reader, writer) = std::io::pipe().expect("descriptors are left");
        let (reader, writer) = (OwnedFd::from(reader), OwnedFd::from(writer));
        let is_open = |number: i32| {
            // SAFETY: it asks, and changes nothing.
            unsafe { libc::fcntl(number, libc::F_GETFD) >= 0 }
        };
        let (first, second) = (reader.as_raw_fd(), writer.as_raw_fd());
        let open = move || (is_open(first), is_open(second));
        assert_eq!(in_table(Table::Copy, open), (true, true));
        assert_eq!(in_table(Table::Emptied, open), (false, false));
        assert_eq!(open(), (true, true));
    }
}
