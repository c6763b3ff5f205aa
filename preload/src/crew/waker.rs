//! The waker: the thread that a command wakes by a signal, and that answers over its socket.
//!
//! Asleep it waits in `rt_sigtimedwait` for one real-time signal, and has no descriptor. The signal
//! is sent to this thread alone, so no other ever sees it. Awake, it connects to the command's
//! socket, makes sure whose that is, answers, and closes it, all of it in a table of descriptors of
//! its own: nothing that the program opens or closes meanwhile can be mistaken for ours. It starts
//! no thread and runs no Python, so nobody else ever shares that table.

use std::ffi::{c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use crate::agent::threads::{self, Role};
use crate::agent::{page, panics};
use crate::ask::request::{answer_with, has_booted};
use crate::system::futex::Instant;
use crate::system::{descriptor_table, environment};
use protocol::message::{HEADER, Header, Incoming, Kind, WakeSignal, socket_address};
use protocol::names::{SIGNAL, SIGNAL_VARIABLE, WAKE_CODE, WAKE_VARIABLE, WAKER_THREAD};
use protocol::question::{LONGEST_QUESTION, Words};

/// Stack sizes tried, in bytes.
const STACK_SIZES: [usize; 2] = [256 << 10, 1 << 20];

/// For how long it waits for a command that says nothing, or does not read, in nanoseconds.
const PATIENCE: u64 = 5_000_000_000;

/// What is said where there is no memory for the answer that was made.
const NO_MEMORY: &[u8] = b"there was no memory to send the answer\n";

/// The signal it waits for; 0: none, as it was told not to.
static LISTENS_TO: AtomicI32 = AtomicI32::new(0);

/// Whether it has been started in this process.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Starts the waker, if the environment lets it. See `crew::start`; without it there is still gdb.
pub fn start() -> Result<(), c_int> {
    let signal = chosen_signal();
    LISTENS_TO.store(signal, Ordering::SeqCst);
    if signal == 0 || STARTED.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    let started = threads::spawn(live, &STACK_SIZES).map(drop);
    STARTED.store(started.is_ok(), Ordering::SeqCst);
    started
}

/// In a forked child: the waker was the parent's.
pub fn forget() {
    STARTED.store(false, Ordering::SeqCst);
    threads::forget(Role::Waker);
}

/// What the environment says, or the usual one; 0 for none. On a thread that may read the
/// environment as any getenv may.
fn chosen_signal() -> c_int {
    if environment::value(WAKE_VARIABLE).is_some_and(|value| value == "off") {
        return 0;
    }
    match environment::value(SIGNAL_VARIABLE) {
        // No other may be anybody's: those below are the system's, and the C library's own.
        Some(value) => value
            .parse()
            .ok()
            .filter(|number| (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(number))
            .unwrap_or(0),
        None => SIGNAL,
    }
}

/// The waker's life.
extern "C-unwind" fn live(_: *mut c_void) -> *mut c_void {
    threads::begin(Role::Waker, WAKER_THREAD);
    let mut own_table = None;
    let signal = LISTENS_TO.load(Ordering::SeqCst);
    loop {
        let Some(call) = next(signal) else {
            continue;
        };
        if call.code != WAKE_CODE {
            // It was sent to the whole process, where everybody else blocks it: the program waits
            // for it by itself, as we do. It gets it back, and has it to itself from now on.
            hand_back(call);
            threads::forget(Role::Waker);
            return ptr::null_mut();
        }
        // Not before there is something to do: a forked child's table may be large.
        let _ = panics::caught(|| {
            let own = *own_table.get_or_insert_with(descriptor_table::have_own);
            serve(call.value, own)
        });
    }
}

/// Sends the process a signal that was the program's, as it was. The kernel tells of another sender
/// where it came by `kill`, whose word only a first thread may pass on (`do_rt_sigqueueinfo`,
/// kernel/signal.c).
fn hand_back(mut call: WakeSignal) {
    // SAFETY: signals to ourselves; the kernel reads `call`, which is what it gave us.
    unsafe {
        let process = libc::getpid();
        let number = libc::SYS_rt_sigqueueinfo;
        if libc::syscall(number, process, call.signal, &raw mut call) != 0 {
            libc::kill(process, call.signal);
        }
    }
}

/// Waits for a signal; `None` if the wait was cut short, as by a debugger.
fn next(signal: c_int) -> Option<WakeSignal> {
    // SAFETY: the set and the place for what comes are ours; all signals are blocked here.
    unsafe {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        let mut call = MaybeUninit::<WakeSignal>::zeroed();
        let came = libc::sigwaitinfo(set.as_ptr(), call.as_mut_ptr().cast());
        (came == signal).then(|| call.assume_init())
    }
}

/// Answers the command whose socket has this number in its name; what goes wrong is its loss.
fn serve(token: u64, own_table: bool) -> Option<()> {
    panics::may_come("woken");
    let end = Instant::now().after(PATIENCE);
    let line = Line::to(token, own_table)?;
    if !line.is_allowed() {
        return None;
    }
    let mut header = [0; HEADER];
    line.receive(&mut header, end)?;
    let mut words = [0; LONGEST_QUESTION];
    let (known, length) = match Incoming::parse(&header)? {
        Incoming::Words(length) => (true, length),
        Incoming::Unknown(length) => (false, length),
    };
    // Closed with something unread in it, the socket would lose our word.
    let words = words.get_mut(..length)?;
    line.receive(words, end)?;
    let words = Words::from_bytes(words)?;
    let answer = known.then(|| answer_with(&words, has_booted, copy));
    // An answer to another question: the worker does not know these words.
    let Some((copied, _)) = answer.filter(|&(_, question)| [0, words.number()].contains(&question))
    else {
        return line.send(&Header::new(Kind::NotUnderstood, 0).bytes(), end);
    };
    let text = copied.as_deref().unwrap_or(NO_MEMORY);
    let end = Instant::now().after(PATIENCE);
    line.send(&Header::new(Kind::Answer, text.len() as u64).bytes(), end)?;
    line.send(text, end)
}

/// Copies an answer, so that nobody else has to wait until it is read (`None` without the memory);
/// and the number of the question that it answers, or 0.
fn copy(text: *const c_char) -> (Option<Vec<u8>>, u64) {
    // SAFETY: a fresh answer, that nobody can replace meanwhile.
    unsafe { (page::copy(text), page::header(text).question) }
}

/// A connection to a command.
struct Line(c_int);

impl Line {
    /// Connects; `None` if there is nobody, or too many are in front of us.
    fn to(token: u64, own_table: bool) -> Option<Line> {
        let (address, length) = socket_address(token);
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: a new descriptor, ours alone; the address is alive and so long.
        unsafe {
            let mut line = libc::socket(libc::AF_UNIX, kind, 0);
            if !own_table {
                line = descriptor_table::out_of_the_way(line);
            }
            let line = (line >= 0).then_some(Line(line))?;
            (libc::connect(line.0, (&raw const address).cast(), length) == 0).then_some(line)
        }
    }

    /// Whether the other end is this process's own user, or root. Nobody but root may ask a process
    /// that has been marked as not to be looked at (PR_SET_DUMPABLE, prctl(2)).
    fn is_allowed(&self) -> bool {
        // SAFETY: the kernel fills in `peer`, which has that size. Those of the process that
        // listens (unix(7)), as it was when it began to.
        let peer = unsafe {
            let mut peer = MaybeUninit::<libc::ucred>::zeroed();
            let mut size = size_of::<libc::ucred>() as libc::socklen_t;
            let told = libc::getsockopt(
                self.0,
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                peer.as_mut_ptr().cast(),
                &mut size,
            );
            if told != 0 {
                return false;
            }
            peer.assume_init()
        };
        // SAFETY: both only ask.
        let (user, dumpable) = unsafe { (libc::geteuid(), libc::prctl(libc::PR_GET_DUMPABLE)) };
        peer.uid == 0 || (peer.uid == user && dumpable == 1)
    }

    fn receive(&self, bytes: &mut [u8], end: Instant) -> Option<()> {
        let mut done = 0;
        while done < bytes.len() {
            let rest = &mut bytes[done..];
            // SAFETY: the kernel writes to `rest` only.
            let count = unsafe { libc::recv(self.0, rest.as_mut_ptr().cast(), rest.len(), 0) };
            done += self.moved(count, libc::POLLIN, end)?;
        }
        Some(())
    }

    fn send(&self, bytes: &[u8], end: Instant) -> Option<()> {
        let mut done = 0;
        while done < bytes.len() {
            let rest = &bytes[done..];
            let flags = libc::MSG_NOSIGNAL;
            // SAFETY: the kernel reads `rest` only.
            let count = unsafe { libc::send(self.0, rest.as_ptr().cast(), rest.len(), flags) };
            done += self.moved(count, libc::POLLOUT, end)?;
        }
        Some(())
    }

    /// How many bytes were moved; where none could be, waits until some can. `None` if the other
    /// end is gone, or it is too late.
    fn moved(&self, count: isize, wanted: i16, end: Instant) -> Option<usize> {
        if count > 0 {
            return Some(count as usize);
        }
        // SAFETY: errno is this thread's own.
        let error = unsafe { *libc::__errno_location() };
        if count == 0 || !matches!(error, libc::EAGAIN | libc::EINTR) {
            return None;
        }
        let left = end.left()?;
        let mut poll = libc::pollfd {
            fd: self.0,
            events: wanted,
            revents: 0,
        };
        // SAFETY: one descriptor of ours.
        unsafe { libc::poll(&mut poll, 1, (left / 1_000_000 + 1) as c_int) };
        Some(0)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // SAFETY: ours alone.
        unsafe { libc::close(self.0) };
    }
}
