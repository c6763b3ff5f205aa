//! Native stacks: whatever a file says of its code, and whatever lies on a stack, it is followed outwards, to a limit.
//!
//! The input is a stack, and behind it patches of the file of this program itself: each takes 12 bytes, the last four
//! of which are written where the first eight say. Both follow a length of two bytes.

#![no_main]

#[path = "../memory_file.rs"]
mod memory_file;

use launcher::native::object_file::ObjectFile;
use launcher::native::objects::Objects;
use launcher::native::unwind::{Memory, Registers, Unwinder};
use launcher::state::budget;
use launcher::state::native::RawStack;
use launcher::system::bounded_file::Budget;
use launcher::system::process::Process;
use libfuzzer_sys::fuzz_target;
use memory_file::MemoryFile;
use std::fs::File;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The beginning of a file with unwind information: as much of the C library's as is looked at in no time.
static SOUND: OnceLock<Vec<u8>> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let _ = RawStack::parse_all(data, &mut budget::Memory::default());
    let Some((length, rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (stack, patches) = rest.split_at(length);
    follow(stack);
    let mut file = SOUND.get_or_init(sound).clone();
    for patch in patches.as_chunks::<12>().0 {
        let at = u64::from_le_bytes(*patch.first_chunk().expect("it has 12"));
        let at = (at % (file.len() as u64 - 4)) as usize;
        file[at..at + 4].copy_from_slice(&patch[8..]);
    }
    look(&file, patches);
    look(data, patches);
});

/// This machine's loader: it is small, and has all that other files have.
fn sound() -> Vec<u8> {
    std::fs::read("/lib64/ld-linux-x86-64.so.2").expect("the loader")
}

/// Looks for names and unwind information in a file.
fn look(bytes: &[u8], places: &[u8]) {
    let file = MemoryFile::new(bytes);
    let Ok(file) = ObjectFile::read(
        File::open(file.path()).expect("ours"),
        &Budget::new(32 << 20),
    ) else {
        return;
    };
    let places = places.as_chunks::<8>().0.iter();
    for place in places
        .map(|place| u64::from_le_bytes(*place))
        .chain([0, 0x1000, u64::MAX])
    {
        for place in [place, place % (bytes.len() as u64 + 1)] {
            let _ = (
                file.is_code(place),
                file.function_at(place),
                file.follows_call(place),
            );
            let _ = file.unwind_info(place);
        }
    }
    let _ = file.debug_path();
}

/// Follows a stack in this process.
fn follow(stack: &[u8]) {
    static OBJECTS: OnceLock<usize> = OnceLock::new();
    let us = Process {
        pid: std::process::id() as i32,
    };
    let code = *OBJECTS.get_or_init(|| follow as fn(&[u8]) as usize);
    let objects = Objects::of(us).expect("our own maps");
    let start = 0x7fff_0000_0000;
    let counter = stack
        .first_chunk()
        .map_or(0, |word| u64::from_le_bytes(*word));
    for counter in [counter, code as u64 + counter % 64] {
        let begun = Instant::now();
        let memory = Memory {
            start,
            bytes: stack,
        };
        let until = begun + Duration::from_millis(500);
        let registers = Registers::of_sleeping((start, counter));
        let (steps, _) = Unwinder::new(&objects, until).follow(registers, &memory);
        assert!(steps.len() <= 2048);
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
    }
}
