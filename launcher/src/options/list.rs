//! The command line of `sa-list`.

use clap::{Parser, ValueEnum};

/// List the programs that carry a sleeper agent, without waking any of them.
///
/// Lists your own programs, or, for root, everyone's. Everything shown comes from /proc.
#[derive(Parser)]
#[command(
    name = "sa-list",
    version,
    after_help = "\
Examples:
  sa-list                  a table: PID, user, Python, threads, uptime, command
  sa-list --json           one document, for programs (or --format json)
  sleeper_agent_activate --all          what all of them are doing

The threads are the program's own, without the agent's. The uptime is
[[days-]hours:]minutes:seconds, in JSON seconds. The version of a Python is missing if you may not
read its files.

Exit status: 0, also if the list is empty; 1 if /proc cannot be read or the list cannot be written;
2 for a usage error."
)]
pub struct Arguments {
    /// A table, or a JSON document
    #[arg(long, value_enum, default_value = "text")]
    format: Format,

    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl Arguments {
    /// The format to use.
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// The format of the list.
#[derive(Clone, Copy, ValueEnum)]
pub enum Format {
    // `--format` describes both; a doc comment would become the help of each.
    #[allow(missing_docs)]
    Text,
    #[allow(missing_docs)]
    Json,
}
