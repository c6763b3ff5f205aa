//! The commands as such: their options, how they find programs and the library, what they refuse and
//! with which words, and where `make` installs them.

mod absent;
mod activator;
mod install;
mod library;
mod list;
mod many;
mod sa_run;
