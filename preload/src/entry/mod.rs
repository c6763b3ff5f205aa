//! Every way control comes into the agent.
//!
//! Enters: the dynamic loader ([`load`]), the interpreter's main thread ([`boot`]), a debugger or C
//! ([`call`]), Python ([`import`]) and a thread that a command has sent on a [`detour`]. Leaves: an
//! armed agent, or a question for `ask`. These threads are the program's: nothing here takes a
//! lock, allocates or runs Python on them, except the boot and the import, which Python itself calls.

pub mod boot;
pub mod call;
pub mod detour;
pub mod import;
pub mod load;
