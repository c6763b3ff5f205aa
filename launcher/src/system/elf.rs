//! What the loader reads in an ELF file: its machine, the loader it names, and the addresses of its
//! symbols.
//!
//! The file may be anybody's: each table is read once, whole and to a limit, and looked through from its
//! beginning to its end.
//!
//! The file is long for its unit tests, which stand behind the code that they test.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use object::Endianness;
use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader, Sym};
use object::read::{ReadRef, SectionIndex};

use crate::system::bounded_file::{BoundedFile, Budget, too_much};

/// The most bytes of one file that are read. (The tables of our library have 50 KB, those of an interpreter
/// 200 KB, those of a library of 100 MB, such as LLVM's, 4 MB.)
pub const MOST_OF_FILE: u64 = 16 << 20;

/// The parts of an ELF file that decide whether our library can go into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    /// Word size in bits and machine number.
    pub machine: Machine,
    /// Whether it is a shared object or a position-independent executable (`ET_DYN`).
    pub shared_object: bool,
    /// The loader it names (`PT_INTERP`); `None` if it is statically linked.
    pub interpreter: Option<String>,
}

/// The properties that a library and a program must share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// 32 or 64.
    pub bits: u8,
    /// The number (`e_machine`) of the processor family.
    pub number: elf::Machine,
    /// Byte order.
    pub little_endian: bool,
}

impl Machine {
    /// The machine that this command was built for.
    pub fn ours() -> Option<Self> {
        match read(&File::open("/proc/self/exe").ok()?) {
            Ok(Some(executable)) => Some(executable.machine),
            _ => None,
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.number {
            elf::EM_386 => "x86",
            elf::EM_X86_64 => "x86-64",
            elf::EM_ARM => "ARM",
            elf::EM_AARCH64 => "AArch64",
            elf::EM_PPC64 => "PowerPC",
            elf::EM_S390 => "s390",
            elf::EM_RISCV => "RISC-V",
            number => return write!(f, "{}-bit machine number {}", self.bits, number.0),
        };
        write!(f, "{}-bit {name}", self.bits)
    }
}

/// Reads an ELF file; `None` if the file is none.
pub fn read(file: &File) -> Result<Option<Executable>, String> {
    let budget = Budget::new(MOST_OF_FILE);
    let data = &BoundedFile::new(file, &budget).map_err(|error| error.to_string())?;
    match word_size(data) {
        Some(32) => describe::<FileHeader32<Endianness>, _>(data).map(Some),
        Some(64) => describe::<FileHeader64<Endianness>, _>(data).map(Some),
        _ => Ok(None),
    }
}

/// The offset of a dynamic symbol from the place where the file's first byte is mapped; `None` if the file
/// defines no such symbol or is no ELF file.
///
/// # Errors
/// FileTooLarge if more would have to be read than the budget allows.
pub fn symbol_offset(file: &File, name: &str, budget: &Budget) -> io::Result<Option<u64>> {
    within(file, budget, |data| match word_size(data) {
        Some(32) => find_symbol::<FileHeader32<Endianness>, _>(data, name),
        Some(64) => find_symbol::<FileHeader64<Endianness>, _>(data, name),
        _ => Ok(None),
    })
}

/// The offset of a section from the same place; `None` if the file has no such section.
///
/// # Errors
/// FileTooLarge if more would have to be read than the budget allows.
pub fn section_offset(file: &File, name: &str, budget: &Budget) -> io::Result<Option<u64>> {
    within(file, budget, |data| match word_size(data) {
        Some(32) => section_address::<FileHeader32<Endianness>, _>(data, name),
        Some(64) => section_address::<FileHeader64<Endianness>, _>(data, name),
        _ => Ok(None),
    })
}

/// A part of a file that the loader maps. Its places are counted from where the file's first byte is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Whether it is code.
    pub execute: bool,
    /// Whether it may be written to.
    pub write: bool,
    /// Where it begins in the file.
    pub offset: u64,
    /// Where it begins.
    pub start: u64,
    /// Where what it takes from the file ends.
    pub file_end: u64,
    /// Where it ends, with the zeros behind that.
    pub end: u64,
}

/// The parts of a file that the loader maps.
///
/// # Errors
/// FileTooLarge if more would have to be read than the budget allows.
pub fn segments(file: &File, budget: &Budget) -> io::Result<Vec<Segment>> {
    within(file, budget, |data| match word_size(data) {
        Some(64) => mapped_segments::<FileHeader64<Endianness>, _>(data),
        _ => Ok(Vec::new()),
    })
}

/// Where a section's bytes stand in the file: offset and size; `None` if the file has no such section.
///
/// # Errors
/// FileTooLarge if more would have to be read than the budget allows.
pub fn section_place(file: &File, name: &str, budget: &Budget) -> io::Result<Option<(u64, u64)>> {
    within(file, budget, |data| match word_size(data) {
        Some(32) => place_of_section::<FileHeader32<Endianness>, _>(data, name),
        Some(64) => place_of_section::<FileHeader64<Endianness>, _>(data, name),
        _ => Ok(None),
    })
}

/// The bytes of a section, at most so many; `None` if the file has no such section.
///
/// # Errors
/// FileTooLarge if more would have to be read than the budget allows.
pub fn section(
    file: &File,
    name: &str,
    most: usize,
    budget: &Budget,
) -> io::Result<Option<Vec<u8>>> {
    let Some((offset, size)) = section_place(file, name, budget)? else {
        return Ok(None);
    };
    let mut bytes = vec![0; usize::try_from(size).map_or(most, |size| size.min(most))];
    budget.take(bytes.len() as u64)?;
    file.read_exact_at(&mut bytes, offset)?;
    Ok(Some(bytes))
}

/// The names of the libraries that a file needs (DT_NEEDED).
///
/// # Errors
/// FileTooLarge if more would have to be read than the budget allows.
pub fn needed(file: &File, budget: &Budget) -> io::Result<Vec<String>> {
    within(file, budget, |data| match word_size(data) {
        Some(32) => needed_by::<FileHeader32<Endianness>, _>(data),
        Some(64) => needed_by::<FileHeader64<Endianness>, _>(data),
        _ => Ok(Vec::new()),
    })
}

/// Looks into a file, of which at most [`MOST_OF_FILE`] is read, and no more than the budget allows.
fn within<T>(
    file: &File,
    budget: &Budget,
    look: impl FnOnce(&BoundedFile) -> object::read::Result<T>,
) -> io::Result<T> {
    let most = budget.left().min(MOST_OF_FILE);
    let own = Budget::new(most);
    let found = match BoundedFile::new(file, &own) {
        Ok(data) => look(&data).map_err(io::Error::other),
        Err(error) => Err(error),
    };
    let used = most - own.left();
    match (own.left(), budget.take(used)) {
        (0, _) | (_, Err(_)) if found.is_err() => Err(too_much()),
        _ => found,
    }
}

fn word_size<'data, R: ReadRef<'data>>(data: R) -> Option<u8> {
    let ident = data.read_bytes_at(0, 16).ok()?;
    match elf::FileClass(*ident.strip_prefix(&elf::ELFMAG)?.first()?) {
        elf::ELFCLASS32 => Some(32),
        elf::ELFCLASS64 => Some(64),
        _ => None,
    }
}

fn describe<'data, H, R>(data: R) -> Result<Executable, String>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let damaged = |error: object::read::Error| error.to_string();
    let header = H::parse(data).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let mut interpreter = None;
    for segment in header.program_headers(endian, data).map_err(damaged)? {
        if let Some(path) = segment.interpreter(endian, data).map_err(damaged)? {
            interpreter = Some(String::from_utf8_lossy(path).into_owned());
        }
    }
    Ok(Executable {
        machine: Machine {
            bits: if header.is_class_64() { 64 } else { 32 },
            number: header.e_machine(endian),
            little_endian: header.is_little_endian(),
        },
        shared_object: header.e_type(endian) == elf::ET_DYN,
        interpreter,
    })
}

/// The address of the file's first byte in the file's own terms: the loader maps it at the load base plus
/// this.
fn first_address<'data, H, R>(header: &H, data: R) -> object::read::Result<u64>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let endian = header.endian()?;
    Ok(header
        .program_headers(endian, data)?
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD)
        .map(|segment| {
            let address: u64 = segment.p_vaddr(endian).into();
            let offset: u64 = segment.p_offset(endian).into();
            address.wrapping_sub(offset)
        })
        .min()
        .unwrap_or(0))
}

fn mapped_segments<'data, H, R>(data: R) -> object::read::Result<Vec<Segment>>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let first = first_address(header, data)?;
    let segments = header.program_headers(endian, data)?.iter();
    let mapped = segments.filter(|one| one.p_type(endian) == elf::PT_LOAD);
    Ok(mapped
        .map(|one| {
            let start = Into::<u64>::into(one.p_vaddr(endian)).wrapping_sub(first);
            let flags = one.p_flags(endian);
            Segment {
                execute: flags.0 & elf::PF_X.0 != 0,
                write: flags.0 & elf::PF_W.0 != 0,
                offset: one.p_offset(endian).into(),
                start,
                file_end: start.wrapping_add(one.p_filesz(endian).into()),
                end: start.wrapping_add(one.p_memsz(endian).into()),
            }
        })
        .collect())
}

fn section_address<'data, H, R>(data: R, name: &str) -> object::read::Result<Option<u64>>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let Some((header, section)) = find_section::<H, R>(data, name)? else {
        return Ok(None);
    };
    let address: u64 = section.sh_addr(header.endian()?).into();
    Ok(Some(address.wrapping_sub(first_address(header, data)?)))
}

fn place_of_section<'data, H, R>(data: R, name: &str) -> object::read::Result<Option<(u64, u64)>>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let Some((header, section)) = find_section::<H, R>(data, name)? else {
        return Ok(None);
    };
    Ok(section.file_range(header.endian()?))
}

/// A file's header and one of its sections.
type Section<'data, H> = (&'data H, &'data <H as FileHeader>::SectionHeader);

fn find_section<'data, H, R>(data: R, name: &str) -> object::read::Result<Option<Section<'data, H>>>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let sections = header.section_headers(endian, data)?;
    if sections.is_empty() {
        return Ok(None);
    }
    let SectionIndex(names) = header.section_strings_index(endian, data)?;
    let names = match sections.get(names) {
        Some(names) => names.data(endian, data)?,
        None => return Ok(None),
    };
    let mut sections = sections.iter();
    let section = sections.find(|one| is_at(names, one.sh_name(endian), name));
    Ok(section.map(|section| (header, section)))
}

fn find_symbol<'data, H, R>(data: R, name: &str) -> object::read::Result<Option<u64>>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let sections = header.section_headers(endian, data)?;
    let is_table = |one: &&H::SectionHeader| one.sh_type(endian) == elf::SHT_DYNSYM;
    let Some(table) = sections.iter().find(is_table) else {
        return Ok(None);
    };
    let Some(names) = linked_names::<H, R>(sections, table, data)? else {
        return Ok(None);
    };
    let symbols: &[H::Sym] = table.data_as_array(endian, data)?;
    let wanted = symbols.iter().find(|symbol| {
        matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_OBJECT)
            && symbol.st_shndx(endian) != elf::SHN_UNDEF
            && is_at(names, symbol.st_name(endian), name)
    });
    let Some(symbol) = wanted else {
        return Ok(None);
    };
    let value: u64 = symbol.st_value(endian).into();
    Ok(Some(value.wrapping_sub(first_address(header, data)?)))
}

fn needed_by<'data, H, R>(data: R) -> object::read::Result<Vec<String>>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let sections = header.section_headers(endian, data)?;
    let is_dynamic = |one: &&H::SectionHeader| one.sh_type(endian) == elf::SHT_DYNAMIC;
    let Some(section) = sections.iter().find(is_dynamic) else {
        return Ok(Vec::new());
    };
    let Some(names) = linked_names::<H, R>(sections, section, data)? else {
        return Ok(Vec::new());
    };
    let entries: &[H::Dyn] = section.data_as_array(endian, data)?;
    let needed = entries.iter().filter_map(|entry| {
        let is_needed = entry.tag(endian) == elf::DT_NEEDED;
        let start = usize::try_from(entry.val(endian)).ok()?;
        let rest = names.get(start..).filter(|_| is_needed)?;
        let name = rest.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(name).into_owned())
    });
    Ok(needed.collect())
}

/// The string table that a section names; `None` if there is no such section.
fn linked_names<'data, H, R>(
    sections: &[H::SectionHeader],
    section: &H::SectionHeader,
    data: R,
) -> object::read::Result<Option<&'data [u8]>>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let endian = H::parse(data)?.endian()?;
    let names = sections.get(section.sh_link(endian) as usize);
    names.map(|names| names.data(endian, data)).transpose()
}

/// Whether this name stands at this offset of a string table.
fn is_at(names: &[u8], offset: u32, name: &str) -> bool {
    let rest = names.get(offset as usize..).unwrap_or_default();
    rest.strip_prefix(name.as_bytes())
        .is_some_and(|rest| rest.first() == Some(&0))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn reads_the_test_program_itself() {
        let file = File::open("/proc/self/exe").expect("our own executable");
        let ours = read(&file).expect("readable").expect("ELF");
        assert_eq!(Some(ours.machine), Machine::ours());
        assert_eq!(u32::from(ours.machine.bits), usize::BITS);
        assert_eq!(ours.machine.little_endian, cfg!(target_endian = "little"));
    }

    #[test]
    fn reads_what_the_test_program_needs() {
        let file = File::open("/proc/self/exe").expect("our own executable");
        let budget = Budget::new(MOST_OF_FILE);
        let needed = needed(&file, &budget).expect("readable");
        assert!(needed.iter().any(|name| name == "libc.so.6"), "{needed:?}");
        let loader = section(&file, ".interp", 4, &budget).expect("readable");
        assert_eq!(loader.as_deref(), Some(&b"/lib"[..]));
        assert_eq!(section(&file, ".none", 4, &budget).expect("readable"), None);
    }

    #[test]
    fn a_text_file_is_not_elf() {
        let file = File::open("/proc/self/status").expect("procfs");
        assert_eq!(read(&file), Ok(None));
        let maps = File::open("/proc/self/maps").expect("procfs");
        // The kernel gives these files no size.
        for file in [file, maps] {
            let found = symbol_offset(&file, "main", &Budget::new(MOST_OF_FILE));
            assert_eq!(found.expect("readable"), None);
        }
    }

    #[test]
    fn a_truncated_file_is_an_error_not_a_panic() {
        let path = std::env::temp_dir().join(format!("sleeper-truncated-{}", std::process::id()));
        let whole = std::fs::read("/proc/self/exe").expect("our own executable");
        std::fs::write(&path, &whole[..40]).expect("a file in the temporary directory");
        let file = File::open(&path).expect("just written");
        let read = read(&file);
        let symbol = symbol_offset(&file, "main", &Budget::new(MOST_OF_FILE));
        std::fs::remove_file(&path).expect("just written");
        assert!(read.is_err());
        assert!(symbol.is_err());
    }

    #[test]
    fn finds_where_libc_is_mapped_to_have_a_function() {
        let maps = std::fs::read("/proc/self/maps").expect("procfs");
        let objects = crate::system::maps::mapped_files(&maps);
        let libc = objects
            .iter()
            .find(|object| object.path.to_string_lossy().contains("libc.so"));
        let Some(libc) = libc else { return };
        let file = File::open(&libc.path).expect("readable");
        let budget = Budget::new(MOST_OF_FILE);
        let offset = symbol_offset(&file, "getpid", &budget).expect("readable");
        let expected = libc::getpid as *const () as u64;
        assert_eq!(offset.map(|offset| libc.start + offset), Some(expected));
    }
}
