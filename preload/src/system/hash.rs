//! Hash tables that take nothing from the system. The standard library's ask the kernel for random
//! numbers, and where the kernel has no call for that they keep `/dev/urandom` open, in the program's
//! table of descriptors.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// A hash table.
pub type Table<K, V> = HashMap<K, V, BuildHasherDefault<AddressHasher>>;

/// A hash set.
pub type Set<K> = HashSet<K, BuildHasherDefault<AddressHasher>>;

/// A hash of bytes, to see whether they have changed.
pub fn of(bytes: &[u8]) -> u64 {
    let mut hasher = AddressHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

/// A hash for addresses and small numbers. Nobody can choose them so that they collide.
#[derive(Default)]
pub struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words
            .iter()
            .for_each(|&word| self.write_u64(u64::from_ne_bytes(word)));
        rest.iter()
            .for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, value: u64) {
        // The fraction of the golden ratio times two to the 64th: odd, and without a pattern in its bits.
        self.0 = (self.0.rotate_left(29) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 32;
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_i64(&mut self, value: i64) {
        self.write_u64(value as u64);
    }
}
