//! Programs of every kind that carry the agent: ordinary and strange programs, with children, with an
//! embedded interpreter, with the optional import, with replaced built-ins, on old systems.

mod embedded;
mod import;
mod programs;
mod replaced;
mod systems;
mod weird;
