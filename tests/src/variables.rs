//! Variables in the full format.

/// A text without its addresses.
fn without_addresses(text: &str) -> String {
    let mut pieces = text.split(" at 0x");
    let mut rest = pieces.next().unwrap().to_owned();
    for piece in pieces {
        rest.push_str(" at ");
        rest.push_str(piece.trim_start_matches(|one: char| one.is_ascii_hexdigit()));
    }
    rest
}

/// The lines below a frame of this function, without addresses.
#[track_caller]
pub fn below(text: &str, function: &str) -> Vec<String> {
    let text = without_addresses(text);
    let is_it = format!(", in {function}");
    let mut lines = text.lines().skip_while(|line| !line.ends_with(&is_it));
    assert!(lines.next().is_some(), "no {function} in {text}");
    let lines = lines.take_while(|line| !line.is_empty() && !line.starts_with("  File"));
    // The first is the source.
    lines.skip(1).map(|line| line[6..].to_owned()).collect()
}
