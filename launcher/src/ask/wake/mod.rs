//! The way by a signal: wakes the agent, which connects to a socket of the command's.
//!
//! Enters: a target that this user may signal. Leaves: the bytes of an answer. No right to trace is
//! needed; what connects is believed only if the kernel says that it is the target.

pub mod awaited;
pub mod listener;
pub mod sleeper;
pub mod way;
