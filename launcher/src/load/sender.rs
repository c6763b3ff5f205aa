//! Sends one thread of a process on the detour, and waits for what comes of it.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem::offset_of;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::find::target::{Alive, exited};
use crate::load::access::{closed, is_loadable};
use crate::load::candidates::Candidates;
use crate::load::detour;
use crate::load::filters::{Filters, Harmless};
use crate::load::places::Places;
use crate::load::resting::{Doing, GoesOn, Safe, Wait, doing, goes_on};
use crate::load::source::{FILE_NAME, Source};
use crate::load::words::{
    BLOCKED, CANCELLED, DONE, ENTERED, LEFT, LOADING, LONGEST_PATH, REFUSED, SENT, STARTED, Said,
    Told,
};
use crate::system::interrupt;
use crate::system::memory::read_memory_into;
use crate::system::permission;
use crate::system::process::Process;
use crate::system::scheduling;
use crate::system::tracee::{Halt, Tracee};
use crate::trouble::{Trouble, of_another_version};
use protocol::begun::Begun;
use protocol::names::BEGIN_FUNCTION;

/// The longest time that a thread may take to stop: it has to get a processor first. Until then it is not held. If this
/// command gave up, nobody would make the system call again that the stop has ended.
const LONGEST_STOP: Duration = Duration::from_secs(3);

/// How long a thread without a harmful filter is looked for.
const LONGEST_SEARCH: Duration = Duration::from_millis(100);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(2);

/// What loading has done to the threads of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    /// The thread that was sent; 0: none was.
    pub thread: i32,
    /// Whether it waited; else it ran.
    pub waited: bool,
    /// How many threads were stopped, one after the other.
    pub count: u32,
    /// The longest of these stops.
    pub longest: Duration,
}

/// What it takes to send a thread on the detour.
pub struct Sender {
    alive: Alive,
    memory: File,
    source: Source,
    places: Places,
    /// What has been done so far.
    pub stops: Stops,
    /// Filters of system calls that let it load.
    harmless: Harmless,
    candidates: Candidates,
}

/// How a try has ended.
enum Sent {
    /// A thread is on the detour.
    Yes,
    /// This thread was not where it may be sent away.
    NotThere,
    /// It has these filters of system calls, or some that cannot be read.
    Filtered(io::Result<Filters>),
}

impl Sender {
    /// Opens the memory of a process.
    ///
    /// # Errors
    /// That we may not.
    pub fn new(alive: &Alive, places: Places, source: Source) -> Result<Sender, Trouble> {
        let process = alive.process;
        let memory = OpenOptions::new()
            .read(true)
            .write(true)
            .open(process.path("mem"));
        Ok(Sender {
            alive: *alive,
            memory: memory.map_err(|error| closed(alive, &error))?,
            source,
            places,
            stops: Stops::default(),
            harmless: Harmless::default(),
            candidates: Candidates::default(),
        })
    }

    /// Has one of these threads load the library, and waits until the agent has begun.
    ///
    /// # Errors
    /// Why that failed, or is not done by this time.
    pub fn load(&mut self, until: Instant, may_go: impl Fn(i32) -> bool) -> Result<Begun, Trouble> {
        loop {
            let took_over = std::mem::take(&mut self.places.is_under_way);
            if !took_over {
                self.send(until, &may_go)?;
            }
            if let Some(begun) = self.await_end(until)? {
                return Ok(begun);
            }
            if took_over {
                // It was the earlier command's source that was refused.
                continue;
            }
            self.source.try_next()?;
        }
    }

    /// Whether the first thread has not been sent, and waits where it may be.
    pub fn first_thread_may_go(&self) -> bool {
        let first = self.process().pid;
        let doing = doing(self.process(), first);
        self.stops.thread != first
            && matches!(doing, Some(Doing::Waits(wait)) if wait.safe(self.process()) != Safe::No)
    }

    fn process(&self) -> Process {
        self.alive.process
    }

    /// Sends one of these threads on the detour: one that waits, or, by sampling, one that runs.
    fn send(&mut self, until: Instant, may_go: impl Fn(i32) -> bool) -> Result<(), Trouble> {
        // Nobody looks at it yet. The next command finds by the address what the code says: both are written at once, and
        // stand in one page, so that a command that is killed leaves both or none.
        let code = [detour::code(), &self.places.said.to_ne_bytes()].concat();
        let written = self.memory.write_all_at(&code, self.places.code);
        written.map_err(|error| closed(&self.alive, &error))?;
        let begun = Instant::now();
        let mut last = None;
        let mut filtered = None;
        loop {
            for (thread, wait) in self.candidates.find(self.alive.process) {
                if !may_go(thread) {
                    continue;
                }
                match self.try_one(thread, wait) {
                    Ok(Sent::Yes) => {
                        (self.stops.thread, self.stops.waited) = (thread, wait.is_some());
                        return Ok(());
                    }
                    Ok(Sent::NotThere) => {}
                    Ok(Sent::Filtered(filters)) => {
                        let is_closed = filters.is_err();
                        if let Err(trouble) = self.harmless.judge(filters, self.places.code) {
                            if is_closed {
                                // Another thread's will not be shown either.
                                return Err(trouble);
                            }
                            filtered = Some(trouble);
                        }
                    }
                    Err(error) => last = Some(error),
                }
            }
            self.alive.still_runs()?;
            // To look for a thread without such a filter takes time, and mostly there is none.
            if filtered.is_some() && self.harmless.is_empty() && begun.elapsed() > LONGEST_SEARCH {
                break;
            }
            if Instant::now() > until || interrupt::asked_to_stop().is_some() {
                break;
            }
            std::thread::sleep(PAUSE);
            self.places.refresh(self.process());
        }
        is_loadable(&self.alive)?;
        if let Some(trouble) = filtered {
            return Err(trouble);
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

    /// Stops one thread, and sends it on the detour if it is where it may be sent away. What attaches is a thread of
    /// ours that ends: so it always detaches.
    fn try_one(&mut self, thread: i32, wait: Option<Wait>) -> io::Result<Sent> {
        let sender = &*self;
        let stop_and_send = move || {
            // While a thread is held, this one should not wait for a processor.
            scheduling::go_first();
            let halt = Tracee::stop(thread, Instant::now() + LONGEST_STOP)?;
            let Halt::Stopped(tracee) = halt else {
                return Ok((Sent::NotThere, Duration::ZERO));
            };
            let stopped = Instant::now();
            let sent = sender.send_stopped(thread, tracee, wait)?;
            Ok((sent, stopped.elapsed()))
        };
        let tried = std::thread::scope(|scope| {
            let tried = std::thread::Builder::new().spawn_scoped(scope, stop_and_send)?;
            tried
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the tracing thread failed")))
        });
        let (sent, held) = tried?;
        self.stops.count += u32::from(!held.is_zero());
        self.stops.longest = self.stops.longest.max(held);
        Ok(sent)
    }

    /// Sends a stopped thread, which is let go at the end.
    fn send_stopped(&self, thread: i32, tracee: Tracee, wait: Option<Wait>) -> io::Result<Sent> {
        let mut registers = tracee.registers()?;
        // A thread may have put a filter on itself alone, which ends it for what the detour calls.
        let status = Process { pid: thread }.status()?;
        // Another command, which sees the process in another namespace, may have been quicker.
        let is_free = self
            .said()
            .is_some_and(|said| said.is_free(self.places.number));
        if !is_free {
            return Ok(Sent::NotThere);
        }
        if status.is_filtered {
            let filters = tracee.filters();
            // They are judged while it runs.
            if !matches!(&filters, Ok(filters) if self.harmless.has(filters)) {
                return Ok(Sent::Filtered(filters));
            }
        }
        let Ok(mask) = tracee.mask() else {
            return Ok(Sent::NotThere);
        };
        let Some(on) = goes_on(self.process(), &self.places, wait, &registers, mask) else {
            return Ok(Sent::NotThere);
        };
        // Only the first thread may make the GIL, and a thread that runs may just be letting go of one.
        let makes_gil = thread == self.process().pid && wait.is_some();
        self.memory
            .write_all_at(&self.told(&on, mask, makes_gil).bytes(), self.told_at())?;
        let said = Said::sent(self.places.number);
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
        let _ = tracee.set_mask(BLOCKED);
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
                false => Default::default(),
            },
            resume: on.resume,
            result: on.result,
            interrupted: on.interrupted,
            interrupts: on.interrupts as u64,
            mask,
            all: BLOCKED,
            known: self.source.known(),
            path: [0; LONGEST_PATH],
            in_memory: 0,
            name: [0; 32],
            begin: [0; 32],
        };
        let put = |places: &mut [u8], bytes: &[u8]| {
            for (place, byte) in places.iter_mut().zip(bytes) {
                *place = *byte;
            }
        };
        match self.source.path() {
            Some(path) => put(&mut told.path, path),
            None => told.in_memory = u64::from(told.known == 0),
        }
        put(&mut told.name, FILE_NAME.as_bytes());
        put(&mut told.begin, BEGIN_FUNCTION.as_bytes());
        told
    }

    fn said(&self) -> Option<Said> {
        let mut bytes = [0; size_of::<Said>()];
        read_memory_into(self.process().pid, self.places.said, &mut bytes).ok()?;
        Some(Said::parse(&bytes))
    }

    /// Fills the file in memory that the new thread has made, and has it load that.
    fn fill(&self, said: &Said) -> io::Result<()> {
        let path = self.source.fill(said.file - 1)?;
        let path_at = self.told_at() + offset_of!(Told, path) as u64;
        self.memory.write_all_at(path.as_bytes(), path_at)?;
        let filled = self.places.said + offset_of!(Said, filled) as u64;
        self.memory.write_all_at(&1_u32.to_ne_bytes(), filled)
    }

    /// Waits until the new thread has done its work; `None` if the loader has refused the library.
    fn await_end(&self, until: Instant) -> Result<Option<Begun>, Trouble> {
        let mut pause = Duration::from_micros(50);
        loop {
            let Some(said) = self.said() else {
                self.alive.still_runs()?;
                return Err(exited());
            };
            match said.stage {
                // The code is used again only after that.
                DONE if said.detour == LEFT => {
                    return match Begun::from_number(said.begun) {
                        Some(begun) => Ok(Some(begun)),
                        None => Err(of_another_version()),
                    };
                }
                STARTED if said.file != 0 && said.filled == 0 => {
                    self.fill(&said).map_err(|error| {
                        Trouble::new(
                            format!("the library could not be written into a file in its memory ({error})"),
                            "start it with `sa-run COMMAND`",
                        )
                    })?;
                }
                REFUSED if said.detour == LEFT => return Ok(None),
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
