//! Our Python text in the program's interpreter.
//!
//! Enters: source text that the library carries. Leaves: functions in a namespace of the agent's own.
//! The interpreter is left as found: no exception, no module, no reference stays, and what the
//! program has put in place of built-in names is not used.

pub mod builtins;
pub mod compile;
pub mod imports;
pub mod namespace;
pub mod raised;
pub mod undisturbed;
