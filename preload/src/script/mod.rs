//! Our Python text in the program's interpreter.
//!
//! Enters: source text that the library carries, and a `&mut Gil`: what is here runs Python code. Leaves:
//! functions in a namespace of the agent's own, kept until the interpreter ends. In a forked child: one function of
//! ours stands in for one of the standard library's, for one call (`threading_after_fork`).
//!
//! The interpreter is left as found: no exception stays set, no module in `sys.modules`, no reference that
//! is not kept on purpose; the garbage collector and `sys.exc_type` are as they were. What the program has
//! put in place of built-in names is not used, and nothing waits for the import lock.

pub mod builtins;
pub mod compile;
pub mod imports;
pub mod namespace;
pub mod raised;
pub mod threading_after_fork;
pub mod undisturbed;
