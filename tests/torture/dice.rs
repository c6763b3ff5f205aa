//! Reproducible random numbers: the seed is printed, and each trial's numbers depend only on the seed
//! and the trial's name.

use std::time::Duration;

/// A generator (xorshift64*).
pub struct Dice(u64);

impl Dice {
    /// The numbers of this seed and name.
    pub fn new(seed: u64, name: &str) -> Dice {
        // FNV-1a: the standard library's own hashes may change with its version.
        let mut state = 0xcbf2_9ce4_8422_2325 ^ seed;
        for byte in name.bytes() {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Dice(state.max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number from 0 up to, not including, `count`.
    pub fn below(&mut self, count: usize) -> usize {
        (self.next() >> 33) as usize % count.max(1)
    }

    /// A duration from zero up to `longest`.
    pub fn moment(&mut self, longest: Duration) -> Duration {
        longest.mul_f64((self.next() >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// Puts a list into random order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for index in (1..list.len()).rev() {
            list.swap(index, self.below(index + 1));
        }
    }
}
