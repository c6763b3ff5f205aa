//! Where a program finds the library that it is to load: at the library's path; else in a file in memory; else in a copy.

use std::ffi::CString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::find::agent::Agent;
use crate::load::copy::{Copy, FOLDERS};
use crate::load::words::LONGEST_PATH;
use crate::system::memory_file;
use crate::system::named_file;
use crate::system::process::Process;
use crate::system::within_root;
use crate::trouble::{Trouble, of_another_version};
use protocol::names::BEGIN_FUNCTION;

/// The name of a file in memory.
pub const FILE_NAME: &str = "libsleeper.so";

/// A library for a process.
pub struct Source {
    process: Process,
    /// The file, as we see it; `None`: the process has it already.
    library: Option<PathBuf>,
    place: Place,
}

/// Where the process finds it.
enum Place {
    /// It has it already, with the function that begins at this address.
    Mapped(u64),
    /// At this path, as the process sees it.
    There(CString),
    /// In a file in memory, which we fill.
    InMemory,
    /// In a copy, in the folder of this number.
    Copied(Copy, usize),
}

impl Source {
    /// This library, as the process finds it best.
    pub fn of(process: Process, library: &Path) -> Source {
        Source {
            process,
            library: Some(library.to_owned()),
            place: path_within(process, library).map_or(Place::InMemory, Place::There),
        }
    }

    /// The library that the process has already.
    ///
    /// # Errors
    /// Its file has been removed or replaced, and only root sees the one in use.
    pub fn of_agent(process: Process, agent: &Agent) -> Result<Source, Trouble> {
        let mapped = agent
            .address_of(process, BEGIN_FUNCTION)
            .map(|address| address.map(Place::Mapped));
        let place = match mapped {
            Ok(place) => place.ok_or_else(of_another_version)?,
            Err(_) => path_within(process, &agent.library.path).map(Place::There).ok_or_else(|| {
                Trouble::new(
                    "its libsleeper.so has been replaced or removed, or is closed to us, and only root sees the one in use",
                    format!("run `sudo sa-load {}`", process.pid),
                )
            })?,
        };
        Ok(Source {
            process,
            library: None,
            place,
        })
    }

    /// The address of the function that begins, if the process has the library already; else 0.
    pub fn known(&self) -> u64 {
        match self.place {
            Place::Mapped(address) => address,
            _ => 0,
        }
    }

    /// Its path, as the process sees it; `None`: it comes in a file in memory, or is there already.
    pub fn path(&self) -> Option<&[u8]> {
        match &self.place {
            Place::Mapped(_) => None,
            Place::There(path) => Some(path.to_bytes()),
            Place::InMemory => None,
            Place::Copied(copy, _) => Some(copy.path.to_bytes()),
        }
    }

    /// The next place, as the loader refuses this one.
    ///
    /// # Errors
    /// There is none.
    pub fn try_next(&mut self) -> Result<(), Trouble> {
        let library = self.library.as_deref().ok_or_else(of_another_version)?;
        let first = match &self.place {
            Place::There(_) | Place::Mapped(_) => {
                self.place = Place::InMemory;
                return Ok(());
            }
            Place::InMemory => 0,
            Place::Copied(_, number) => number + 1,
        };
        let mut folders = FOLDERS.iter().enumerate().skip(first);
        let copied = folders.find_map(|(number, folder)| {
            let copy = Copy::make(self.process, folder, library).ok()?;
            Some(Place::Copied(copy, number))
        });
        self.place = copied.ok_or_else(|| {
            Trouble::new(
                format!(
                    "its loader does not load {}, neither by that path nor from memory nor from a copy",
                    library.display()
                ),
                "put a copy of the library where both see it and its user may read and execute it, and set \
                 SLEEPER_AGENT_LIB to its path",
            )
        })?;
        Ok(())
    }

    /// Fills the file in memory that a thread of the process's has under this descriptor. Returns the path by which that
    /// thread finds it.
    ///
    /// # Errors
    /// NotFound if no thread has such a file.
    pub fn fill(&self, descriptor: u32) -> io::Result<String> {
        let library = self.library.as_deref().ok_or(io::ErrorKind::NotFound)?;
        // The thread that has made it has descriptors of its own, and may have another number than we see.
        let mut threads = self.process.threads()?.into_iter();
        let opened = threads.find_map(|thread| {
            let place = format!("task/{thread}/fd/{descriptor}");
            memory_file::open_named(&self.process.path(&place), FILE_NAME).ok()
        });
        let mut opened = opened.ok_or(io::ErrorKind::NotFound)?;
        opened.write_all(&std::fs::read(library)?)?;
        Ok(format!("/proc/thread-self/fd/{descriptor}\0"))
    }
}

/// The path of a file, if it leads the process to the same one, and there is room for it.
fn path_within(process: Process, path: &Path) -> Option<CString> {
    let there = within_root::look_up(&process.path("root"), path).and_then(named_file::status);
    let (there, here) = (there.ok()?, std::fs::metadata(path).ok()?);
    let is_same = (there.st_dev, there.st_ino) == (here.dev(), here.ino());
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    (is_same && path.as_bytes_with_nul().len() <= LONGEST_PATH).then_some(path)
}
