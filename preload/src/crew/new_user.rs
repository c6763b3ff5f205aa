//! The program changes its user or its groups: each thread of the agent's has to answer.
//!
//! Linux keeps users and groups for each thread. So `setuid` and its kin send every other thread a signal,
//! whose handler makes the system call on that thread; then they make it themselves; and if the results
//! differ, they end the process (`__nptl_setxid`, nptl/nptl_setxid.c, glibc 2.36). The results differ if the
//! calling thread has given up capabilities, or is under a filter, that the agent's threads have not and are
//! not: then the program would end where without the agent it gets EPERM.
//!
//! So a sleeping thread takes that signal without the handler. It first gives up the capabilities that the program's
//! first thread has given up. Then it has the handler run. If the rights still differ, it takes care that its
//! result is not compared: the calling thread waits until all have answered, in a structure on its stack that
//! the kernel shows us the address of.
//!
//! Meanwhile the threads of a program are different users: some have changed and others not yet, the calling thread last
//! of all. That is no wall, and nobody follows it ([`is_under_way`]).

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};

use crate::agent::threads;
use crate::crew::walls::{View, Walls};
use crate::system::aside;
use crate::system::c_library;
use crate::system::credentials;
use crate::system::filter;
use crate::system::futex::{self, Instant};
use crate::system::identity::{process_id, this_thread_id};
use crate::system::loaded_objects;
use crate::system::memory::read;
use crate::system::proc_file::{self, Descriptors};
use crate::system::signals::{self, SETXID, Set};

/// Answers the signal. On a thread of the agent's that blocks it, and has taken it; `view` is what it saw then:
/// nothing where there is no `/proc`, or once the thread has shut itself in.
pub fn answer(view: Option<View>) {
    let alone = Alone::wait();
    match view {
        Some(view) => {
            Command::learn_pointer();
            if view.agrees_on_users() {
                run_handler();
            } else {
                // Looked for first: a thread that has shut itself in cannot look any more.
                let command = aside::run(Command::find).flatten();
                // The first thread may have made the change already that this thread is yet to make.
                pause();
                let now =
                    View::take().filter(|now| now.has_same_ids() && now.is_settled_since(&view));
                let shut_in = now.is_some_and(|now| now.follow() == Walls::Other);
                let agrees = || View::take().is_none_or(|view| view.agrees_on_users());
                match command.filter(|_| shut_in || !agrees()) {
                    Some(command) => command.answer_unseen(&alone),
                    None => run_handler(),
                }
            }
        }
        None if threads::are_shut_in() => match Command::find_known() {
            Some(command) => command.answer_unseen(&alone),
            None => run_handler(),
        },
        None => {
            if filter::knows_of_none() {
                credentials::give_up_capabilities_that_lacks(process_id());
            }
            run_handler();
        }
    }
    alone.left.fetch_sub(1, Ordering::SeqCst);
}

/// Whether threads of the program may differ in their users because a change is under way: this thread has answered, and
/// others have not. The calling thread makes the change when all have answered.
pub fn is_under_way() -> bool {
    Command::find_known().is_some_and(|one| one.count.load(Ordering::SeqCst) != 0)
}

/// Sends the signal to this thread again, and has the handler run.
fn run_handler() {
    signals::send(process_id(), this_thread_id(), SETXID);
    let signal = Set::of(&[SETXID]);
    signal.unblock();
    signal.block();
}

/// The right to answer. One thread has it at a time, so that two of ours never compare their results.
struct Alone {
    /// How many threads of the agent's have yet to answer the present command, this one included.
    left: &'static AtomicI32,
}

static TAKEN: AtomicU32 = AtomicU32::new(0);
static LEFT: AtomicI32 = AtomicI32::new(0);

impl Alone {
    fn wait() -> Alone {
        while TAKEN.swap(1, Ordering::SeqCst) == 1 {
            futex::wait_while(&TAKEN, 1, None);
        }
        if LEFT.load(Ordering::SeqCst) <= 0 {
            // The parked thread, or one that was being started.
            LEFT.store(1, Ordering::SeqCst);
        }
        Alone { left: &LEFT }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        TAKEN.store(0, Ordering::SeqCst);
        futex::wake(&TAKEN);
    }
}

/// In a forked child, whose parent may have forked while a thread had this right.
pub fn forget() {
    TAKEN.store(0, Ordering::SeqCst);
    LEFT.store(0, Ordering::SeqCst);
}

/// What the C library's calling thread waits for: `struct xid_command` (nptl/descr.h, glibc 2.36).
struct Command {
    /// Its address.
    start: usize,
    /// How many threads have yet to answer. The calling thread waits on this word.
    count: &'static AtomicI32,
    /// The result so far: -1 if there is none.
    result: &'static AtomicI32,
}

/// The address of the C library's variable with the address of the present command (`xidcmd`,
/// nptl/nptl_setxid.c); 0: not known.
static POINTER: AtomicUsize = AtomicUsize::new(0);

/// Where the structure's words stand, in bytes from the count: the number of the system call, the result.
const CALL: usize = 32;
const RESULT: usize = 4;

/// The system calls that it carries.
const CALLS: [i64; 7] = [
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setgroups,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
];

/// The structure stands this close to the calling thread's stack pointer, in bytes.
const NEAR: usize = 4096;

/// How long the calling thread may take to get to its wait, and the program's threads to answer, in
/// nanoseconds.
const LONGEST: u64 = 200_000_000;

impl Command {
    /// Finds the command that this thread has been sent; `None` if neither the C library nor the kernel shows
    /// it, or if this C library does it differently.
    fn find() -> Option<Command> {
        if POINTER.load(Ordering::SeqCst) != 0 {
            return Command::find_known();
        }
        let until = Instant::now().after(LONGEST);
        loop {
            // Where the kernel shows nothing, there is nothing to wait for.
            let mut line = [0; 256];
            proc_file::read(c"/proc/self/syscall", &mut line)?;
            let found = Command::of(process_id()).or_else(of_other_threads);
            if found.is_some() || until.left().is_none() {
                return found;
            }
            pause();
        }
    }

    /// The command, if it is known where the C library keeps its address.
    fn find_known() -> Option<Command> {
        let known = POINTER.load(Ordering::SeqCst);
        (known != 0).then_some(())?;
        Command::at(read(known)?)
    }

    /// Notes where the C library keeps the address of the present command. Later the kernel may show nothing
    /// any more: `/proc` closes as the user changes.
    fn learn_pointer() {
        static HAS_TRIED: AtomicBool = AtomicBool::new(false);
        if HAS_TRIED.swap(true, Ordering::SeqCst) || !c_library::is_glibc() {
            return;
        }
        let library = loaded_objects::object_defining(c"pthread_create");
        if let Some(command) = aside::run(Command::find).flatten()
            && let Some(at) = library.and_then(|library| library.word_with(command.start))
        {
            POINTER.store(at, Ordering::SeqCst);
        }
    }

    /// The command that a thread waits for, if it does.
    fn of(thread: i32) -> Option<Command> {
        let mut path = [0_u8; 64];
        let path = proc_file::of_thread(thread, "syscall", &mut path)?;
        let mut line = [0; 256];
        let line = proc_file::read(path, &mut line)?;
        let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
        let number: i64 = words.next()?.parse().ok()?;
        let mut next = || usize::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
        let (count, operation) = (next()?, next()?);
        let stack = {
            next()?;
            next()?;
            next()?;
            next()?;
            next()?
        };
        let waits = number == libc::SYS_futex
            && operation as c_int == libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG
            && count.checked_sub(stack).is_some_and(|above| above < NEAR);
        Command::at(count.wrapping_sub(CALL)).filter(|_| waits)
    }

    /// The command at this address, if there is one. (The calling thread counts a thread after it has sent the
    /// signal, so the count may be anything small.)
    fn at(start: usize) -> Option<Command> {
        let count = start.wrapping_add(CALL);
        let call: i32 = read(start)?;
        let left: i32 = read(count)?;
        let result: i32 = read(count + RESULT)?;
        let is_one = count.is_multiple_of(8)
            && CALLS.contains(&i64::from(call))
            && left.abs() < 1 << 16
            && (-1..4096).contains(&result);
        // SAFETY: two aligned words on the stack of a thread that waits until all have answered, and this one
        // has not: it has the signal. That thread changes them by atomic operations itself.
        is_one.then(|| unsafe {
            Command {
                start,
                count: AtomicI32::from_ptr(count as *mut i32),
                result: AtomicI32::from_ptr((count + RESULT) as *mut i32),
            }
        })
    }

    /// Has the handler run, and leaves no trace of its result.
    fn answer_unseen(&self, alone: &Alone) {
        // The calling thread cannot go on while this thread counts twice.
        self.count.fetch_add(1, Ordering::SeqCst);
        // The program's own threads compare their results first, with each other and undisturbed.
        let until = Instant::now().after(LONGEST);
        let ours = alone.left.load(Ordering::SeqCst) + 1;
        let mut before = i32::MIN;
        while until.left().is_some() {
            let count = self.count.load(Ordering::SeqCst);
            if count <= ours && count == before {
                break;
            }
            before = count;
            pause();
        }
        let theirs = self.result.swap(-1, Ordering::SeqCst);
        run_handler();
        self.result.store(theirs, Ordering::SeqCst);
        if self.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            // SAFETY: the kernel uses the address only to find the threads that wait on it. The calling
            // thread may have gone on: then nobody waits there.
            unsafe {
                let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
                libc::syscall(libc::SYS_futex, self.count.as_ptr(), operation, 1);
            }
        }
    }
}

/// The command that one of this process's threads waits for, of the first of very many. Allocates nothing.
fn of_other_threads() -> Option<Command> {
    let mut threads = Descriptors::in_folder(c"/proc/self/task")?.take(MOST_THREADS);
    threads.find_map(Command::of)
}

/// How many threads are looked at.
const MOST_THREADS: usize = 340;

/// Waits for a moment.
fn pause() {
    futex::pause(50_000);
}
