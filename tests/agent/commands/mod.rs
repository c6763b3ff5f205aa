//! The commands themselves: their options, how they find programs and the library, what they refuse
//! and how they word it, and where `make` installs them.

mod absent;
mod activator;
mod built;
mod habits;
mod install;
mod layouts;
mod library;
mod list;
mod many;
mod sa_run;
mod unwritten;
