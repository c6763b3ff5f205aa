//! Looks at the program's objects without asking them.
//!
//! Enters: borrowed objects, and a `&Gil`: nothing of the program's runs meanwhile. Leaves: their types,
//! their attributes, and the call that a frame is making.
//!
//! No method of an object is called, no code of the program's runs, nothing is made in the interpreter,
//! and no reference count changes. Where a program's class could have a say in the answer, there is none.

pub mod attributes;
pub mod bytecode;
pub mod lock_calls;
pub mod locks;
pub mod objects;
pub mod pending_call;
pub mod stack_depth;
pub mod types;
