//! Native frames: the C functions that the threads of a process are in, and what they wait for there.
//!
//! Enters: a state with raw stacks, as the library has sent them, and its process. Leaves: the same state, with names
//! for what lies on these stacks ([`crate::state::native::Native`]), and with waits in C. Nothing is stopped for it, but
//! for a thread that runs, where the user has asked through a debugger: it is held for microseconds ([`running`]).
//!
//! [`unwind`] follows a stack by what [`objects`] and [`object_file`] read in the files that are mapped; [`join`] puts
//! Python and C frames together; [`c_waits`] says what a thread waits for. All of it comes from a process that may mean
//! harm: each file, each stack and the whole has a limit, and what is missing is marked.

pub mod c_waits;
pub mod join;
pub mod object_file;
pub mod objects;
pub mod running;
pub mod unwind;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::native::c_waits::Owners;
use crate::native::objects::Objects;
use crate::native::unwind::{End, Memory, Registers, Step, Unwinder};
use crate::state::State;
use crate::state::kernel;
use crate::state::native::{Native, NativeFrame, RawStack};
use crate::state::thread::Thread;
use crate::system::process::Process;
use protocol::names::AGENT_THREADS;

/// The most time that is spent on the native stacks of one process.
const MOST_TIME: Duration = Duration::from_secs(2);

/// What was asked for.
#[derive(Clone, Copy)]
pub struct Asked {
    /// Whether the native frames of all threads are shown, and between the Python frames.
    pub all: bool,
    /// Whether a thread that runs may be held for a moment.
    pub may_hold: bool,
}

/// Finds the native frames of the threads of a state, and what they wait for in C, as far as that is done by `until`.
pub fn look_up(process: Process, state: &mut State, asked: Asked, until: Instant) {
    let raw = std::mem::take(&mut state.raw_stacks);
    if raw.is_empty() {
        return;
    }
    let until = until.min(Instant::now() + MOST_TIME);
    let objects = match Objects::of(process) {
        Ok(objects) => objects,
        Err(error) => {
            let line =
                format!("Native frames are missing: what is mapped cannot be seen ({error})");
            state.left_out.push(line);
            return;
        }
    };
    add_others(process, state, &raw);
    let tids = raw.iter().map(|one| one.tid);
    let owners = Owners::of(process, state, tids.collect());
    let mut unwinder = Unwinder::new(&objects, until);
    let State {
        threads, others, ..
    } = state;
    let mut threads: Vec<(u64, &mut Thread)> =
        threads.iter_mut().map(|one| (one.ident, one)).collect();
    threads.sort_unstable_by_key(|(ident, _)| *ident);
    for raw in &raw {
        let thread = match raw.ident {
            0 => others.iter_mut().find(|one| one.tid() == Some(raw.tid)),
            ident => {
                let at = threads.binary_search_by_key(&ident, |(ident, _)| *ident);
                at.ok().map(|at| &mut *threads[at].1)
            }
        };
        let Some(thread) = thread else {
            continue;
        };
        let (steps, end) = match raw.registers() {
            Some(registers) => {
                let memory = Memory {
                    start: registers.0,
                    bytes: &raw.stack,
                };
                unwinder.follow(Registers::of_sleeping(registers), &memory)
            }
            None if !asked.may_hold => {
                thread.native.note = Some(running::NOT_HELD.to_owned());
                continue;
            }
            None => match running::sample(process, raw.tid, until) {
                Ok((registers, start, bytes)) => unwinder.follow(
                    registers,
                    &Memory {
                        start,
                        bytes: &bytes,
                    },
                ),
                Err(why) => {
                    thread.native.note = Some(why);
                    continue;
                }
            },
        };
        let frames = named(&objects, &steps);
        c_waits::refine(thread, raw, &frames, &owners);
        let python = thread.frames.len();
        let (frames, whole) = join::with_python(frames, python, asked.all || raw.ident == 0);
        thread.native = Native {
            frames,
            note: (!whole).then(|| note(end)).flatten(),
        };
    }
}

/// What is said of a stack whose outer end is not known.
fn note(end: End) -> Option<String> {
    let why = match end {
        End::Outermost => return None,
        End::Cut => "not read any further",
        End::Lost => "nothing says who called",
        End::Late => "no time",
    };
    Some(format!("native frames further out are missing: {why}"))
}

/// The frames with their names, innermost first.
fn named(objects: &Objects, steps: &[Step]) -> Vec<NativeFrame> {
    let none: std::sync::Arc<str> = "".into();
    let frames = steps.iter().map(|step| {
        let inside = step.inside();
        let object = objects.at(inside);
        let code = objects.code_at(inside);
        let function = code.and_then(|(file, place)| file.function_at(place));
        NativeFrame {
            function: function.map(str::to_owned),
            file: object.map_or_else(|| none.clone(), |one| one.name.clone()),
            offset: object.map_or(step.address, |one| one.offset(step.address)),
            guessed: step.guessed,
            inside: 0,
        }
    });
    frames.collect()
}

/// Adds the threads that run no Python.
fn add_others(process: Process, state: &mut State, raw: &[RawStack]) {
    let known: HashSet<i32> = state.others.iter().filter_map(Thread::tid).collect();
    for raw in raw.iter().filter(|one| one.ident == 0) {
        if known.contains(&raw.tid) {
            continue;
        }
        // One that has ended meanwhile may be the agent's own: it gets its name a moment after it begins.
        let name = running::outer(process, raw.tid).and_then(|tid| process.name_of(tid));
        let Some(name) = name.filter(|name| !AGENT_THREADS.contains(&&**name)) else {
            continue;
        };
        let thread = kernel::thread_without_python(name, raw.tid, &raw.call);
        state.others.push(thread);
    }
}
