//! Every way in which control enters the agent on a thread of the program.
//!
//! Enters: the dynamic loader ([`load`]), the interpreter's main thread ([`boot`]), a debugger or C
//! ([`call`]), Python ([`import`]), a thread that a command has sent on a [`detour`], and one that a command has had
//! started ([`begin`]). Leaves: an armed or booted agent, or a question for `ask`. As these threads are the program's,
//! nothing here takes a lock, allocates or runs Python, except where the loader or Python itself makes the call (in the
//! constructor, the boot and the import), and on a thread that was started for nothing else.

pub mod begin;
pub mod boot;
pub mod call;
pub mod detour;
pub mod elder;
pub mod import;
pub mod load;
