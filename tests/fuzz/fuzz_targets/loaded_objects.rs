//! The agent's reader of the loader's list of objects and of their symbols: the agent's own code,
//! with a made-up list.

#![no_main]

#[path = "../../../preload/src/system"]
mod system {
    /// Here is no filter of system calls.
    pub mod filter {
        pub enum Call {
            ReadMemory,
            ReadAt,
            Seek,
        }

        pub fn may(_: Call) -> bool {
            true
        }
    }

    pub mod identity {
        pub fn process_id() -> i32 {
            std::process::id() as i32
        }
    }

    #[allow(dead_code, reason = "loaded_objects.rs needs a part of it")]
    pub mod kernel;
    #[allow(dead_code, reason = "the target looks symbols up, and does no more")]
    pub mod loaded_objects;
    #[allow(dead_code, reason = "loaded_objects.rs needs a part of it")]
    pub mod memory;
    #[allow(dead_code, reason = "memory.rs needs a part of it")]
    pub mod proc_file;
}

use libfuzzer_sys::fuzz_target;
use std::ffi::CString;
use system::loaded_objects;

/// `struct r_debug` (link.h), as far as the first object.
#[repr(C)]
struct Debug {
    version: i32,
    first_object: usize,
}

#[allow(clashing_extern_declarations, reason = "loaded_objects.rs has its own")]
unsafe extern "C" {
    static mut _r_debug: Debug;
}

fuzz_target!(|data: &[u8]| {
    anything(data);
    whole(data);
});

/// Looks a symbol up where the list of objects begins at `first`.
fn look_up(first: usize, name: &str) -> Option<usize> {
    let name = CString::new(name).unwrap();
    // SAFETY: only debuggers and `loaded_objects` use this list; the loader has its own. There is one
    // thread, and the list is restored before anyone else could look.
    unsafe {
        let list = &raw mut _r_debug.first_object;
        let before = list.replace(first);
        let found = loaded_objects::object_defining(&name).map(|object| object.address_of(&name));
        list.write(before);
        found.map(|address| address.expect("it was found by its symbol"))
    }
}

/// An object made only of `data`, in front of unreadable memory.
fn anything(data: &[u8]) {
    const SIZE: usize = 4096;
    static ARENA: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    // SAFETY: new mappings, never unmapped; the second page is protected before it is used.
    let arena = *ARENA.get_or_init(|| unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let start = libc::mmap(std::ptr::null_mut(), 2 * SIZE, both, flags, -1, 0);
        assert_ne!(start, libc::MAP_FAILED);
        libc::mprotect(start.add(SIZE), SIZE, libc::PROT_NONE);
        start as usize
    });
    let data = &data[..data.len().min(SIZE)];
    let Some((head, _)) = data.split_first_chunk::<32>() else {
        return;
    };
    let start = arena + SIZE - data.len();
    let word = |at: usize| usize::from_ne_bytes(*head[at..].first_chunk().unwrap());
    let inside = |at: usize| start + word(at) % data.len();
    // l_addr, l_name, l_ld, l_next. Addresses below l_addr are relative to it, so that small
    // numbers, which the fuzzer finds easily, point into the object.
    // A circular list is followed up to a bound, which is correct but slow.
    let next = match inside(24) {
        next if next == start => 0,
        next => next,
    };
    let entry = [start, 0, inside(16), next].map(usize::to_ne_bytes);
    // SAFETY: `data` fits between `start` and the end of the writable page.
    unsafe {
        std::ptr::copy_nonoverlapping(data.as_ptr(), start as *mut u8, data.len());
        std::ptr::copy_nonoverlapping(entry.as_ptr().cast::<u8>(), start as *mut u8, 32);
    }
    look_up(start, "a");
    look_up(start, "Py_GetVersion");
}

/// A sound object whose symbols are named by the lines of `data`: each symbol is found.
fn whole(data: &[u8]) {
    const BASE: usize = 0x10_0000;
    let (&buckets, text) = data.split_first().unwrap_or((&0, data));
    let buckets = usize::from(buckets) + 1;
    let text = String::from_utf8_lossy(text);
    let usable = |name: &&str| !name.contains('\0') && name.len() < 60;
    let mut names: Vec<&str> = text.lines().filter(usable).take(200).collect();
    names.sort_unstable();
    names.dedup();
    let hash = |name: &str| {
        name.bytes().fold(5381_u32, |hash, byte| {
            hash.wrapping_mul(33).wrapping_add(u32::from(byte))
        })
    };
    let bucket = |name: &str| hash(name) as usize % buckets;
    names.sort_by_key(|name| bucket(name));

    // The first symbol is the null symbol, the second is undefined and in no chain.
    const FIRST: usize = 2;
    let mut strings = b"\0absent\0".to_vec();
    let mut symbols = vec![[0_u64; 3], [1, 0, 0]];
    let mut starts = vec![0_u32; buckets];
    let mut chain = Vec::new();
    for (index, name) in names.iter().enumerate() {
        // st_name, st_info, st_other, st_shndx (in some section), st_value, st_size.
        symbols.push([strings.len() as u64 | 1 << 48, index as u64, 0]);
        strings.extend_from_slice(name.as_bytes());
        strings.push(0);
        if starts[bucket(name)] == 0 {
            starts[bucket(name)] = (FIRST + index) as u32;
        }
        let last = names
            .get(index + 1)
            .is_none_or(|next| bucket(next) != bucket(name));
        chain.push(hash(name) & !1 | u32::from(last));
    }
    let filter = [u32::MAX; 2];
    let head = [buckets as u32, FIRST as u32, 1, 6];
    let table = [&head[..], &filter[..], &starts[..], &chain[..]].concat();
    let dynamic = [
        [5, strings.as_ptr() as usize],
        [6, symbols.as_ptr() as usize],
        [0x6fff_fef5, table.as_ptr() as usize],
        [0, 0],
    ];
    let entry = [BASE, 0, dynamic.as_ptr() as usize, 0];
    for (index, name) in names.iter().enumerate() {
        assert_eq!(look_up(entry.as_ptr() as usize, name), Some(BASE + index));
    }
    if !names.contains(&"absent") {
        assert_eq!(look_up(entry.as_ptr() as usize, "absent"), None);
    }
}
