//! Which processes to ask, and what can be known of them before a question.
//!
//! Enters: what the user typed, and `/proc`. Leaves: targets, their agents and interpreters. Nothing
//! here wakes, stops or changes a process.

pub mod agent;
pub mod bell;
pub mod carriers;
pub mod chosen;
pub mod interpreter;
pub mod library;
pub mod no_agent;
pub mod order;
pub mod python_version;
pub mod target;
