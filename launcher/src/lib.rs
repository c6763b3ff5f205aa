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

#[path = "../../preload/src/interface.rs"]
pub mod interface;
#[path = "../../preload/src/message.rs"]
pub mod message;
#[path = "../../preload/src/wanted.rs"]
pub mod wanted;

pub mod activation;
pub mod agent;
pub mod answer;
pub mod asked;
pub mod bell;
pub mod carriers;
pub mod checks;
pub mod command;
pub mod comparison;
pub mod coroutines;
pub mod descriptors;
pub mod document;
pub mod duration;
pub mod elf;
pub mod facts;
pub mod gdb;
pub mod greenlets;
pub mod guardian;
pub mod idle_times;
pub mod interrupt;
pub mod kernel_waits;
pub mod library;
pub mod listening;
pub mod maps;
pub mod marshal;
pub mod mi;
pub mod movement;
pub mod permission;
pub mod printable;
pub mod process;
pub mod python_version;
pub mod report;
pub mod script;
pub mod showing;
pub mod side_by_side;
pub mod snapshot;
pub mod sockets;
pub mod state_text;
pub mod through_gdb;
pub mod through_wake;
pub mod trouble;
pub mod turn;
pub mod variables;
pub mod waits;
