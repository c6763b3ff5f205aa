//! The agent's own state: what it is at, who its threads are, and the page its answer stands on.
//!
//! Enters: stores from the rooms above. Leaves: words that any thread may read at any moment.
//! Everything here is atomic, belongs to the process and survives a `fork` or is reset after it.

pub mod bell;
pub mod desk;
pub mod failure;
pub mod page;
pub mod panics;
pub mod progress;
pub mod stage;
pub mod threads;
