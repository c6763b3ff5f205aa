//! libsleeper.so: sleeps inside a CPython 2.6 or 2.7 process, and tells on request what every
//! thread of it is doing.
//!
//! The modules are the agent's life. `load` runs before `main` and finds the interpreter;
//! `boot` runs on its main thread and starts the threads that stay: one is `park`ed for
//! commands to ring, one is the `worker`, one the `reader`. A question is a `request`, laid on the
//! `desk`: the worker takes the GIL and runs the `snippet`, for which it takes down the `stacks`, and
//! finds the `facts` beside them; the reader reads `sources` and `tasks`; or, where the GIL cannot be
//! had, who asked `walk`s through memory.
//!
//! What binds all of it: the program comes first. No thread of the program's ever allocates,
//! waits for a lock or runs Python on the agent's behalf, but at the boot. Every question is
//! answered by its deadline. Asleep, the agent holds no descriptor, no lock and no signal.

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
