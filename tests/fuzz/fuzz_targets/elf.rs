//! ELF files: damaged files are an error, and the definitions of sound files are found.
//!
//! The input is a whole file, or, if it begins with `P`, a list of words to overwrite in
//! a sound file.

#![no_main]

#[path = "../memory_file.rs"]
mod memory_file;

use launcher::system::bounded_file::Budget;
use launcher::system::elf::{MOST_OF_FILE, read, section_offset, section_place, symbol_offset};
use libfuzzer_sys::fuzz_target;
use memory_file::MemoryFile;
use std::fs::File;

fuzz_target!(|data: &[u8]| {
    let Some(patches) = data.strip_prefix(b"P") else {
        look(data);
        return;
    };
    let mut numbers = patches.iter().map(|byte| usize::from(*byte));
    let first = numbers.next().unwrap_or(0) << 12;
    let value = numbers.next().unwrap_or(0) << 4 | first;
    let wide = numbers.next().unwrap_or(0) & 1 == 0;
    let mut file = sound(wide, first as u64, value as u64);
    let found = look(&file);
    let offset = (value - first) as u64;
    assert_eq!(found, (Some(Some(offset)), Some(Some(0x40))));

    let patches = patches.get(3..).unwrap_or_default();
    for patch in patches.as_chunks::<10>().0 {
        let at = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % (file.len() - 8);
        file[at..at + 8].copy_from_slice(&patch[2..]);
    }
    look(&file);
});

/// The places of the function `wanted` and the section `.wanted`; an error is `None`.
fn look(bytes: &[u8]) -> (Option<Option<u64>>, Option<Option<u64>>) {
    let file = MemoryFile::new(bytes);
    let path = file.path();
    let described = read(&File::open(&path).unwrap());
    let file = File::open(&path).unwrap();
    // Of a file as small as this no table is read twice, and there are five.
    let budget = Budget::new(3 * MOST_OF_FILE);
    let symbol = symbol_offset(&file, "wanted", &budget).ok();
    let section = section_offset(&file, ".wanted", &budget).ok();
    let place = section_place(&file, ".wanted", &budget).ok();
    // An offset needs the segments too, which may be damaged where the section is not.
    if let Some(section) = section {
        assert_eq!(
            place.map(|place| place.is_some()),
            Some(section.is_some())
        );
    }
    let used = 3 * MOST_OF_FILE - budget.left();
    assert!(
        used <= 3 * (16 << 10) + 3 * 6 * bytes.len() as u64,
        "{used} bytes read"
    );
    // With less than that nothing is found, and nothing fails in another way.
    if used > 0 {
        let short = Budget::new(used / 4);
        assert!(!matches!(symbol_offset(&file, "wanted", &short), Ok(Some(_))) || symbol.is_some());
        assert!(short.left() <= used / 4);
    }
    if let Ok(None) = described {
        assert_eq!((symbol, section), (Some(None), Some(None)));
    }
    if let Ok(Some(executable)) = described
        && let Some(loader) = executable.interpreter
    {
        assert!(loader.len() <= 3 * bytes.len());
    }
    (symbol, section)
}

/// A shared object, in words of 64 or 32 bits, whose first byte has the address `first` and
/// which defines `wanted` at `value`.
fn sound(wide: bool, first: u64, value: u64) -> Vec<u8> {
    let word = |number: u64| match wide {
        true => number.to_le_bytes().to_vec(),
        false => (number as u32).to_le_bytes().to_vec(),
    };
    let half = |number: u32| number.to_le_bytes().to_vec();
    let short = |number: u16| number.to_le_bytes().to_vec();
    let (header, segment, section, symbol) = match wide {
        true => (64, 56, 64, 24),
        false => (52, 32, 40, 16),
    };
    let names = b"\0wanted\0other\0.wanted\0.dynsym\0/lib/ld.so\0";
    let segments_at = header;
    let names_at = segments_at + 2 * segment;
    let symbols_at = names_at + names.len() as u64;
    let sections_at = symbols_at + 3 * symbol;
    let size = sections_at + 4 * section;

    let mut file = b"\x7fELF".to_vec();
    file.extend([if wide { 2 } else { 1 }, 1, 1, 0]);
    file.extend([0; 8]);
    // ET_DYN, x86-64 or x86, the version, entry, where segments and sections are.
    file.extend([short(3), short(if wide { 62 } else { 3 }), half(1)].concat());
    file.extend([word(0), word(segments_at), word(sections_at), half(0)].concat());
    for number in [header, segment, 2, section, 4, 1] {
        file.extend(short(number as u16));
    }
    let loader = (names_at + 30, 11);
    for (kind, at, size, address) in [
        (1, 0, size, first),
        (3, loader.0, loader.1, first + loader.0),
    ] {
        let numbers = [at, address, address, size, size];
        file.extend(half(kind));
        // The two word sizes have the flags at different places.
        if wide {
            file.extend(half(5));
        }
        numbers.iter().for_each(|number| file.extend(word(*number)));
        if !wide {
            file.extend(half(5));
        }
        file.extend(word(4096));
    }
    file.extend(names);
    // The null symbol; `other`, which is undefined; `wanted`, a function.
    for (name, place, value) in [(0, 0, 0), (8, 0, 0), (1, 1, value)] {
        let kind = vec![0x12, 0];
        file.extend(half(name));
        match wide {
            true => file.extend([kind, short(place), word(value), word(0)].concat()),
            false => file.extend([word(value), word(0), kind, short(place)].concat()),
        }
    }
    // The null section; the names; `.wanted`; the symbols, which refer to the names.
    let sections = [
        [0, 0, 0, 0, 0, 0, 0],
        [22, 3, 0, names_at, names.len() as u64, 0, 0],
        [14, 1, first + 0x40, 0x40, 8, 0, 0],
        [
            22,
            11,
            first + symbols_at,
            symbols_at,
            3 * symbol,
            1,
            symbol,
        ],
    ];
    for [name, kind, address, at, size, link, each] in sections {
        file.extend([half(name as u32), half(kind as u32), word(2)].concat());
        file.extend([word(address), word(at), word(size)].concat());
        file.extend([half(link as u32), half(1), word(8), word(each)].concat());
    }
    assert_eq!(file.len() as u64, size);
    file
}
