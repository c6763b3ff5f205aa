//! The agent in a process: which mapped library it is, and where its function, its bell and its thread
//! are.

use std::io;
use std::path::PathBuf;

use crate::find::bell;
use crate::system::elf;
use crate::system::maps::{self, MappedFile, in_file};
use crate::system::process::Process;
use protocol::names::{BELL_SECTION, PARKED_THREAD, STATE_FUNCTION};

/// An agent found in a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The library, as the process names it.
    pub library: PathBuf,
    /// The address of its function [`STATE_FUNCTION`] in the process.
    pub state_function: u64,
    /// The address of its bell; `None` in a library of another version.
    pub bell: Option<u64>,
    /// The thread it has parked; `None` if it has not booted.
    pub parked_thread: Option<i32>,
}

impl Agent {
    /// Looks for an agent in the files that are mapped into the process. If several copies of the library
    /// are mapped, one serves, and the others pass questions on to it.
    pub fn find(process: Process) -> io::Result<Option<Agent>> {
        let text = std::fs::read(process.path("maps"))?;
        let mut files = maps::mapped_files(&text);
        // The preloaded library comes before an extension module of the same process. Any other name
        // comes last: SLEEPER_AGENT_LIB may name any file.
        files.sort_by_key(likelihood);
        let parked_thread = process.thread_named(PARKED_THREAD)?;
        let mut first = None;
        for file in files {
            let found = in_file(process, &file, |path| {
                elf::symbol_offset(path, STATE_FUNCTION)
            });
            match found {
                Ok(Some(offset)) => {
                    let bell = in_file(process, &file, |path| {
                        elf::section_offset(path, BELL_SECTION)
                    })?;
                    let agent = Agent {
                        state_function: file.start.wrapping_add(offset),
                        bell: bell.map(|offset| file.start.wrapping_add(offset)),
                        library: file.path,
                        parked_thread,
                    };
                    if parked_thread.is_none() || agent.may_listen(process) {
                        return Ok(Some(agent));
                    }
                    first = first.or(Some(agent));
                }
                // The name is our library's: that we may not read it does not mean that there is no agent.
                Err(error) if is_named_as_ours(&file) => return Err(error),
                _ => {}
            }
        }
        Ok(first)
    }

    /// Whether this copy of the library listens; true if we may not look.
    fn may_listen(&self, process: Process) -> bool {
        self.bell.is_some_and(|address| {
            !matches!(bell::look(process, address), Ok(seen) if !seen.is_some_and(|seen| seen.listens))
        })
    }
}

const NAMED_AS_OURS: u8 = 1;

/// Whether a file has the name of our library, or of the extension module that it is too.
pub fn is_named_as_ours(file: &MappedFile) -> bool {
    likelihood(file) <= NAMED_AS_OURS
}

fn likelihood(file: &MappedFile) -> u8 {
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    match () {
        () if name.starts_with("libsleeper") => 0,
        () if name.contains("sleeper") => NAMED_AS_OURS,
        () if name.contains(".so") => 2,
        () => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn mapped(path: &str) -> MappedFile {
        MappedFile {
            start: 0,
            end: 0,
            path: path.into(),
            deleted: false,
        }
    }

    #[test]
    fn the_preloaded_library_goes_first() {
        let mut files = [
            mapped("/usr/bin/python2.7"),
            mapped("/lib/libc.so.6"),
            mapped("/app/_sleeper_agent_activation.so"),
            mapped("/opt/libsleeper.so"),
        ];
        files.sort_by_key(likelihood);
        assert!(files[0].path.ends_with("libsleeper.so"));
        assert!(files[1].path.ends_with("_sleeper_agent_activation.so"));
        assert!(files[3].path.ends_with("python2.7"));
    }

    #[test]
    fn finds_none_in_this_process() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        assert_eq!(Agent::find(us).expect("procfs"), None);
    }
}
