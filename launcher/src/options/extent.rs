//! `--thread` and its kin: how much of a state the full format shows.

use clap::Args;

/// How much of a state the full format shows.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "How much to show (in the format full; JSON is always whole)")]
pub struct Extent {
    /// Show each thread and each process by itself, with all its frames, also where many are alike
    #[arg(long)]
    pub each: bool,

    /// Show this thread alone: its name, its identifier or its TID. May be given several times
    #[arg(long, value_name = "THREAD", allow_negative_numbers = true)]
    pub thread: Vec<String>,

    /// Show so many innermost frames of each stack
    #[arg(long, value_name = "FRAMES", value_parser = clap::value_parser!(u32).range(1..))]
    pub innermost: Option<u32>,

    /// Show the frames of the program's own code, and count those of the standard library and of installed packages
    #[arg(long)]
    pub only_own: bool,

    /// Show objects without their attributes
    #[arg(long)]
    pub no_attributes: bool,
}

impl Extent {
    /// Whether any of them is given.
    pub fn any(&self) -> bool {
        self.each
            || !self.thread.is_empty()
            || self.innermost.is_some()
            || self.only_own
            || self.no_attributes
    }
}
