//! libsleeper.so: sleeps inside a CPython 2.6 or 2.7 process, and tells on request what every thread of
//! it is doing. This is the map of the library; `preload/README.md` has the rest.
//!
//! # The life of the agent
//!
//! 1. *Load.* The constructor runs before `main` and looks for CPython. If the process is not CPython, it
//!    returns at once, and the library never does anything again. Else it queues a pending call.
//! 2. *Boot.* The interpreter makes that call on its main thread, between two bytecodes. The boot makes the
//!    GIL, checks the layout of frames against a live one, and starts the agent's thread.
//! 3. *Asleep.* It waits in one system call and holds nothing.
//! 4. *Question.* gdb rings the bell, or a signal comes: the parked thread wakes, and starts an answerer; or C or
//!    Python calls `sleeper_agent_state()`. The asking thread claims the desk, lays down a request, calls
//!    the worker and waits, no longer than the deadline.
//! 5. *Answer.* The worker is started. It takes the GIL, takes down all stacks, and lets go of the GIL. The reader
//!    reads source lines. Then the worker makes the answer: the plain text under the GIL again, the state
//!    without it, unless a line is missing that only Python can find. If the worker does not get the
//!    GIL, the asking thread walks the stacks in memory. Then the agent is asleep again.
//!
//! After a `fork`, the fork handler starts a new thread in the child. At the end of the interpreter, the
//! exit hook drops what the agent keeps in it; the thread stays. The agent never delays the end of the
//! process: after the program's last thread has ended, the parked thread ends the process.
//!
//! # The rooms, from the top down
//!
//! A room imports only from rooms below it (`cargo test -p tests --test rooms`).
//!
//! - `entry`: every way in which control enters: load, boot, begin, call, import, detour.
//! - `crew`: the agent's threads: the parked thread, which sleeps; answerer, worker, reader.
//! - `ask`: from the question to the answer, on the asking thread: request, ring, walk.
//! - `collect`: what the worker takes down under the GIL, and the text it makes of it.
//! - `suspended`: greenlets and generators, whose stacks no thread runs at the moment.
//! - `script`: the agent's Python text in the program's interpreter.
//! - `inspect`: looks at the program's objects without running code of theirs.
//! - `files`: what the reader reads: source lines, and the threads' system calls.
//! - `cpython`: all that depends on the interpreter's version: the C API, the layout of objects.
//! - `agent`: the agent's own state: stage, desk, bell, pages, failures.
//! - `system`: the kernel and the C library: futexes, memory, loaded objects, `/proc`.
//!
//! # The laws
//!
//! The program comes first.
//!
//! - On a thread of the program, the agent never allocates, waits for a lock or runs Python, except in the
//!   constructor, the boot and the import, which the loader and the interpreter call.
//! - Every question is answered by its deadline, also if the GIL is never released. What the agent cannot
//!   find out, the answer says.
//! - Asleep, the agent holds no descriptor, no lock and no signal handler, and its threads take no
//!   signal of the program.
//! - The interpreter is left as it was found: no exception set, no reference kept, no module imported for
//!   the program to see.
//! - No panic leaves the library.
//!
//! # Where to start reading
//!
//! `entry/load.rs` and `entry/boot.rs` for the beginning; `ask/request.rs`, `agent/desk.rs` and
//! `crew/worker.rs` for a question and its answer. Each folder's `mod.rs` says what enters and what leaves.

mod agent;
mod ask;
mod collect;
mod cpython;
mod crew;
mod entry;
mod files;
mod inspect;
mod script;
mod suspended;
mod system;
