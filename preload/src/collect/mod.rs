//! What the worker takes down while it holds the GIL, and the answer it makes of it.
//!
//! Enters: a question, with the GIL held. Leaves: the text of an answer. Objects of the program are
//! borrowed and only looked at: no code of the program runs (unless `--repr` was given), nothing is
//! kept, and the time under the GIL is bounded.

pub mod answer;
pub mod at_exit;
pub mod collected;
pub mod current_frames;
pub mod document;
pub mod lock_frames;
pub mod places;
pub mod repr;
pub mod snippet;
pub mod snippet_stacks;
pub mod stacks;
pub mod state;
pub mod thread_details;
pub mod variables;
pub mod waits;
