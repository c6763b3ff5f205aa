//! The files that a process has mapped, by address, and what they say of their code.

use std::cell::OnceCell;
use std::fs::File;
use std::io;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, open};

use crate::native::object_file::ObjectFile;
use crate::system::bounded_file::Budget;
use crate::system::mapped_file;
use crate::system::maps::{self, MappedFile};
use crate::system::named_file;
use crate::system::process::Process;
use crate::system::within_root;

/// The most bytes of files that are read for one process: a program's libraries have 20 MB of tables and names, with
/// numpy and the like.
const MOST_BYTES: u64 = 192 << 20;

/// The most bytes of one file.
const MOST_OF_ONE: u64 = 64 << 20;

/// The most files that are looked at.
const MOST_FILES: usize = 4096;

/// The files that are mapped into a process.
pub struct Objects {
    process: Process,
    budget: Budget,
    /// By address.
    objects: Vec<Object>,
    /// Where code is that stands in no file.
    anonymous: Vec<(u64, u64)>,
}

/// A file that is mapped.
pub struct Object {
    mapped: MappedFile,
    /// The end of its last mapping.
    end: u64,
    /// Its name, without folders.
    pub name: Arc<str>,
    file: OnceCell<Option<ObjectFile>>,
}

impl Objects {
    /// Those of a process.
    ///
    /// # Errors
    /// We may not see what is mapped.
    pub fn of(process: Process) -> io::Result<Objects> {
        let (files, _) = maps::of(process, maps::MOST_TEXT, |_| false)?;
        let regions = maps::regions(process)?;
        let mut objects: Vec<Object> = Vec::new();
        for mapped in files.into_iter().take(MOST_FILES) {
            let name = mapped.path.file_name().unwrap_or_default();
            objects.push(Object {
                end: mapped.end,
                name: name.to_string_lossy().into(),
                mapped,
                file: OnceCell::new(),
            });
        }
        objects.sort_by_key(|one| one.mapped.start);
        let mut anonymous = Vec::new();
        for region in &regions {
            let before = objects.partition_point(|one| one.mapped.start <= region.start);
            let object = before.checked_sub(1).and_then(|at| objects.get_mut(at));
            let in_file = region.name.starts_with('/');
            match object {
                // Maps have "(deleted)" behind the path, and a few characters escaped.
                Some(object) if in_file && region.name.contains(&*object.name) => {
                    object.end = object.end.max(region.end);
                }
                _ if region.execute => anonymous.push((region.start, region.end)),
                _ => {}
            }
        }
        Ok(Objects {
            process,
            budget: Budget::new(MOST_BYTES),
            objects,
            anonymous,
        })
    }

    /// The file that is mapped at an address.
    pub fn at(&self, address: u64) -> Option<&Object> {
        let before = self
            .objects
            .partition_point(|one| one.mapped.start <= address);
        let object = self.objects.get(before.checked_sub(1)?)?;
        (address < object.end).then_some(object)
    }

    /// What that file says of its code, and the address in the file's own terms.
    pub fn code_at(&self, address: u64) -> Option<(&ObjectFile, u64)> {
        let object = self.at(address)?;
        let file = object.file.get_or_init(|| self.read(&object.mapped));
        let file = file.as_ref()?;
        Some((file, object.offset(address).wrapping_add(file.first)))
    }

    /// Whether there may be code at an address.
    pub fn is_code(&self, address: u64) -> bool {
        match self.code_at(address) {
            Some((file, place)) => file.is_code(place),
            None => self.is_anonymous(address),
        }
    }

    /// Whether there is code at an address that stands in no file.
    fn is_anonymous(&self, address: u64) -> bool {
        let mut ranges = self.anonymous.iter();
        ranges.any(|&(start, end)| (start..end).contains(&address))
    }

    fn read(&self, mapped: &MappedFile) -> Option<ObjectFile> {
        let read = |file: File| {
            let most = self.budget.left().min(MOST_OF_ONE);
            let own = Budget::new(most);
            let read = ObjectFile::read(file, &own);
            self.budget.take(most - own.left()).ok()?;
            read.ok()
        };
        let mut object = read(mapped_file::open_mapped(self.process, mapped).ok()?)?;
        if let Some(other) = object.debug_path().and_then(|path| self.open_debug(&path))
            && let Some(other) = read(other)
            && other.is_same_build(&object)
        {
            object.take_names_of(other);
        }
        Some(object)
    }

    /// Opens a file of symbols, where the process has it or else where we do.
    fn open_debug(&self, path: &str) -> Option<File> {
        let within = within_root::look_up(&self.process.path("root"), path.as_ref()).ok()?;
        let link = named_file::link(&within);
        let status = named_file::status(&within).ok()?;
        let kind = rustix::fs::FileType::from_raw_mode(status.st_mode);
        if kind != rustix::fs::FileType::RegularFile {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Some(File::from(open(link, flags, Mode::empty()).ok()?))
    }
}

impl Object {
    /// How far an address is from where the file's first byte is mapped.
    pub fn offset(&self, address: u64) -> u64 {
        address.wrapping_sub(self.mapped.start)
    }
}
