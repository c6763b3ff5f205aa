//! What the library and the commands share: the one definition that both are built from.
//!
//! Enters: nothing. The crate stands on `core` and `libc`'s types alone, as the library reads it on
//! threads that may not allocate. Leaves: names, layouts and formats. A change of meaning here takes
//! a change of the version beside it, so that a command and a library of different versions say that
//! they do not understand each other, instead of misreading.

pub mod answer;
pub mod bell;
pub mod marshal;
pub mod message;
pub mod names;
pub mod question;
pub mod state;
