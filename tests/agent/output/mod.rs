//! What the commands print about a program, in every format: stacks, thread names and numbers, waits,
//! variables, greenlets and generators, colours, and how `--watch` and `--diff` compare two answers.

mod between_processes;
mod colours;
mod descriptors;
mod diff;
mod file_locks;
mod fold;
mod format;
mod from_memory;
mod full;
mod generators;
mod greenlets;
mod hangs;
mod native;
mod other_ends;
mod process_locks;
mod suspended_holders;
mod suspended_variables;
mod values;
mod variables;
mod verdict;
mod wait_times;
mod waits;
mod waits_read;
mod watch;
