//! The command line of `sa-load`.

use clap::Parser;
use std::time::Duration;

use crate::options::seconds;

/// The first argument by which the script `sa-load` starts `sleeper_agent_activate`.
pub const AS_SA_LOAD: &str = "--as-sa-load";

/// Bring the sleeper agent into running Python programs that were started without it, or take it out.
///
/// Afterwards `sleeper_agent_activate PID` shows what a program is doing, as if it had been started with `sa-run`. The
/// program carries on: one of its threads is stopped for a fraction of a millisecond, at a place where it holds no
/// lock.
#[derive(Parser)]
#[command(
    name = "sa-load",
    version,
    after_help = "\
Examples:
  sa-load 4711             bring the agent into process 4711
  sa-load 4711 4712        into both
  sudo sa-load 4711        into another user's program, or where the kernel lets only root attach
  sa-load --unload 4711    take it out: its threads end, and nothing of it runs any more

Loading takes the right to trace the program, as gdb does. Questions by a signal (--via wake) need no such
right afterwards; nor does --unload, where they work.

Exit status: 0 if every program has an agent, or with --unload none has; 1 if that failed for one; 2 for a
usage error; 128 plus the signal's number if a signal ended the command."
)]
pub struct Arguments {
    /// The longest time for each program
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    pub timeout: Duration,

    /// Take the agent out instead. The library stays mapped, and does nothing
    #[arg(long)]
    pub unload: bool,

    /// Say how the agent came in, and how long threads of the program were stopped
    #[arg(long)]
    pub verbose: bool,

    /// The programs
    #[arg(required = true, value_name = "PID", allow_negative_numbers = true)]
    pub pids: Vec<String>,
}
