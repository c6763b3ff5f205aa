//! Brings the library into a program that was started without it.
//!
//! Enters: a process and the library's file. Leaves: an agent that has begun there, or the trouble that prevented it.
//!
//! 1. [`places`]: nobody is stopped while we look where the code may go. It is written through `/proc/PID/mem`.
//! 2. [`resting`]: one thread is chosen that waits, or runs, where it holds no lock of the C library's.
//! 3. It is stopped, looked at once more, and its program counter is set to the code ([`detour`]); then it is let go.
//!    That takes some 0.1 ms. There it calls `pthread_create` and goes on where it was.
//! 4. The new thread loads the library, and the agent begins.
//!
//! This command may be killed at any moment: a thread that is stopped goes on, on the detour or where it was.

pub mod detour;
pub mod places;
pub mod resting;

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::offset_of;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::find::agent::Agent;
use crate::find::library::Library;
use crate::find::target::{Alive, exited, just_started};
use crate::load::detour::{
    CANCELLED, DONE, ENTERED, Interpreter, LEFT, LOADING, LONGEST_PATH, REFUSED, SENT, Said, Told,
};
use crate::load::places::Places;
use crate::load::resting::{
    Doing, GoesOn, Safe, Wait, doing, goes_on, has_signal, made_again, waits_so_far, was_cut_short,
};
use crate::system::interrupt;
use crate::system::memory::read_memory_into;
use crate::system::named_file;
use crate::system::permission;
use crate::system::process::Process;
use crate::system::tracee::{Halt, Tracee};
use crate::system::turn::Turn;
use crate::system::within_root;
use crate::trouble::Trouble;
use protocol::begun::Begun;
use protocol::names::{BEGIN_FUNCTION, PARKED_THREAD};

/// The longest time that a thread may take to stop.
const LONGEST_STOP: Duration = Duration::from_millis(50);

/// How long the first thread is tried once more.
const SECOND_TRY: Duration = Duration::from_millis(100);

/// How long the first thread may take to its next bytecode.
const LONGEST_BYTECODE: Duration = Duration::from_millis(500);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(2);

/// How the agent has come into a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// It has begun now.
    Begun(Begun),
    /// It was there already.
    Before,
}

/// Loads the library into a process and has the agent begin there, by this time.
///
/// # Errors
/// Why nothing was loaded, or not in time.
pub fn load(alive: &Alive, library: &Library, until: Instant) -> Result<Loaded, Trouble> {
    let process = alive.process;
    let _turn = Turn::take(process, until);
    match Agent::find(process) {
        Ok(Some(_)) => return Ok(Loaded::Before),
        Ok(None) => {}
        Err(_) => return Err(permission::explain(process)),
    }
    is_loadable(alive)?;
    let path = path_in(process, &library.file)?;
    let memory = OpenOptions::new()
        .read(true)
        .write(true)
        .open(process.path("mem"))
        .map_err(|_| permission::explain(process))?;
    let mut sender = Sender {
        alive: *alive,
        memory,
        path,
        places: Places::find(process)?,
        sent: 0,
        waits: HashMap::new(),
    };
    if !sender.places.is_under_way {
        sender.send(until, |_| true)?;
    }
    let begun = sender.await_end(until)?;
    let first_waits = || {
        let doing = doing(process, process.pid);
        matches!(doing, Some(Doing::Waits(wait)) if wait.safe(process) != Safe::No)
    };
    if begun == Begun::Armed && sender.sent != process.pid && first_waits() {
        // There is no GIL, and another thread has loaded the library.
        let soon = Instant::now() + SECOND_TRY;
        if sender.send(soon, |thread| thread == process.pid).is_ok() {
            return sender.await_end(until).map(Loaded::Begun);
        }
    }
    if begun == Begun::Armed && shows_itself(process) {
        return Ok(Loaded::Begun(Begun::Parked));
    }
    Ok(Loaded::Begun(begun))
}

/// Whether the agent's thread comes within a moment: a first thread that runs Python code soon comes to the next bytecode.
fn shows_itself(process: Process) -> bool {
    let until = Instant::now() + LONGEST_BYTECODE;
    while Instant::now() < until {
        if matches!(process.thread_named(PARKED_THREAD), Ok(Some(_))) {
            return true;
        }
        std::thread::sleep(PAUSE);
    }
    false
}

/// Fails if the process is stopped, traced or ended, or if a filter of system calls binds it.
fn is_loadable(alive: &Alive) -> Result<(), Trouble> {
    alive.still_runs()?;
    let status = alive.status().ok_or_else(exited)?;
    if status.tracer != 0 {
        return Err(Trouble::new(
            format!(
                "it is being traced by PID {}, and Linux allows one tracer",
                status.tracer
            ),
            "end that debugger or tracer, then try again",
        ));
    }
    if status.is_filtered {
        return Err(Trouble::new(
            "a filter of system calls (seccomp) binds it, and may end it for what loading takes",
            "start it with `sa-run COMMAND`",
        ));
    }
    Ok(())
}

/// The library's path as the process sees it, which must lead to the same file.
fn path_in(process: Process, library: &Path) -> Result<CString, Trouble> {
    let there = within_root::look_up(&process.path("root"), library)
        .and_then(|named| Ok(named_file::status(&named)?));
    let here = std::fs::metadata(library);
    let same = match (there, here) {
        (Ok(there), Ok(here)) => (there.st_dev, there.st_ino) == (here.dev(), here.ino()),
        _ => false,
    };
    if !same {
        return Err(Trouble::new(
            format!("it does not see the library at {}", library.display()),
            "put a copy of the library where both see it, and set SLEEPER_AGENT_LIB to its path",
        ));
    }
    let path = library.as_os_str().as_bytes();
    match CString::new(path) {
        Ok(text) if path.len() < LONGEST_PATH => Ok(text),
        _ => Err(Trouble::new(
            format!("the library's path has {LONGEST_PATH} bytes or more"),
            "put a copy of it at a shorter path, and set SLEEPER_AGENT_LIB to that",
        )),
    }
}

/// What it takes to send a thread on the detour.
struct Sender {
    alive: Alive,
    memory: File,
    path: CString,
    places: Places,
    /// The thread that was sent.
    sent: i32,
    /// How often threads had waited at the last look.
    waits: HashMap<i32, u64>,
}

/// How a try has ended.
enum Sent {
    /// A thread is on the detour.
    Yes,
    /// This thread was not where it may be sent away.
    NotThere,
}

impl Sender {
    fn process(&self) -> Process {
        self.alive.process
    }

    /// Sends one of these threads on the detour: one that waits, or, by sampling, one that runs.
    fn send(&mut self, until: Instant, may_go: impl Fn(i32) -> bool) -> Result<(), Trouble> {
        // Nobody looks at it yet.
        let written = self.memory.write_all_at(detour::code(), self.places.code);
        written.map_err(|_| permission::explain(self.process()))?;
        let mut last = None;
        loop {
            for (thread, wait) in self.candidates() {
                if !may_go(thread) {
                    continue;
                }
                match self.try_one(thread, wait) {
                    Ok(Sent::Yes) => {
                        self.sent = thread;
                        return Ok(());
                    }
                    Ok(Sent::NotThere) => {}
                    Err(error) => last = Some(error),
                }
            }
            self.alive.still_runs()?;
            if Instant::now() > until || interrupt::asked_to_stop().is_some() {
                break;
            }
            std::thread::sleep(PAUSE);
            self.places.refresh(self.process());
        }
        Err(match last {
            Some(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                permission::explain(self.process())
            }
            Some(error) => Trouble::new(
                format!("none of its threads could be stopped ({error})"),
                "try again",
            ),
            None => Trouble::new(
                "no thread of it was found at a place where it is safe to load",
                "try again, or with a longer --timeout",
            ),
        })
    }

    /// The threads to try, best first: those that wait, the first thread last, as the program's signals come to it; then
    /// those that run.
    fn candidates(&mut self) -> Vec<(i32, Option<Wait>)> {
        let process = self.process();
        let mut waiting = Vec::new();
        let mut running = Vec::new();
        for thread in process.threads().unwrap_or_default() {
            match doing(process, thread) {
                Some(Doing::Waits(wait)) => match wait.safe(process) {
                    Safe::Yes => waiting.push((thread, Some(wait))),
                    Safe::IfFresh if self.has_waited_anew(thread) => {
                        waiting.push((thread, Some(wait)));
                    }
                    Safe::IfFresh | Safe::No => {}
                },
                Some(Doing::Runs) => running.push((thread, None)),
                None => {}
            }
        }
        waiting.sort_by_key(|(thread, _)| *thread == process.pid);
        waiting.truncate(8);
        running.truncate(8);
        waiting.extend(running);
        waiting
    }

    /// Whether a thread has begun to wait since the last look, some 2 ms ago.
    fn has_waited_anew(&mut self, thread: i32) -> bool {
        let Some(now) = waits_so_far(self.process(), thread) else {
            return false;
        };
        let before = self.waits.insert(thread, now);
        before.is_some_and(|before| before != now)
    }

    /// Stops one thread, and sends it on the detour if it is where it may be sent away. What attaches is a thread of
    /// ours that ends: so it always detaches.
    fn try_one(&self, thread: i32, wait: Option<Wait>) -> io::Result<Sent> {
        std::thread::scope(|scope| {
            let tried = std::thread::Builder::new()
                .spawn_scoped(scope, || self.send_stopped(thread, wait))?;
            tried
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the tracing thread failed")))
        })
    }

    fn send_stopped(&self, thread: i32, wait: Option<Wait>) -> io::Result<Sent> {
        let Halt::Stopped(tracee) = Tracee::stop(thread, Instant::now() + LONGEST_STOP)? else {
            return Ok(Sent::NotThere);
        };
        let mut registers = tracee.registers()?;
        // First of all: if we are killed before that, the program sees the error.
        if was_cut_short(&registers) && !has_signal(self.process(), thread) {
            tracee.set_registers(&made_again(registers))?;
        }
        let Some(on) = goes_on(self.process(), &self.places, wait, &registers) else {
            return Ok(Sent::NotThere);
        };
        let mask = match tracee.mask() {
            Ok(mask) => mask,
            Err(_) => return Ok(Sent::NotThere),
        };
        // Only the first thread may make the GIL, and a thread that runs may just be letting go of one.
        let makes_gil = thread == self.process().pid && wait.is_some();
        self.memory
            .write_all_at(&self.told(&on, mask, makes_gil).bytes(), self.told_at())?;
        let said = Said::sent(self.process().pid);
        self.memory.write_all_at(&said, self.places.said)?;
        // Is this still the program that the code was written into?
        let begins = detour::code()
            .first_chunk()
            .map(|word| u64::from_ne_bytes(*word));
        if Some(tracee.word(self.places.code)?) != begins {
            return Ok(Sent::NotThere);
        }
        registers.rip = self.places.code;
        // It is in no system call any more: the detour makes it again.
        registers.orig_rax = u64::MAX;
        tracee.set_registers(&registers)?;
        // If we are killed right here, the detour itself blocks them, a moment later.
        let _ = tracee.set_mask(u64::MAX);
        Ok(Sent::Yes)
    }

    fn told_at(&self) -> u64 {
        self.places.code + detour::code().len() as u64
    }

    fn told(&self, on: &GoesOn, mask: u64, makes_gil: bool) -> Told {
        let mut told = Told {
            said: self.places.said,
            functions: self.places.functions,
            interpreter: match makes_gil {
                true => self.places.interpreter,
                false => Interpreter::default(),
            },
            resume: on.resume,
            result: on.result,
            interrupted: on.interrupted,
            interrupts: on.interrupts as u64,
            mask,
            all: u64::MAX,
            path: [0; LONGEST_PATH],
            begin: [0; 32],
        };
        for (place, byte) in told.path.iter_mut().zip(self.path.to_bytes()) {
            *place = *byte;
        }
        for (place, byte) in told.begin.iter_mut().zip(BEGIN_FUNCTION.bytes()) {
            *place = byte;
        }
        told
    }

    fn said(&self) -> Option<Said> {
        let mut bytes = [0; size_of::<Said>()];
        read_memory_into(self.process().pid, self.places.said, &mut bytes).ok()?;
        Some(Said::parse(&bytes))
    }

    /// Waits until the new thread has done its work.
    fn await_end(&self, until: Instant) -> Result<Begun, Trouble> {
        let mut pause = Duration::from_micros(50);
        loop {
            let Some(said) = self.said() else {
                self.alive.still_runs()?;
                return Err(exited());
            };
            match said.stage {
                // The code is used again only after that.
                DONE if said.detour == LEFT => {
                    return Begun::from_number(said.begun)
                        .ok_or_else(crate::trouble::of_another_version);
                }
                REFUSED => return Err(self.refused()),
                CANCELLED => return Err(self.late(&said)),
                _ if said.detour >= ENTERED && said.created > 1 => {
                    return Err(Trouble::new(
                        format!(
                            "no thread could be started in it ({})",
                            io::Error::from_raw_os_error(said.created as i32 - 1)
                        ),
                        "look at its limits (`ulimit -u`, `ulimit -v`, pids.max)",
                    ));
                }
                _ => {}
            }
            if Instant::now() > until || interrupt::asked_to_stop().is_some() {
                let cancel = self.places.said + offset_of!(Said, cancel) as u64;
                let _ = self.memory.write_all_at(&1_u32.to_ne_bytes(), cancel);
                return Err(self.late(&said));
            }
            self.alive.still_runs()?;
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(2));
        }
    }

    fn refused(&self) -> Trouble {
        Trouble::new(
            format!(
                "its loader does not load {}",
                String::from_utf8_lossy(self.path.to_bytes())
            ),
            "see whether its user may read the file, and whether its file system is mounted noexec",
        )
    }

    fn late(&self, said: &Said) -> Trouble {
        let what = match (said.detour, said.stage) {
            (SENT, _) => "the thread that was sent to load the library has not run since",
            (ENTERED, 0) => "pthread_create has not returned in it",
            (LEFT, 0) => "the thread that loads the library has not run yet",
            (_, LOADING) => {
                "another thread holds the loader's lock, or the library is loaded slowly; the new thread goes on waiting"
            }
            _ => "the agent has not begun in time",
        };
        Trouble::new(what, "ask again in a while")
    }
}

/// What a program's user reads about the beginning of its agent; `None` if it can be asked now.
pub fn remark(loaded: Loaded) -> Result<Option<&'static str>, Trouble> {
    match loaded {
        Loaded::Before | Loaded::Begun(Begun::Parked) => Ok(None),
        Loaded::Begun(Begun::Elder) => Ok(None),
        Loaded::Begun(Begun::Armed) => Ok(Some(
            "its agent starts when its main thread next runs Python code; until then answers are read from memory",
        )),
        Loaded::Begun(Begun::NoInterpreter) => {
            Err(Trouble::plain("not a Python 2.6 or 2.7 process"))
        }
        Loaded::Begun(Begun::NoThread) => Err(Trouble::new(
            "the library is there, but its agent could not start a thread",
            "look at its limits (`ulimit -u`, pids.max)",
        )),
        Loaded::Begun(Begun::Failed) => Err(just_started()),
    }
}
