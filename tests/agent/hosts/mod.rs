//! Programs of every kind that carry the agent: ordinary and strange ones, with children, with an
//! interpreter of their own, with the optional import, with replaced built-ins.

mod embedded;
mod import;
mod programs;
mod replaced;
mod weird;
