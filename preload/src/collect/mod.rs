//! What the worker takes down while it holds the GIL, and the answer it makes of it.
//!
//! Enters: a question, with the GIL held. Leaves: an answer, plain text or a state. [`answer`] is the way in:
//! its first step takes everything down under the GIL, its second makes the answer once files have been read.
//! Stacks are taken down natively, for the `plain` text as for a `state`. Only where objects are laid out in an
//! unknown way the `snippet` does it, which is Python.
//!
//! May not be touched: the program's objects are borrowed and only looked at. No code of the program runs
//! (but `repr` where `--repr` asks for it, and module loaders that linecache asks for source), nothing of it
//! is kept from one step to the next but loaders. The program stands still under the GIL, so each question has
//! a budget of time (`agent::hold`): every loop whose length the program decides spends it. What matters most
//! comes first: stacks, then waits, variables, greenlets and generators; the answer says what was cut.

pub mod answer;
pub mod at_exit;
pub mod collected;
pub mod current_frames;
pub mod document;
pub mod evidence;
pub mod from_memory;
pub mod lock_frames;
pub mod places;
pub mod plain;
pub mod process_locks;
pub mod repr;
pub mod secrets;
pub mod snippet;
pub mod stacks;
pub mod state;
mod suspended_holders;
pub mod thread_details;
pub mod variables;
mod wait_times;
pub mod waits;
