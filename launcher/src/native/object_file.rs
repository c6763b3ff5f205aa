//! What an ELF file says of its code: how to unwind it, and its functions' names.
//!
//! The file may be anybody's: what is read of it has a limit, and each table is looked through once. Addresses are the
//! file's own.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use gimli::{BaseAddresses, EhFrame, EhFrameHdr, LittleEndian, ParsedEhFrameHdr};
use gimli::{EndianSlice, FrameDescriptionEntry, UnwindSection};
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym};
use object::{Endianness, ReadRef};

use crate::system::bounded_file::{BoundedFile, Budget};

/// The bytes of unwind tables.
pub type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// A function's unwind information.
pub type Fde<'a> = FrameDescriptionEntry<Bytes<'a>>;

/// The longest unwind information of one function, in bytes, that is carried out. (The interpreter's eval function has
/// 200.)
const LONGEST_FDE: usize = 64 << 10;

/// The most functions of one file whose names are kept.
const MOST_FUNCTIONS: usize = 400_000;

/// The longest name that is shown, in bytes.
const LONGEST_NAME: usize = 200;

/// A section, and its address.
#[derive(Default)]
struct Section {
    address: u64,
    bytes: Vec<u8>,
}

struct Function {
    start: u64,
    size: u64,
    /// Where its name begins in the names.
    name: u32,
    is_global: bool,
}

/// The code of an ELF file.
#[derive(Default)]
pub struct ObjectFile {
    /// The address of its first byte.
    pub first: u64,
    /// The ranges of its code, in addresses, and where they stand in the file.
    code: Vec<(std::ops::Range<u64>, u64)>,
    eh_frame: Section,
    eh_frame_hdr: Section,
    /// By address.
    functions: Vec<Function>,
    names: Vec<u8>,
    build_id: Vec<u8>,
    file: Option<File>,
}

impl ObjectFile {
    /// Reads an ELF file of this machine's kind.
    ///
    /// # Errors
    /// It is none, is damaged, or more of it would have to be read than the budget allows.
    pub fn read(file: File, budget: &Budget) -> io::Result<ObjectFile> {
        let mut object = {
            let data = BoundedFile::new(&file, budget)?;
            Self::parse(&data).map_err(io::Error::other)?
        };
        object.file = Some(file);
        Ok(object)
    }

    fn parse<'data, R: ReadRef<'data>>(data: R) -> object::read::Result<ObjectFile> {
        let header = FileHeader64::<Endianness>::parse(data)?;
        let endian = header.endian()?;
        let mut object = ObjectFile::default();
        let mut first = None;
        for segment in header.program_headers(endian, data)? {
            if segment.p_type(endian) != elf::PT_LOAD {
                continue;
            }
            let (address, offset) = (segment.p_vaddr(endian), segment.p_offset(endian));
            let begins = address.wrapping_sub(offset);
            first = Some(first.map_or(begins, |first: u64| first.min(begins)));
            if segment.p_flags(endian).0 & elf::PF_X.0 != 0 && object.code.len() < 16 {
                let end = address.saturating_add(segment.p_filesz(endian));
                object.code.push((address..end, offset));
            }
        }
        object.first = first.unwrap_or(0);
        let sections = header.sections(endian, data)?;
        for (name, place) in [
            (&b".eh_frame"[..], &mut object.eh_frame),
            (b".eh_frame_hdr", &mut object.eh_frame_hdr),
        ] {
            if let Some((_, section)) = sections.section_by_name(endian, name)
                && section.sh_type(endian) != elf::SHT_NOBITS
                && let Ok(bytes) = section.data(endian, data)
            {
                place.address = section.sh_addr(endian);
                place.bytes = bytes.to_vec();
            }
        }
        object.read_functions(endian, data, &sections);
        if let Some((_, section)) = sections.section_by_name(endian, b".note.gnu.build-id")
            && let Ok(bytes) = section.data(endian, data)
        {
            // A heading of 12 bytes and the name "GNU\0".
            object.build_id = bytes.get(16..).unwrap_or_default().to_vec();
            object.build_id.truncate(64);
        }
        Ok(object)
    }

    fn read_functions<'data, R: ReadRef<'data>>(
        &mut self,
        endian: Endianness,
        data: R,
        sections: &SectionTable<'data, FileHeader64<Endianness>, R>,
    ) {
        // The larger table has all that the smaller one has.
        for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
            let Ok(table) = sections.symbols(endian, data, kind) else {
                continue;
            };
            let strings = table.strings();
            let mut names: Vec<u8> = Vec::new();
            for symbol in table.iter().take(2 * MOST_FUNCTIONS) {
                let is_code = matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_GNU_IFUNC);
                if !is_code || symbol.is_undefined(endian) {
                    continue;
                }
                let Ok(name) = symbol.name(endian, strings) else {
                    continue;
                };
                if name.is_empty() || self.functions.len() == MOST_FUNCTIONS {
                    continue;
                }
                let name = &name[..name.len().min(LONGEST_NAME)];
                self.functions.push(Function {
                    start: symbol.st_value(endian),
                    size: symbol.st_size(endian),
                    name: names.len() as u32,
                    is_global: symbol.st_bind() != elf::STB_LOCAL,
                });
                names.extend_from_slice(name);
                names.push(0);
            }
            if !self.functions.is_empty() {
                self.names = names;
                self.functions.sort_unstable_by_key(|one| one.start);
                return;
            }
        }
    }

    /// The path of the file that its symbols were moved to, as distributions name it.
    pub fn debug_path(&self) -> Option<String> {
        let (first, rest) = self.build_id.split_first()?;
        let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(format!("/usr/lib/debug/.build-id/{first:02x}/{rest}.debug"))
    }

    /// Whether another file was made of the same code.
    pub fn is_same_build(&self, other: &ObjectFile) -> bool {
        !self.build_id.is_empty() && self.build_id == other.build_id
    }

    /// Whether it has the names of functions that no other file needs.
    pub fn take_names_of(&mut self, other: ObjectFile) {
        if other.functions.len() > self.functions.len() {
            self.functions = other.functions;
            self.names = other.names;
        }
    }

    /// Whether there is code at an address.
    pub fn is_code(&self, address: u64) -> bool {
        self.code.iter().any(|(range, _)| range.contains(&address))
    }

    /// The function that an address lies in.
    pub fn function_at(&self, address: u64) -> Option<&str> {
        let end = self.functions.partition_point(|one| one.start <= address);
        let start = self.functions[..end].last()?.start;
        let same = self.functions[..end].iter().rev();
        let same = same.take_while(|one| one.start == start);
        // Functions in assembler may have no size.
        let covers = |one: &&Function| match one.size {
            0 => address - one.start < 4096,
            size => address - one.start < size,
        };
        let named = same.filter(covers).map(|one| (one, self.name(one)));
        // Of several names the public one.
        let best = named.min_by_key(|(one, name)| {
            let underscores = name.len() - name.trim_start_matches('_').len();
            (!one.is_global, underscores, name.len(), *name)
        });
        best.map(|(_, name)| name)
    }

    fn name(&self, function: &Function) -> &str {
        let rest = self.names.get(function.name as usize..).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == 0).unwrap_or(0);
        let name = std::str::from_utf8(&rest[..end]).unwrap_or_default();
        // Versions, as in `memcpy@GLIBC_2.2.5`.
        name.split('@').next().unwrap_or_default()
    }

    /// The unwind information of the function that an address lies in, with what else is needed to carry it out.
    pub fn unwind_info(
        &self,
        address: u64,
    ) -> Option<(Fde<'_>, EhFrame<Bytes<'_>>, BaseAddresses)> {
        let bases = BaseAddresses::default()
            .set_eh_frame(self.eh_frame.address)
            .set_eh_frame_hdr(self.eh_frame_hdr.address);
        if self.eh_frame.bytes.is_empty() {
            return None;
        }
        let mut section = EhFrame::new(&self.eh_frame.bytes, LittleEndian);
        section.set_address_size(8);
        let fde = match self.header(&bases) {
            Some(header) => {
                let table = header.table()?;
                let pointer = table.lookup(address, &bases).ok()?;
                let offset = table.pointer_to_offset(pointer).ok()?;
                section
                    .fde_from_offset(&bases, offset, EhFrame::cie_from_offset)
                    .ok()?
            }
            None => section
                .fde_for_address(&bases, address, EhFrame::cie_from_offset)
                .ok()?,
        };
        let lengths = fde.entry_len().max(fde.cie().entry_len());
        (fde.contains(address) && lengths <= LONGEST_FDE).then_some((fde, section, bases))
    }

    fn header(&self, bases: &BaseAddresses) -> Option<ParsedEhFrameHdr<Bytes<'_>>> {
        if self.eh_frame_hdr.bytes.is_empty() {
            return None;
        }
        let header = EhFrameHdr::new(&self.eh_frame_hdr.bytes, LittleEndian);
        let header = header.parse(bases, 8).ok()?;
        header.table().is_some().then_some(header)
    }

    /// Whether the instruction before an address is a call: only there can a function return to.
    pub fn follows_call(&self, address: u64) -> bool {
        let mut before = [0; 7];
        let place = self.code.iter().find_map(|(range, offset)| {
            let start = address.checked_sub(before.len() as u64)?;
            let is_in = start >= range.start && address <= range.end;
            is_in.then(|| offset.wrapping_add(start - range.start))
        });
        let file = place.zip(self.file.as_ref());
        file.is_some_and(|(place, file)| file.read_exact_at(&mut before, place).is_ok())
            && ends_in_call(before)
    }
}

/// Whether these bytes end in a call (Intel SDM, vol. 2, CALL): by a distance, or through a register or memory.
fn ends_in_call(bytes: [u8; 7]) -> bool {
    let direct = bytes[2] == 0xe8;
    let indirect = (2..=7).any(|length| {
        let &[0xff, operand, ..] = &bytes[7 - length..] else {
            return false;
        };
        let [mode, digit, register] = [operand >> 6, operand >> 3 & 7, operand & 7];
        // A byte more where the address has an index, and the distance.
        let index = usize::from(mode != 3 && register == 4);
        let distance = match (mode, register) {
            (0, 5) | (2, _) => 4,
            (1, _) => 1,
            _ => 0,
        };
        digit == 2 && length == 2 + index + distance
    });
    direct || indirect
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_calls() {
        let ends = |end: &[u8]| {
            let mut bytes = [0x90; 7];
            bytes[7 - end.len()..].copy_from_slice(end);
            ends_in_call(bytes)
        };
        // call DISTANCE · call *%rax · call *8(%rax) · call *0x1000(%rip) · call *0x100(%rax,%rbx,8)
        assert!(ends(&[0xe8, 1, 2, 3, 4]) && ends(&[0xff, 0xd0]) && ends(&[0xff, 0x50, 8]));
        assert!(ends(&[0xff, 0x15, 0, 0x10, 0, 0]) && ends(&[0xff, 0x94, 0xd8, 0, 1, 0, 0]));
        // jmp *%rax · push · nop
        assert!(!ends(&[0xff, 0xe0]) && !ends(&[0xff, 0x70, 8]) && !ends(&[]));
    }

    #[test]
    fn names_and_unwinds_this_program() {
        let file = File::open("/proc/self/exe").expect("our own program");
        let object = ObjectFile::read(file, &Budget::new(256 << 20)).expect("an ELF file");
        let sample = knows_calls as fn() as usize as u64;
        let maps = std::fs::read_to_string("/proc/self/maps").expect("our own maps");
        let start = maps.split('-').next().expect("it begins with an address");
        let start = u64::from_str_radix(start, 16).expect("an address");
        let address = sample - start + object.first;
        assert!(object.is_code(address) && object.unwind_info(address).is_some());
        let name = object.function_at(address).expect("a name");
        assert!(
            name.contains("knows_calls") || name.contains("FnOnce"),
            "{name}"
        );
    }

    #[test]
    fn refuses_other_files() {
        for path in ["/dev/null", "/proc/self/maps"] {
            let file = File::open(path).expect("it is there");
            assert!(
                ObjectFile::read(file, &Budget::new(1 << 20)).is_err(),
                "{path}"
            );
        }
    }
}
