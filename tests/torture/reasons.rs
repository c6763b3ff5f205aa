//! Normalised reasons, which can be compared and counted.

/// The text with each number as one `#`, so that reasons can be compared and counted.
pub fn normalised(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        let digit = |c: char| c.is_ascii_digit() || c == '#';
        if !digit(next) {
            result.push(next);
            continue;
        }
        result.push('#');
        loop {
            while rest.next_if(|&c| digit(c)).is_some() {}
            // A decimal point has a digit on either side.
            let mut ahead = rest.clone();
            if ahead.next() != Some('.') || !ahead.next().is_some_and(digit) {
                break;
            }
            rest.next();
        }
    }
    result
}
