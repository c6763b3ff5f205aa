//! What the commands print of a program, in every format: stacks, names and numbers of threads, waits,
//! variables, greenlets and generators, colours, and what `--watch` and `--diff` make of two answers.

mod colours;
mod descriptors;
mod diff;
mod format;
mod full;
mod generators;
mod greenlets;
mod suspended_variables;
mod variables;
mod waits;
mod watch;
