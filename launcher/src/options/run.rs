//! The command line of `sa-run`.

use clap::{Parser, ValueHint};
use std::ffi::OsString;

/// Run a command with the sleeper agent in it.
///
/// Becomes the command (same PID, signals, files and exit status), with libsleeper.so added to
/// LD_PRELOAD. If the command or one of its children is a CPython 2.6 or 2.7 program,
/// `sleeper_agent_activate PID` then shows what it is doing. Other programs are not affected.
#[derive(Parser)]
#[command(
    name = "sa-run",
    version,
    after_help = "\
Examples:
  sa-run python2.7 app.py
  sa-run ./manage.py runserver           scripts, wrappers and children get the agent too
  sa-run --no-children python2.7 app.py  this program alone, not what it starts
  SLEEPER_AGENT_LIB=/opt/libsleeper.so sa-run gunicorn app:app

Exit status: the command's own; 127 if it is not found, 126 if it cannot be executed,
125 if sa-run itself fails."
)]
pub struct Arguments {
    /// Keep the agent out of the programs that the command starts
    #[arg(long)]
    pub no_children: bool,

    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}
