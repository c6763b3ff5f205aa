//! A question that comes by a command's signal, and how it is answered over the command's socket.
//!
//! Asleep, the parked thread waits in `rt_sigtimedwait` for one real-time signal, and has no descriptor. The
//! command sends the signal to this thread alone, so no other thread sees it. Whoever answers (`crew/answerer.rs`)
//! connects to the command's socket, checks whose it is, answers and closes it.

use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use crate::agent::threads::{self, Role};
use crate::agent::{page, panics};
use crate::ask::request::{Asker, answer_with};
use crate::system::filter::{self, Call};
use crate::system::futex::{self, Instant};
use crate::system::identity::process_id;
use crate::system::rights::Text;
use crate::system::{aside, descriptor_table, environment, proc_file};
use protocol::message::{HEADER, Header, Incoming, Kind, WakeSignal, socket_address};
use protocol::names::{SIGNAL, SIGNAL_VARIABLE, WAKE_CODE, WAKE_VARIABLE};
use protocol::question::{LONGEST_QUESTION, Words};

/// How long it waits for a command that sends nothing or does not read, in nanoseconds.
const TIMEOUT: u64 = 5_000_000_000;

/// How long it tries to connect to a command whose queue is full, in nanoseconds.
const CONNECTING: u64 = 500_000_000;

/// The pause before it tries again, in milliseconds.
const PAUSE: c_int = 1;

/// Sent if there is no memory to copy the answer.
const NO_MEMORY: &[u8] = b"there was no memory to send the answer\n";

/// The signal that wakes the agent; 0: none, as the environment forbids it, or as the program waits for it itself.
static LISTENS_TO: AtomicI32 = AtomicI32::new(0);

/// The signal that the environment has named at the first look, where it is that with which the process was started.
static NAMED: AtomicI32 = AtomicI32::new(UNKNOWN);

const UNKNOWN: c_int = -1;

/// Reads which signal wakes the agent from the environment. In the boot or the fork handler (see
/// [`environment::value`]); before, on a thread with descriptors of its own, where a file has to be read for it.
pub fn choose_signal() {
    let named = match NAMED.load(Ordering::SeqCst) {
        UNKNOWN => named_signal(),
        named => named,
    };
    if environment::is_left_to_the_program() {
        NAMED.store(named, Ordering::SeqCst);
    }
    LISTENS_TO.store(named, Ordering::SeqCst);
}

/// The signal that the parked thread waits for; 0: none. One question is answered at a time: meanwhile the next
/// commands see that nobody waits for their signal, and do not send it.
pub fn signal() -> c_int {
    match threads::has(Role::WakeAnswerer) || !filter::may_be_woken() {
        true => 0,
        false => LISTENS_TO.load(Ordering::SeqCst),
    }
}

/// The signal that the environment names, or the usual one; 0 for none.
fn named_signal() -> c_int {
    if environment::value(WAKE_VARIABLE).is_some_and(|value| value.text() == "off") {
        return 0;
    }
    match environment::value(SIGNAL_VARIABLE) {
        // Signals below SIGRTMIN belong to the system and to the C library.
        Some(value) => value
            .text()
            .parse()
            .ok()
            .filter(|number| (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(number))
            .unwrap_or(0),
        None => SIGNAL,
    }
}

/// The number of the command's socket that this signal brings; `None` if it brings none.
///
/// A signal of the program's own was sent to the whole process, and the parked thread got it. The program gets it
/// back. Either a thread of the program's was about to have its handler run, and the parked thread, which was just
/// going to sleep, was quicker. Or the program's threads block this signal, and one of them waits for it as the
/// parked thread does: then the agent waits for none from then on, so that the program gets all later ones.
///
/// On the parked thread.
pub fn token_of(received: WakeSignal) -> Option<u64> {
    if received.code == WAKE_CODE {
        return Some(received.value);
    }
    let is_handled = aside::run(|| is_handled(received.signal)).unwrap_or(false);
    if !is_handled {
        LISTENS_TO.store(0, Ordering::SeqCst);
    }
    hand_back(received);
    if is_handled {
        let word = AtomicU32::new(0);
        futex::wait_while(&word, 0, Some(Instant::now().after(HANDLING)));
    }
    None
}

/// How long a thread of the program's may take to have a handler run before the parked thread sleeps again, in
/// nanoseconds.
const HANDLING: u64 = 1_000_000;

/// Whether the program has a handler for this signal, and its first thread does not block it.
fn is_handled(signal: c_int) -> bool {
    let mut text = [0; size_of::<Text>()];
    let text = proc_file::read(c"/proc/self/status", &mut text).unwrap_or_default();
    let has = |name: &[u8]| {
        let set = proc_file::value(text, name)?;
        let set = std::str::from_utf8(set).ok()?.trim();
        Some(u64::from_str_radix(set, 16).ok()? & 1 << (signal - 1) != 0)
    };
    has(b"SigCgt:") == Some(true) && has(b"SigBlk:") == Some(false)
}

/// Sends the process a signal of the program again, with its sender and value. A signal by `kill` names
/// this process as its sender then: the kernel lets only a first thread pass on another sender
/// (`do_rt_sigqueueinfo`, kernel/signal.c).
fn hand_back(mut received: WakeSignal) {
    let process = process_id();
    let number = libc::SYS_rt_sigqueueinfo;
    // SAFETY: the program awaits this signal, which was sent to it. The kernel reads `received`, a local
    // that it filled in itself.
    unsafe {
        let queues = filter::may(Call::QueueSignal);
        let queued =
            queues && libc::syscall(number, process, received.signal, &raw mut received) == 0;
        if !queued && filter::may(Call::Signal) {
            libc::kill(process, received.signal);
        }
    }
}

/// Answers the command whose socket has this number in its name; `None` if the command gets no answer.
/// `own_table`: whether the calling thread has a table of descriptors of its own.
///
/// On a thread of the agent's. It starts no thread and runs no Python, so no other thread ever shares that table.
pub fn serve(token: u64, own_table: bool, asker: Asker) -> Option<()> {
    panics::may_come("woken");
    let end = Instant::now().after(TIMEOUT);
    let connection = Connection::to(token, own_table, Instant::now().after(CONNECTING))?;
    if !connection.is_allowed() {
        return None;
    }
    let mut header = [0; HEADER];
    connection.receive(&mut header, end)?;
    let mut words = [0; LONGEST_QUESTION];
    let (known, length) = match Incoming::parse(&header)? {
        Incoming::Words(length) => (true, length),
        Incoming::Unknown(length) => (false, length),
    };
    // The question is read even if it is not understood: a socket closed with unread bytes in it loses
    // what was sent.
    let words = words.get_mut(..length)?;
    connection.receive(words, end)?;
    let words = Words::from_bytes(words)?;
    let answer = known.then(|| answer_with(&words, asker, copy));
    // The answer bears the number of another question if the worker does not know these words.
    let Some((copied, _)) = answer.filter(|&(_, question)| [0, words.number()].contains(&question))
    else {
        return connection.send(&Header::new(Kind::NotUnderstood, 0).bytes(), end);
    };
    let text = copied.as_deref().unwrap_or(NO_MEMORY);
    let end = Instant::now().after(TIMEOUT);
    connection.send(&Header::new(Kind::Answer, text.len() as u64).bytes(), end)?;
    connection.send(text, end)
}

/// A copy of an answer (`None` if there is no memory), so that the desk is free while it is sent; and the
/// number of the question that it answers, or 0.
fn copy(text: *const c_char) -> (Option<Vec<u8>>, u64) {
    // SAFETY: a fresh answer: this thread holds the desk, so no other thread can replace it. This is
    // a thread of ours, which may allocate.
    unsafe { (page::copy(text), page::header(text).question) }
}

/// A connection to a command's socket.
struct Connection(c_int);

impl Connection {
    /// Connects; `None` if no command listens, or if its queue is full until `end`: other users can see the
    /// socket and connect too, and the command turns them away one after another.
    fn to(token: u64, own_table: bool, end: Instant) -> Option<Connection> {
        let (address, length) = socket_address(token);
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: the descriptor is new and this function's alone. The kernel reads `length` bytes of
        // `address`, which is that long.
        unsafe {
            let mut socket = libc::socket(libc::AF_UNIX, kind, 0);
            if !own_table {
                socket = descriptor_table::out_of_the_way(socket);
            }
            let connection = (socket >= 0).then_some(Connection(socket))?;
            while libc::connect(socket, (&raw const address).cast(), length) != 0 {
                let error = std::io::Error::last_os_error().raw_os_error();
                let full = error == Some(libc::EAGAIN);
                end.left().filter(|_| full)?;
                libc::poll(ptr::null_mut(), 0, PAUSE);
            }
            Some(connection)
        }
    }

    /// Whether the command may ask: it belongs to root, or to this process's user, and then only if the
    /// process is dumpable (PR_SET_DUMPABLE, prctl(2)).
    fn is_allowed(&self) -> bool {
        // These are the credentials of the process that listens, as they were when it began to (unix(7)).
        // SAFETY: the kernel fills in `peer`, a local of the size given; zeros are a valid value of it.
        let peer = unsafe {
            let mut peer = MaybeUninit::<libc::ucred>::zeroed();
            let mut size = size_of::<libc::ucred>() as libc::socklen_t;
            let result = libc::getsockopt(
                self.0,
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                peer.as_mut_ptr().cast(),
                &mut size,
            );
            if result != 0 {
                return false;
            }
            peer.assume_init()
        };
        // SAFETY: two system calls that touch no memory and change nothing.
        let is_ours = || unsafe {
            let may = filter::may(Call::UserId) && filter::may(Call::Control);
            may && peer.uid == libc::geteuid() && libc::prctl(libc::PR_GET_DUMPABLE) == 1
        };
        peer.uid == 0 || is_ours()
    }

    fn receive(&self, bytes: &mut [u8], end: Instant) -> Option<()> {
        let mut done = 0;
        while done < bytes.len() {
            let rest = &mut bytes[done..];
            // SAFETY: the kernel writes to `rest` only, no more than its length.
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
            // SAFETY: the kernel reads `rest` only, no more than its length.
            let count = unsafe { libc::send(self.0, rest.as_ptr().cast(), rest.len(), flags) };
            done += self.moved(count, libc::POLLOUT, end)?;
        }
        Some(())
    }

    /// The count that `recv` or `send` returned; if it could not move a byte, waits until it can, and
    /// returns 0. `None` if the other end is gone, or at the end of the time.
    fn moved(&self, count: isize, wanted: i16, end: Instant) -> Option<usize> {
        if count > 0 {
            return Some(count as usize);
        }
        let error = std::io::Error::last_os_error().raw_os_error();
        if count == 0 || !matches!(error, Some(libc::EAGAIN | libc::EINTR)) {
            return None;
        }
        let left = end.left()?;
        let mut poll = libc::pollfd {
            fd: self.0,
            events: wanted,
            revents: 0,
        };
        // SAFETY: the kernel reads and writes the one `pollfd`, a local.
        unsafe { libc::poll(&mut poll, 1, (left / 1_000_000 + 1) as c_int) };
        Some(0)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: `to` opened the descriptor, and it is closed only here.
        unsafe { libc::close(self.0) };
    }
}
