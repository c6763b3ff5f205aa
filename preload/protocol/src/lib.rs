//! What the library and the commands share: the one definition that both are built from.
//!
//! Enters: nothing. Leaves: names, layouts and formats. A command and a library may be of different
//! versions: whoever changes the meaning of anything here changes the version beside it, so that they
//! say that they do not understand each other, instead of misreading.
//!
//! Code that the library runs on threads that may not allocate stands here too: [`bell`], [`answer`],
//! [`message`] and [`question`] take no memory.

pub mod answer;
pub mod begun;
pub mod bell;
pub mod layout;
pub mod marshal;
pub mod message;
pub mod names;
pub mod question;
pub mod registers;
pub mod secrets;
pub mod state;
pub mod walk;
