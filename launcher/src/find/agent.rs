//! The agent in a process: which mapped library it is, and where its function, its bell and its thread
//! are.

use std::io;

use crate::find::bell;
use crate::system::bounded_file::{self, Budget};
use crate::system::elf;
use crate::system::mapped_file::open_mapped;
use crate::system::maps::{self, MappedFile};
use crate::system::process::Process;
use protocol::names::{BELL_SECTION, PARKED_THREAD, STATE_FUNCTION};

/// The most bytes that are read of the files of one process, where each file counts for 16 KB at least. (A
/// program with 500 libraries takes 40 MB, if none of them is ours.)
pub const MOST_OF_FILES: u64 = 64 << 20;

/// An agent found in a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The library.
    pub library: MappedFile,
    /// The address of its function [`STATE_FUNCTION`] in the process.
    pub state_function: u64,
    /// The address of its bell; `None` in a library of another version.
    pub bell: Option<u64>,
    /// The thread it has parked; `None` if it has not booted.
    pub parked_thread: Option<i32>,
    /// Bytes of `/proc/PID/maps` that were read, [`maps::MOST_TEXT`] at most.
    pub text_of_maps: usize,
}

impl Agent {
    /// Looks for an agent in the files that are mapped into the process. If several copies of the library
    /// are mapped, one serves, and the others pass questions on to it.
    ///
    /// # Errors
    /// InvalidData, with a whole sentence, if a file that has our library's name cannot be read, or if too
    /// many are mapped; PermissionDenied if the process, or such a file, is closed to us; NotFound if there is
    /// no such process.
    pub fn find(process: Process) -> io::Result<Option<Agent>> {
        let (mut files, text_of_maps) = maps::of(process, maps::MOST_TEXT, is_named_as_ours)?;
        // The preloaded library comes before an extension module of the same process. Any other name
        // comes last: SLEEPER_AGENT_LIB may name any file.
        files.sort_by_key(likelihood);
        let parked_thread = process.thread_named(PARKED_THREAD)?;
        let budget = Budget::new(MOST_OF_FILES);
        let mut first = None;
        for file in files {
            match places_in(process, &file, &budget) {
                Ok(Some((function, bell))) => {
                    let agent = Agent {
                        state_function: file.start.wrapping_add(function),
                        bell: bell.map(|offset| file.start.wrapping_add(offset)),
                        library: file,
                        parked_thread,
                        text_of_maps,
                    };
                    if parked_thread.is_none() || agent.may_listen(process) {
                        return Ok(Some(agent));
                    }
                    first = first.or(Some(agent));
                }
                // The name is our library's: that we may not read it does not mean that there is no agent.
                Err(error) if is_named_as_ours(&file) => return Err(unreadable(error)),
                _ => {}
            }
        }
        if first.is_none() && budget.left() == 0 {
            return Err(unreadable(bounded_file::too_much()));
        }
        Ok(first)
    }

    /// The address of one of the library's functions in the process; `None` if it has no such function.
    ///
    /// # Errors
    /// That its file cannot be read: only root sees one that has been removed.
    pub fn address_of(&self, process: Process, function: &str) -> io::Result<Option<u64>> {
        let file = open_mapped(process, &self.library)?;
        let offset = elf::symbol_offset(&file, function, &Budget::new(MOST_OF_FILES))?;
        Ok(offset.map(|offset| self.library.start.wrapping_add(offset)))
    }

    /// Whether it has left its process (`sa-load --unload`), as far as we may see.
    pub fn has_left(&self, process: Process) -> bool {
        let seen = self.bell.map(|address| bell::look(process, address));
        self.parked_thread.is_none() && matches!(seen, Some(Ok(Some(seen))) if seen.has_left)
    }

    /// Whether this copy of the library listens; true if we may not look.
    fn may_listen(&self, process: Process) -> bool {
        self.bell.is_some_and(|address| {
            !matches!(bell::look(process, address), Ok(seen) if !seen.is_some_and(|seen| seen.listens))
        })
    }
}

/// The offsets of the function and of the bell in a file, if it is our library.
fn places_in(
    process: Process,
    file: &MappedFile,
    budget: &Budget,
) -> io::Result<Option<(u64, Option<u64>)>> {
    let file = open_mapped(process, file)?;
    let Some(function) = elf::symbol_offset(&file, STATE_FUNCTION, budget)? else {
        return Ok(None);
    };
    let bell = elf::section_offset(&file, BELL_SECTION, budget)?;
    Ok(Some((function, bell)))
}

/// Why a file that may be our library's tells nothing. What the kernel says of the process is left as it is.
fn unreadable(error: io::Error) -> io::Error {
    let of_process = [libc::EACCES, libc::EPERM, libc::ENOENT, libc::ESRCH];
    if error
        .raw_os_error()
        .is_some_and(|number| of_process.contains(&number))
    {
        return error;
    }
    let why = match error.kind() {
        io::ErrorKind::WouldBlock => "somebody holds a lease on it".to_owned(),
        _ => error.to_string(),
    };
    let what = format!("the file of its libsleeper.so cannot be read: {why}");
    io::Error::new(io::ErrorKind::InvalidData, what)
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
            device: (0, 0),
            inode: 1,
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
