//! The commands around `libsleeper.so`: what they share.
//!
//! `sa-run` goes through [`command`] (what will the loader do with this command?) and
//! [`library`] (where is our library, and can the loader take it?).
//!
//! `sa-list` shows the [`carriers`] of an agent.
//!
//! `sleeper_agent_activate` goes through [`checks`] (can this process be asked at all?) to
//! [`activation`] (ask it), which reaches the agent by a debugger, [`through_gdb`], or by a signal,
//! [`through_wake`]. Of the agent's [`facts`] it makes a [`report`].

pub mod ask;
pub mod duration;
pub mod find;
pub mod options;
pub mod printable;
pub mod report;
pub mod run;
pub mod state;
pub mod system;
pub mod trouble;
pub mod watch;
