//! Looks at the program's objects without asking them.
//!
//! Enters: borrowed objects, with the GIL held. Leaves: their types, attributes and the call that a
//! frame stands in. No method of an object is called and no reference count changes hands.

pub mod attributes;
pub mod bytecode;
pub mod objects;
pub mod pending_call;
pub mod types;
