//! Finds symbols in the loaded objects of the process, on a thread that a debugger may have interrupted.
//!
//! An interpreter may be loaded after the process's start (`dlopen` of libpython), and is looked for at
//! a question. `dlsym`, `dlopen` and `dl_iterate_phdr` take the loader's locks, which the asking thread
//! may hold. So this reads the loader's own list of objects (`_r_debug`, made for debuggers), and each
//! object's symbols through its GNU hash table, by reads that fail instead of faulting. (Other C libraries than glibc have
//! the same list, for the same debuggers, under another name.)

use std::ffi::{CStr, c_char};
use std::mem::offset_of;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::system::memory::{Lap, read, read_bytes, read_words};

/// Bounds for lists that may be changing while they are read. No real list is longer.
const MOST_OBJECTS: usize = 20_000;
const LONGEST_CHAIN: usize = 10_000;
const MOST_DYNAMIC_ENTRIES: usize = 200;

/// No more of an object's data is searched, in bytes. The C library's has less.
const LARGEST_DATA: usize = 1 << 20;

/// `struct r_debug` (link.h of glibc): an int version, then the first `struct link_map`.
#[repr(C)]
struct Debug {
    version: i32,
    first_object: usize,
}

// A reference that glibc's loader resolves, which has this symbol. Elsewhere it stays null.
core::arch::global_asm!(
    ".pushsection .data.rel.ro.sleeper_agent_objects,\"aw\",@progbits",
    ".p2align 3",
    ".hidden sleeper_agent_debug",
    ".globl sleeper_agent_debug",
    "sleeper_agent_debug:",
    ".weak _r_debug",
    ".quad _r_debug",
    ".popsection",
);

unsafe extern "C" {
    /// The address of glibc's `_r_debug`, or null.
    safe static sleeper_agent_debug: *const Debug;

    /// This library's dynamic section. The linker defines it.
    safe static _DYNAMIC: u64;
}

/// The address of the loader's [`Debug`], where glibc's name for it is unknown; 0: not looked for, or not found.
static DEBUG: AtomicUsize = AtomicUsize::new(0);

/// Finds the loader's list, where it has not glibc's name: the program's dynamic section shows it.
///
/// On the thread that loads the library: it takes the loader's locks.
pub fn find_list() {
    if sleeper_agent_debug.is_null() {
        // SAFETY: the function stays mapped, and gets what it expects.
        unsafe { libc::dl_iterate_phdr(Some(note_list), std::ptr::null_mut()) };
    }
}

/// Called for the first object, which is the program itself (dl_iterate_phdr(3)).
unsafe extern "C" fn note_list(
    object: *mut libc::dl_phdr_info,
    _: usize,
    _: *mut std::ffi::c_void,
) -> std::ffi::c_int {
    // SAFETY: the loader passes its description of an object, which is valid during the call.
    let (base, headers) = unsafe {
        let count = usize::from((*object).dlpi_phnum);
        let headers = std::slice::from_raw_parts((*object).dlpi_phdr, count);
        ((*object).dlpi_addr as usize, headers)
    };
    let dynamic = headers
        .iter()
        .find(|header| header.p_type == libc::PT_DYNAMIC);
    if let Some(dynamic) = dynamic {
        let entries = base.wrapping_add(dynamic.p_vaddr as usize);
        let debug = Entries(entries).find(|&(tag, _)| tag == DT_DEBUG);
        DEBUG.store(debug.map_or(0, |(_, address)| address), Ordering::Relaxed);
    }
    // No further object.
    1
}

/// The first entry of the loader's list; `None` if it is not known.
fn first_entry() -> Option<usize> {
    let debug = match sleeper_agent_debug.is_null() {
        true => DEBUG.load(Ordering::Relaxed),
        false => sleeper_agent_debug as usize,
    };
    (debug != 0).then_some(())?;
    read(debug.checked_add(offset_of!(Debug, first_object))?)
}

/// The entries of a dynamic section at this address: tags and values.
struct Entries(usize);

impl Iterator for Entries {
    type Item = (u64, usize);

    fn next(&mut self) -> Option<(u64, usize)> {
        let tag = read::<u64>(self.0).filter(|&tag| tag != 0)?;
        let value = read::<usize>(self.0.checked_add(8)?)?;
        self.0 = self.0.checked_add(16)?;
        Some((tag, value))
    }
}

/// `struct link_map` (link.h): l_addr, l_name, l_ld, l_next.
const OBJECT_BASE: usize = 0;
const OBJECT_NAME: usize = 8;
const OBJECT_DYNAMIC: usize = 16;
const OBJECT_NEXT: usize = 24;

/// Tags of the dynamic section (elf.h).
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_DEBUG: u64 = 21;
const DT_GNU_HASH: u64 = 0x6fff_fef5;

/// `Elf64_Sym` (elf.h): st_name, st_info, st_other, st_shndx, st_value, st_size.
const SYMBOL_SIZE: usize = 24;
const SYMBOL_KIND: usize = 4;
const SYMBOL_SECTION: usize = 6;
const SYMBOL_VALUE: usize = 8;

/// The kind of a symbol that is no function yet, but one that chooses a function.
const STT_GNU_IFUNC: u8 = 10;

/// One loaded object with a symbol table.
#[derive(Clone, Copy)]
pub struct Object {
    base: usize,
    dynamic: usize,
    strings: usize,
    symbols: usize,
    hash: usize,
}

/// The first loaded object that defines `symbol`.
///
/// Any thread, interrupted or not: it takes no lock and allocates nothing. If the list changes meanwhile,
/// it may miss an object that is being loaded; the next question finds it.
pub fn object_defining(symbol: &CStr) -> Option<Object> {
    entries()
        .filter_map(Object::new)
        .find(|object| object.address_of(symbol).is_some())
}

/// The address of a symbol, from the first loaded object that defines it. Any thread, interrupted or not.
pub fn address_of(symbol: &CStr) -> Option<usize> {
    object_defining(symbol)?.address_of(symbol)
}

/// The entries of the loader's list. Any thread, interrupted or not.
fn entries() -> impl Iterator<Item = usize> {
    let mut lap = Lap::default();
    let next = |&entry: &usize| read(entry.checked_add(OBJECT_NEXT)?);
    std::iter::successors(first_entry(), next)
        .take(MOST_OBJECTS)
        .take_while(move |&entry| entry != 0 && !lap.is_closed_by(entry))
}

/// The path by which this library was loaded, which the loader keeps. On the thread that loads it.
pub fn own_path() -> Option<&'static CStr> {
    let own = &raw const _DYNAMIC as usize;
    let entry =
        entries().find(|entry| read::<usize>(entry.wrapping_add(OBJECT_DYNAMIC)) == Some(own))?;
    let name = read::<usize>(entry.checked_add(OBJECT_NAME)?)?;
    // SAFETY: the name belongs to the loader's entry for this library, which is never unloaded (-z nodelete).
    (name != 0).then(|| unsafe { CStr::from_ptr(name as *const c_char) })
}

/// Where `Elf64_Ehdr` has the offset, the size and the number of its program headers; and `Elf64_Phdr` its
/// fields (elf.h).
const HEADERS: usize = 32;
const HEADER_SIZE: usize = 54;
const HEADER_COUNT: usize = 56;
const SEGMENT_FLAGS: usize = 4;
const SEGMENT_ADDRESS: usize = 16;
const SEGMENT_LENGTH: usize = 40;
const PT_LOAD: u32 = 1;
const PF_W: u32 = 2;

impl Object {
    /// Whether it is this copy of this library.
    pub fn is_this_library(&self) -> bool {
        self.dynamic == &raw const _DYNAMIC as usize
    }

    /// The first word in the object's writable data with this value. Any thread, interrupted or not.
    pub fn word_with(&self, value: usize) -> Option<usize> {
        let first = self.base.checked_add(read::<usize>(self.base + HEADERS)?)?;
        let size: u16 = read(self.base + HEADER_SIZE)?;
        let count: u16 = read(self.base + HEADER_COUNT)?;
        (0..usize::from(count)).find_map(|number| {
            let header = first.checked_add(number * usize::from(size))?;
            let kind: [u32; 2] = [read(header)?, read(header + SEGMENT_FLAGS)?];
            if kind[0] != PT_LOAD || kind[1] & PF_W == 0 {
                return None;
            }
            let start = self.base.checked_add(read(header + SEGMENT_ADDRESS)?)? & !7;
            let length: usize = read(header + SEGMENT_LENGTH)?;
            let mut words = [0; 64];
            let chunks = (0..length.min(LARGEST_DATA)).step_by(size_of_val(&words));
            let mut starts = chunks.map(|offset| start + offset);
            starts.find_map(|at| {
                if !read_words(at, &mut words) {
                    return None;
                }
                Some(at + 8 * words.iter().position(|&word| word == value)?)
            })
        })
    }

    /// Reads the object of an entry of the list.
    fn new(entry: usize) -> Option<Self> {
        let base = read::<usize>(entry.checked_add(OBJECT_BASE)?)?;
        let dynamic = read::<usize>(entry.checked_add(OBJECT_DYNAMIC)?)?;
        let (mut strings, mut symbols, mut hash) = (0, 0, 0);
        for (tag, value) in Entries(dynamic).take(MOST_DYNAMIC_ENTRIES) {
            // The loader has made these addresses absolute, except in read-only dynamic sections such as
            // the vDSO's.
            let address = if value < base {
                base.wrapping_add(value)
            } else {
                value
            };
            match tag {
                DT_STRTAB => strings = address,
                DT_SYMTAB => symbols = address,
                DT_GNU_HASH => hash = address,
                _ => {}
            }
        }
        (strings != 0 && symbols != 0 && hash != 0).then_some(Self {
            base,
            dynamic,
            strings,
            symbols,
            hash,
        })
    }

    /// The address of a symbol that this object defines.
    pub fn address_of(&self, name: &CStr) -> Option<usize> {
        // The GNU hash table: the number of buckets, the first symbol in it, the Bloom filter's number of
        // words and its shift; the filter; the buckets; chains of hashes, each of which ends with an odd
        // one.
        let buckets = read::<u32>(self.hash)? as usize;
        let first = read::<u32>(self.hash + 4)? as usize;
        let filter = read::<u32>(self.hash + 8)? as usize;
        let bucket_table = self.hash.checked_add(16 + filter.checked_mul(8)?)?;
        let chain = bucket_table.checked_add(buckets.checked_mul(4)?)?;
        let wanted = name.to_bytes().iter().fold(5381_u32, |hash, &byte| {
            hash.wrapping_mul(33).wrapping_add(u32::from(byte))
        });
        let bucket = (wanted as usize).checked_rem(buckets)?;
        let start = read::<u32>(bucket_table + 4 * bucket)? as usize;
        for index in start..start + LONGEST_CHAIN {
            let hash = read::<u32>(chain.checked_add(4 * index.checked_sub(first)?)?)?;
            if hash | 1 == wanted | 1
                && let Some(address) = self.defined(index, name)
            {
                return Some(address);
            }
            if hash & 1 == 1 {
                return None;
            }
        }
        None
    }

    /// The address of symbol number `index`, if it has this name and the object defines it.
    fn defined(&self, index: usize, name: &CStr) -> Option<usize> {
        let symbol = self.symbols.checked_add(index.checked_mul(SYMBOL_SIZE)?)?;
        let string = self.strings.checked_add(read::<u32>(symbol)? as usize)?;
        let name = name.to_bytes_with_nul();
        let mut bytes = [0; 64];
        let bytes = bytes.get_mut(..name.len())?;
        if !read_bytes(string, bytes) || bytes != name {
            return None;
        }
        let kind = read::<u8>(symbol + SYMBOL_KIND)? & 0xf;
        let section = read::<u16>(symbol + SYMBOL_SECTION)?;
        let value = read::<usize>(symbol + SYMBOL_VALUE)?;
        (section != 0 && kind != STT_GNU_IFUNC).then(|| self.base.wrapping_add(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn finds_what_the_loader_finds() {
        let object = object_defining(c"pthread_create").expect("libc defines it");
        // SAFETY: a look-up of a symbol of libc.
        let expected = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"getenv".as_ptr()) };
        assert_eq!(object.address_of(c"getenv"), Some(expected as usize));
        assert!(object_defining(c"no_such_symbol_anywhere").is_none());
        // What chooses a function at load is no function.
        assert_eq!(object.address_of(c"memmove"), None);
    }

    #[test]
    fn finds_the_list_in_the_programs_dynamic_section_too() {
        // SAFETY: the function gets what it expects.
        unsafe { libc::dl_iterate_phdr(Some(note_list), std::ptr::null_mut()) };
        assert_eq!(DEBUG.load(Ordering::Relaxed), sleeper_agent_debug as usize);
        // The loader has no name for the program itself.
        assert_eq!(own_path(), Some(c""));
    }
}
