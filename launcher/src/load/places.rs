//! Where in a process the code and its words go, and where its functions are. Nobody is stopped for this.
//!
//! The last page of a segment of code is mapped whole, and what is behind the segment's end belongs to nobody: zeros,
//! mostly 500 to 4,000 bytes. The same holds behind the last variable of a segment of data. So nothing has to be mapped,
//! and no page is both writable and executable. The loader's own data and the program's are left alone: the first
//! continues behind its end (`rtld_malloc`, elf/dl-minimal.c, glibc), and behind the second the heap may begin. (musl has
//! malloc use what is behind both: `reclaim_gaps`, ldso/dynlink.c.)

use std::fs::File;
use std::os::unix::fs::FileExt;

use memchr::memmem;

use crate::find::agent::MOST_OF_FILES;
use crate::find::python_version::Versions;
use crate::load::detour;
use crate::load::words::{CURRENT, FUNCTIONS, INTERPRETER, Said, Told};
use crate::system::bounded_file::Budget;
use crate::system::elf::{self, Segment};
use crate::system::mapped_file::open_mapped;
use crate::system::maps::{self, MappedFile, Region, region_at};
use crate::system::memory::read_memory;
use crate::system::process::Process;
use crate::trouble::Trouble;

const PAGE: u64 = 4096;

/// What is known of a process before one of its threads is stopped.
pub struct Places {
    /// Where the code goes.
    pub code: u64,
    /// Where [`Said`] goes.
    pub said: u64,
    /// Where [`FUNCTIONS`] are.
    pub functions: [u64; FUNCTIONS.len()],
    /// Where [`INTERPRETER`] is; all zero: the GIL cannot be made.
    pub interpreter: [u64; INTERPRETER.len()],
    /// The process's number in its own PID namespace.
    pub number: i32,
    /// Whether an earlier command's code is there, and a thread of the process is loading the library by it.
    pub is_under_way: bool,
    /// The names of objects that have a `malloc` of their own.
    pub allocators: Vec<String>,
    /// Its mappings.
    pub regions: Vec<Region>,
    /// The addresses to which a signal handler returns.
    pub signal_returns: Vec<u64>,
}

/// A mapped object: its file, and what the loader maps of it.
struct Mapped {
    file: MappedFile,
    opened: File,
    segments: Vec<Segment>,
}

impl Mapped {
    fn name(&self) -> String {
        let name = self.file.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    fn is_c_library(&self) -> bool {
        let name = self.name();
        ["libc.so", "libc-", "libpthread", "libdl", "ld-musl"]
            .iter()
            .any(|beginning| name.starts_with(beginning))
    }

    /// musl's C library is its loader too: under that name on Debian, as ld-musl-x86_64.so.1 on Alpine.
    fn is_loader(&self) -> bool {
        let name = self.name();
        name.starts_with("ld-") || name == "libc.so"
    }

    /// Whether it stays loaded for as long as the process lives, unlike a plug-in.
    fn stays(&self) -> bool {
        let name = self.name();
        let known = ["libm.", "libm-", "libpython"];
        self.is_c_library() || known.iter().any(|beginning| name.starts_with(beginning))
    }

    /// The address of a symbol, if it lies in a mapping of this object with that right: a file may be mapped a second
    /// time, to be read, and at a lower address.
    fn address_of(&self, name: &str, regions: &[Region], budget: &Budget) -> Option<u64> {
        let offset = elf::symbol_offset(&self.opened, name, budget).ok()??;
        let address = self.file.start.wrapping_add(offset);
        let region = region_at(regions, address)?;
        let is_variable = name == CURRENT;
        let fits = match is_variable {
            true => region.write,
            false => region.execute && region.name.starts_with(&*self.file.path.to_string_lossy()),
        };
        fits.then_some(address)
    }
}

/// Where an object's first byte is mapped, where its code is mapped too: the same file may be mapped a second time, to be
/// read, and at a lower address.
fn start_of_code(file: &MappedFile, segments: &[Segment], regions: &[Region]) -> Option<u64> {
    let code = segments.iter().find(|one| one.execute)?;
    let name = &*file.path.to_string_lossy();
    let begins = regions
        .iter()
        .filter(|one| one.offset == 0 && one.name.starts_with(name));
    begins.map(|one| one.start).find(|start| {
        let last = start.wrapping_add(code.file_end).wrapping_sub(1);
        region_at(regions, last).is_some_and(|one| one.execute && one.name.starts_with(name))
    })
}

impl Places {
    /// Looks for them; `None` if no file of the process is a Python 2.6 or 2.7 that shows itself.
    ///
    /// # Errors
    /// What the process lacks.
    pub fn find(process: Process) -> Result<Option<Places>, Trouble> {
        let unreadable = |error: std::io::Error| {
            Trouble::new(
                format!("what is mapped into it cannot be read ({error})"),
                "ask as root",
            )
        };
        let regions = maps::regions(process).map_err(unreadable)?;
        let (files, _) = maps::of(process, maps::MOST_TEXT, |_| false).map_err(unreadable)?;
        let budget = Budget::new(MOST_OF_FILES);
        if Versions::default().of(process, &files, &budget).is_none() {
            return Ok(None);
        }
        let program = std::fs::read_link(process.path("exe")).ok();
        let mut mapped = Vec::new();
        for mut file in files {
            let Ok(opened) = open_mapped(process, &file) else {
                continue;
            };
            let segments = elf::segments(&opened, &budget).unwrap_or_default();
            if let Some(start) = start_of_code(&file, &segments, &regions) {
                file.start = start;
                mapped.push(Mapped {
                    file,
                    opened,
                    segments,
                });
            }
        }
        let (c_library, others): (Vec<&Mapped>, Vec<&Mapped>) =
            mapped.iter().partition(|object| object.is_c_library());
        let functions = addresses(&FUNCTIONS, &c_library, &regions, &budget).map_err(|name| {
            Trouble::new(
                format!("its C library has no {name} (or none that we can see), so nothing can be loaded"),
                "start it with `sa-run COMMAND`",
            )
        })?;
        let mut all: Vec<&Mapped> = mapped.iter().collect();
        // A program has its own copies of a library's variables, if it uses them.
        all.sort_by_key(|object| Some(&object.file.path) != program.as_ref());
        let interpreter = addresses(&INTERPRETER, &all, &regions, &budget).unwrap_or_default();
        let signal_returns = signal_returns(&c_library, &regions, &budget);
        let allocators = others
            .iter()
            .filter(|object| object.address_of("malloc", &regions, &budget).is_some())
            .map(|object| object.file.path.to_string_lossy().into_owned())
            .collect::<Vec<_>>();
        if signal_returns.is_empty() {
            return Err(Trouble::new(
                "its C library is unknown: where signal handlers return to cannot be found in it",
                "start it with `sa-run COMMAND`",
            ));
        }
        let number = process.status().ok().and_then(|status| status.innermost);
        let number = number.unwrap_or(process.pid);
        let size = (detour::code().len() + size_of::<Told>()) as u64;
        let of_code: Vec<Tail> = all
            .iter()
            .flat_map(|object| tails(object, &regions, true))
            .filter(|tail| tail.room() >= size)
            .collect();
        let places = |code, said, is_under_way| {
            Some(Places {
                code,
                said,
                functions,
                interpreter,
                number,
                is_under_way,
                signal_returns: signal_returns.clone(),
                allocators: allocators.clone(),
                regions: regions.clone(),
            })
        };
        let apart =
            |object: &Mapped| !object.is_loader() && Some(&object.file.path) != program.as_ref();
        let of_data: Vec<Tail> = all
            .iter()
            .filter(|object| apart(object))
            .flat_map(|object| tails(object, &regions, false))
            .filter(|tail| tail.room() >= size_of::<Said>() as u64)
            .collect();
        for tail in &of_code {
            let former = tail.former(process);
            // What it names may have been unloaded since.
            let former = former.filter(|(at, _)| of_data.iter().any(|tail| tail.start == *at));
            match former {
                Some((at, said)) if said.is_under_way() && !said.is_free(number) => {
                    return Ok(places(tail.start, at, true));
                }
                Some((at, said)) if said.is_free(number) => {
                    return Ok(places(tail.start, at, false));
                }
                _ => {}
            }
        }
        // Best in an object that stays, with the most room.
        let best = |tails: Vec<Tail>| {
            let empty = tails.into_iter().filter(|tail| tail.is_empty(process));
            empty.max_by_key(|tail| (tail.stays, tail.room()))
        };
        match (best(of_code), best(of_data)) {
            (Some(code), Some(said)) => Ok(places(code.start, said.start, false)),
            _ => Err(Trouble::new(
                "there is no room in it for the code that loads the library",
                "start it with `sa-run COMMAND`",
            )),
        }
    }

    /// Looks at its mappings anew.
    pub fn refresh(&mut self, process: Process) {
        if let Ok(regions) = maps::regions(process) {
            self.regions = regions;
        }
    }
}

/// The addresses of symbols, each in the first of these objects that defines it.
///
/// # Errors
/// The first symbol that none defines.
fn addresses<'a, const COUNT: usize>(
    names: &[&'a str; COUNT],
    objects: &[&Mapped],
    regions: &[Region],
    budget: &Budget,
) -> Result<[u64; COUNT], &'a str> {
    let mut found = [0; COUNT];
    for (name, place) in names.iter().zip(&mut found) {
        let mut defined = objects.iter();
        *place = defined
            .find_map(|object| object.address_of(name, regions, budget))
            .ok_or(*name)?;
    }
    Ok(found)
}

/// The room behind the end of an object's segment, up to the end of its page.
#[derive(Clone, Copy)]
struct Tail {
    /// The end of the segment.
    end: u64,
    /// Where the room begins.
    start: u64,
    page_end: u64,
    /// Whether the object stays loaded.
    stays: bool,
}

/// The tails of an object's segments of code, or of data.
fn tails(object: &Mapped, regions: &[Region], of_code: bool) -> Vec<Tail> {
    let wanted = object.segments.iter().filter(|one| match of_code {
        true => one.execute && !one.write,
        false => one.write && !one.execute,
    });
    wanted
        .filter_map(|segment| {
            let end = match of_code {
                true => segment.file_end,
                false => segment.end,
            };
            let end = object.file.start.checked_add(end)?;
            // The processor looks ahead of the last instruction, and string functions behind the last word.
            let start = end.checked_add(64)?.next_multiple_of(16);
            let page_end = end.checked_next_multiple_of(PAGE)?;
            let region = region_at(regions, start)?;
            let fits = start < page_end
                && page_end <= region.end
                && region.read
                && region.execute == of_code
                && region.write != of_code;
            fits.then_some(Tail {
                end,
                start,
                page_end,
                stays: object.stays(),
            })
        })
        .collect()
}

impl Tail {
    fn room(&self) -> u64 {
        self.page_end - self.start
    }

    /// Whether nothing but zeros stands there.
    fn is_empty(&self, process: Process) -> bool {
        read_memory(process.pid, self.end, (self.page_end - self.end) as usize)
            .is_ok_and(|bytes| bytes.iter().all(|byte| *byte == 0))
    }

    /// What an earlier command has left there: where the code says how far it is, and what it says.
    fn former(&self, process: Process) -> Option<(u64, Said)> {
        let code = detour::code();
        let bytes = read_memory(process.pid, self.start, code.len() + 8).ok()?;
        let at = bytes.strip_prefix(code)?;
        let at = u64::from_ne_bytes(at.try_into().ok()?);
        let bytes = read_memory(process.pid, at, size_of::<Said>()).ok()?;
        Some((at, Said::parse(bytes.first_chunk()?)))
    }
}

/// Where the kernel has a signal handler return to: the C library's call of rt_sigreturn(2).
fn signal_returns(c_library: &[&Mapped], regions: &[Region], budget: &Budget) -> Vec<u64> {
    // mov $15, %rax or, in musl, mov $15, %eax; and what both end with: the number, and syscall.
    const BEGINNINGS: [&[u8]; 2] = [&[0x48, 0xc7, 0xc0], &[0xb8]];
    const END: [u8; 6] = [0x0f, 0, 0, 0, 0x0f, 0x05];
    const MOST: u64 = 4 << 20;
    // glibc has one in each of its libraries.
    const MOST_OF_ONE: usize = 8;
    const MOST_OF_ALL: usize = 64;
    let mut found = Vec::new();
    for object in c_library {
        for segment in object.segments.iter().filter(|one| one.execute) {
            let length = segment.file_end.saturating_sub(segment.start).min(MOST);
            if found.len() > MOST_OF_ALL || budget.take(length).is_err() {
                return Vec::new();
            }
            let mut bytes = vec![0; length as usize];
            if object
                .opened
                .read_exact_at(&mut bytes, segment.offset)
                .is_err()
            {
                continue;
            }
            let begin = memmem::find_iter(&bytes, &END).filter_map(|end| {
                let mut beginnings = BEGINNINGS.iter();
                let beginning = beginnings.find(|one| bytes[..end].ends_with(one))?;
                Some(end - beginning.len())
            });
            let start = object.file.start.wrapping_add(segment.start);
            let places = begin.map(|at| start.wrapping_add(at as u64));
            let is_code = |place: &u64| region_at(regions, *place).is_some_and(|one| one.execute);
            found.extend(places.filter(is_code).take(MOST_OF_ONE));
        }
    }
    found
}
