//! Text of numbers that the interpreter is not asked for.

use std::io::Write;

use crate::cpython::numbers::write_float;
use crate::cpython::standard_types::Exponent;
use crate::system::bounded_bytes::Bytes;

/// A part of a `complex`: whole numbers have no point.
fn part(number: f64, is_2_6: bool, out: &mut Bytes) {
    let mut text = Bytes::default();
    write_float(number, is_2_6, &mut text);
    let text = text.finish(b"");
    out.push(text.strip_suffix(b".0").unwrap_or(&text));
}

/// A `complex`.
pub(super) fn complex(real: f64, imaginary: f64, is_2_6: bool, out: &mut Bytes) {
    let has_real = real != 0.0 || real.is_sign_negative();
    if has_real {
        out.push(b"(");
        part(real, is_2_6, out);
        if !imaginary.is_sign_negative() || imaginary.is_nan() {
            out.push(b"+");
        }
    }
    part(imaginary, is_2_6, out);
    out.push(if has_real { b"j)" } else { b"j" });
}

/// A `Decimal`, as its `__str__` writes it (Lib/decimal.py); of its digits as many as there is room for.
pub(super) fn decimal(
    is_negative: bool,
    digits: &[u8],
    exponent: Exponent,
    room: usize,
    out: &mut Bytes,
) {
    /// So many zeros stand behind the point at most.
    const MOST_ZEROS: i64 = 6;
    if is_negative {
        out.push(b"-");
    }
    let exponent = match exponent {
        Exponent::Infinity => return out.push(b"Infinity"),
        Exponent::NaN => return out.push(b"NaN"),
        Exponent::SignallingNaN => return out.push(b"sNaN"),
        Exponent::Of(exponent) => exponent,
    };
    let shown = &digits[..digits.len().min(room)];
    let count = digits.len() as i64;
    // How many digits stand before the point, and the exponent that is left to write.
    let before = exponent.saturating_add(count);
    let is_plain = exponent <= 0 && before > -MOST_ZEROS;
    let point = if is_plain { before } else { 1 };
    if point <= 0 {
        out.push(b"0.");
        for _ in point..0 {
            out.push(b"0");
        }
        out.push(shown);
    } else {
        let point = (point as usize).min(shown.len());
        out.push(&shown[..point]);
        if point < shown.len() {
            out.push(b".");
            out.push(&shown[point..]);
        }
    }
    if shown.len() < digits.len() {
        let _ = write!(out, "... ({count} digits)");
    }
    if !is_plain && before != 1 {
        let _ = write!(out, "E{:+}", before.saturating_sub(1));
    }
}

/// A number of these bytes, of which there are eight at most.
pub(super) fn unsigned(bytes: &[u8]) -> u64 {
    let mut all = [0; 8];
    let count = bytes.len().min(8);
    all[..count].copy_from_slice(&bytes[..count]);
    u64::from_le_bytes(all)
}

/// An item of an array with this letter (Modules/arraymodule.c, `descriptors`).
pub(super) fn of_array(code: u8, bytes: &[u8], is_2_6: bool, out: &mut Bytes) {
    let number = unsigned(bytes);
    let unused = 64 - 8 * bytes.len().min(8) as u32;
    let _ = match (code, bytes.len()) {
        (b'd', 8) => return write_float(f64::from_bits(number), is_2_6, out),
        (b'f', 4) => {
            let number = f32::from_bits(number as u32);
            return write_float(number.into(), is_2_6, out);
        }
        (b'B' | b'H', _) => write!(out, "{number}"),
        // Python makes a `long` of these.
        (b'I' | b'L', _) => write!(out, "{number}L"),
        (_, 1..=8) => write!(out, "{}", (number << unused) as i64 >> unused),
        _ => write!(out, "?"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(make: impl FnOnce(&mut Bytes)) -> String {
        let mut out = Bytes::default();
        make(&mut out);
        String::from_utf8(out.finish(b"")).unwrap()
    }

    #[test]
    fn decimals_are_as_python_writes_them() {
        for (is_negative, digits, exponent, expected) in [
            (false, "15", -1, "1.5"),
            (true, "1", 0, "-1"),
            (false, "0", 0, "0"),
            (false, "0", -2, "0.00"),
            (false, "123", -5, "0.00123"),
            (false, "1", -6, "0.000001"),
            (false, "1", -7, "1E-7"),
            (false, "123", -10, "1.23E-8"),
            (false, "1", 3, "1E+3"),
            (false, "12", 3, "1.2E+4"),
            (true, "12345", -2, "-123.45"),
        ] {
            let exponent = Exponent::Of(exponent);
            let shown = text(|out| decimal(is_negative, digits.as_bytes(), exponent, 100, out));
            assert_eq!(shown, expected);
        }
        let cut = text(|out| decimal(false, b"123456", Exponent::Of(0), 3, out));
        assert_eq!(cut, "123... (6 digits)");
        let none = text(|out| decimal(true, b"", Exponent::Infinity, 3, out));
        assert_eq!(none, "-Infinity");
    }

    #[test]
    fn complex_numbers_are_as_python_writes_them() {
        for (real, imaginary, expected) in [
            (0.0, 1.0, "1j"),
            (0.0, 0.0, "0j"),
            (1.0, 2.5, "(1+2.5j)"),
            (-0.5, -3.0, "(-0.5-3j)"),
            (1.0, f64::INFINITY, "(1+infj)"),
            (1.0, f64::NAN, "(1+nanj)"),
        ] {
            assert_eq!(text(|out| complex(real, imaginary, false, out)), expected);
        }
    }

    #[test]
    fn items_of_arrays_are_signed_as_their_letter_says() {
        for (code, bytes, expected) in [
            (b'b', &[0xff][..], "-1"),
            (b'B', &[0xff], "255"),
            (b'h', &[0, 0x80], "-32768"),
            (b'i', &[1, 0, 0, 0], "1"),
            (b'I', &[0xff, 0xff, 0xff, 0xff], "4294967295L"),
            (
                b'l',
                &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                "-2",
            ),
            (b'd', &1.5f64.to_le_bytes(), "1.5"),
            (b'f', &2.0f32.to_le_bytes(), "2.0"),
        ] {
            assert_eq!(text(|out| of_array(code, bytes, false, out)), expected);
        }
    }
}
