//! Numbers, and their text, as the interpreter's own `repr` has it.

use std::ffi::c_long;
use std::io::Write;

use crate::cpython::fields::Fields;
use crate::cpython::object::{Object, Type};
use crate::system::bounded_bytes::Bytes;
use protocol::layout::{TYPE_ITEM_SIZE, WORD};

/// Larger numbers, in bits, are shown by their size: the time to write one out grows with its square.
const LARGEST: usize = 2048;

/// Digits have at least so many bits: 15 or 30 (Include/longintrepr.h).
const LEAST_BITS: usize = 15;
const MOST_DIGITS: usize = LARGEST / LEAST_BITS + 1;

/// A `long`, as the interpreter keeps it.
struct Long {
    is_negative: bool,
    /// The first of its digits, the lowest first, and how many there are in all.
    digits: [u32; MOST_DIGITS],
    count: usize,
    highest: u32,
    /// How many bits a digit has.
    bits: usize,
}

impl Long {
    /// How many bits it has.
    fn length(&self) -> usize {
        let below = self.count.saturating_sub(1).saturating_mul(self.bits);
        below.saturating_add((u32::BITS - self.highest.leading_zeros()) as usize)
    }

    /// Its text, where it is not too large.
    fn write(&self, out: &mut Bytes) {
        /// So many decimal digits are found at once.
        const AT_ONCE: u64 = 1_000_000_000;
        if self.length() > LARGEST || self.count > MOST_DIGITS {
            let _ = write!(out, "<long of {} bits>", self.length());
            return;
        }
        // A group has more than 29 bits.
        let mut groups = [0; LARGEST / 29 + 1];
        let mut count = 0;
        let mut digits = self.digits;
        let mut left = &mut digits[..self.count];
        while !left.is_empty() && count < groups.len() {
            let mut rest = 0;
            for digit in left.iter_mut().rev() {
                rest = rest << self.bits | u64::from(*digit);
                *digit = (rest / AT_ONCE) as u32;
                rest %= AT_ONCE;
            }
            groups[count] = rest;
            count += 1;
            while let [shorter @ .., 0] = left {
                left = shorter;
            }
        }
        let mut groups = groups[..count].iter().rev();
        let sign = if self.is_negative { "-" } else { "" };
        let _ = write!(out, "{sign}{}", groups.next().unwrap_or(&0));
        groups.for_each(|group| {
            let _ = write!(out, "{group:09}");
        });
        out.push(b"L");
    }
}

/// Writes a `float` as its `repr` is: in 2.7 with as few digits as tell it from all others, in 2.6 with 17
/// (Objects/floatobject.c, Python/pystrtod.c).
pub fn write_float(number: f64, is_2_6: bool, out: &mut Bytes) {
    if !number.is_finite() {
        let _ = match number.is_nan() {
            true => write!(out, "nan"),
            false => write!(out, "{}inf", if number < 0.0 { "-" } else { "" }),
        };
        return;
    }
    let mut text = [0; 40];
    let mut rest = &mut text[..];
    let _ = match is_2_6 {
        true => write!(rest, "{number:.16e}"),
        false => write!(rest, "{number:e}"),
    };
    let length = 40 - rest.len();
    let text = std::str::from_utf8(&text[..length]).unwrap_or_default();
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits),
    };
    let (first, more) = digits.split_once('.').unwrap_or((digits, ""));
    let more = more.trim_end_matches('0');
    let _ = write!(out, "{sign}");
    let largest = if is_2_6 { 17 } else { 16 };
    if !(-4..largest).contains(&exponent) {
        let point = if more.is_empty() { "" } else { "." };
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(
            out,
            "{first}{point}{more}e{sign}{:02}",
            exponent.unsigned_abs()
        );
        return;
    }
    let Ok(whole) = usize::try_from(exponent) else {
        let zeros = "000";
        let zeros = &zeros[..(exponent.unsigned_abs() as usize - 1).min(zeros.len())];
        let _ = write!(out, "0.{zeros}{first}{more}");
        return;
    };
    match more.split_at_checked(whole) {
        Some((whole, fraction)) => {
            let fraction = if fraction.is_empty() { "0" } else { fraction };
            let _ = write!(out, "{first}{whole}.{fraction}");
        }
        None => {
            let _ = write!(out, "{first}{more:0<whole$}.0");
        }
    }
}

impl<'g> Fields<'g> {
    /// The value of an `int`, and of no derived class (Include/intobject.h).
    pub fn int_value(self, object: Object<'g>) -> Option<c_long> {
        let is_int = self.is_exactly(object, self.PyInt_Type);
        // SAFETY: an `int` has this field.
        is_int.then(|| unsafe { self.word(object, 0, 0) as c_long })
    }

    /// The value of a `bool`, which is an `int` too (Include/boolobject.h).
    pub fn bool_value(self, object: Object<'g>) -> Option<bool> {
        let is_bool = self.is_exactly(object, self.PyBool_Type);
        // SAFETY: a `bool` has this field.
        is_bool.then(|| unsafe { !self.word(object, 0, 0).is_null() })
    }

    /// The value of a `float`, and of no derived class (Include/floatobject.h).
    pub fn float_value(self, object: Object<'g>) -> Option<f64> {
        let is_float = self.is_exactly(object, self.PyFloat_Type);
        // SAFETY: a `float` has this field.
        is_float.then(|| f64::from_bits(unsafe { self.word(object, 0, 0) } as u64))
    }

    /// The value of a `long`, and of no derived class, that has no more than so many bits, at most 62.
    pub fn long_value(self, object: Object<'g>, bits: usize) -> Option<c_long> {
        if !self.is_exactly(object, self.PyLong_Type) {
            return None;
        }
        // SAFETY: its type has just been looked at.
        let long = unsafe { self.long(object) };
        if long.length() > bits.min(62) {
            return None;
        }
        let digits = long.digits.iter().take(long.count).rev();
        let number = digits.fold(0, |number, &digit| {
            number << long.bits | c_long::from(digit)
        });
        Some(if long.is_negative { -number } else { number })
    }

    /// The value of an `int` or a `long`, and of no derived class, that is not negative and has no more than 128 bits.
    pub fn wide_value(self, object: Object<'g>) -> Option<u128> {
        if let Some(number) = self.int_value(object) {
            return u128::try_from(number).ok();
        }
        if !self.is_exactly(object, self.PyLong_Type) {
            return None;
        }
        // SAFETY: its type has just been looked at.
        let long = unsafe { self.long(object) };
        if long.is_negative || long.length() > 128 || long.count > MOST_DIGITS {
            return None;
        }
        let digits = long.digits.iter().take(long.count).rev();
        Some(digits.fold(0, |number, &digit| number << long.bits | u128::from(digit)))
    }

    /// Takes a `long` apart.
    ///
    /// # Safety
    /// It is one, or an object of a derived class.
    unsafe fn long(self, object: Object<'g>) -> Long {
        // SAFETY: PyLong_Type is a type, and never freed. Of a `long` the size comes first, which has its sign, and its
        // digits follow (Include/longintrepr.h).
        unsafe {
            let class = Type::assume(Object::existing(self.PyLong_Type));
            let size = self.word(*class, WORD, TYPE_ITEM_SIZE) as usize;
            let signed = self.word(object, 0, 0) as isize;
            let count = signed.unsigned_abs();
            let mut digits = [0; MOST_DIGITS];
            let start = object.address().wrapping_add(self.head() + WORD);
            let read = |from: usize, digits: &mut [u32]| {
                let start = start.wrapping_add(from.wrapping_mul(size));
                let text = self.bytes_at(start, digits.len() * size);
                for (digit, bytes) in digits.iter_mut().zip(text.chunks_exact(size.max(1))) {
                    *digit = match *bytes {
                        [low, high] => u16::from_ne_bytes([low, high]).into(),
                        [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]),
                        _ => 0,
                    };
                }
            };
            read(0, &mut digits[..count.min(MOST_DIGITS)]);
            let mut highest = [0];
            if let Some(last) = count.checked_sub(1) {
                read(last, &mut highest);
            }
            Long {
                is_negative: signed < 0,
                digits,
                highest: highest[0],
                count,
                bits: if size == 2 { 15 } else { 30 },
            }
        }
    }

    /// Writes a `long` as its `repr` is, or by its size, where it is large.
    ///
    /// # Safety
    /// It is one, or an object of a derived class.
    pub unsafe fn write_long(self, object: Object<'g>, out: &mut Bytes) {
        // SAFETY: the caller promises it.
        unsafe { self.long(object) }.write(out);
    }

    /// Writes a `float` as its `repr` is.
    ///
    /// # Safety
    /// It is one, or an object of a derived class.
    pub unsafe fn write_float(self, object: Object<'g>, out: &mut Bytes) {
        // SAFETY: the caller promises it (Include/floatobject.h).
        let number = f64::from_bits(unsafe { self.word(object, 0, 0) } as u64);
        write_float(number, self.is_2_6, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Bytes)) -> String {
        let mut out = Bytes::default();
        write(&mut out);
        String::from_utf8(out.finish(b"")).expect("text")
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (number, in_2_7, in_2_6) in [
            (0.0, "0.0", "0.0"),
            (-0.0, "-0.0", "-0.0"),
            (0.1, "0.1", "0.10000000000000001"),
            (1.5, "1.5", "1.5"),
            (100.0, "100.0", "100.0"),
            (123456.789, "123456.789", "123456.789"),
            (0.0001, "0.0001", "0.0001"),
            (0.00001234, "1.234e-05", "1.234e-05"),
            (1e16, "1e+16", "10000000000000000.0"),
            (1e15, "1000000000000000.0", "1000000000000000.0"),
            (1e17, "1e+17", "1e+17"),
            (1.5e300, "1.5e+300", "1.5000000000000001e+300"),
            (-2.5e-7, "-2.5e-07", "-2.4999999999999999e-07"),
            (f64::INFINITY, "inf", "inf"),
            (f64::NEG_INFINITY, "-inf", "-inf"),
            (f64::NAN, "nan", "nan"),
        ] {
            assert_eq!(text(|out| write_float(number, false, out)), in_2_7);
            assert_eq!(text(|out| write_float(number, true, out)), in_2_6);
        }
    }

    #[test]
    fn large_numbers_are_written_as_python_writes_them() {
        let long = |is_negative, low: &[u32], bits| {
            let mut digits = [0; MOST_DIGITS];
            let shown = low.len().min(MOST_DIGITS);
            digits[..shown].copy_from_slice(&low[..shown]);
            let count = low.len();
            let highest = low.last().copied().unwrap_or(0);
            text(|out| {
                Long {
                    is_negative,
                    digits,
                    highest,
                    count,
                    bits,
                }
                .write(out)
            })
        };
        assert_eq!(long(false, &[], 30), "0L");
        assert_eq!(long(true, &[5], 30), "-5L");
        assert_eq!(long(false, &[0, 0, 4], 30), "4611686018427387904L");
        assert_eq!(long(true, &[0, 0, 4], 15), "-4294967296L");
        assert_eq!(
            long(false, &[0, 0, 0, 0, 1], 30),
            "1329227995784915872903807060280344576L"
        );
        assert_eq!(long(false, &[1; 70], 30), "<long of 2071 bits>");
        assert_eq!(long(false, &[1; 500], 15), "<long of 7486 bits>");
    }
}
