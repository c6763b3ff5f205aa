//! The plain text of stacks, as the snippet's `_compose` makes it, byte for byte.

use crate::collect::collected::Collected;
use crate::collect::document::{DEEPEST, Sources};
use crate::collect::places::Place;
use crate::collect::stacks::CUT;
use crate::files::sources::Lines;
use protocol::names::WALK_HEADING;

/// Makes it, with the lines of source that were found in files and by the interpreter. `None` if there is no
/// memory. Needs no GIL.
pub fn compose(collected: &Collected, (lines, missing): (&Lines, &Sources)) -> Option<Vec<u8>> {
    let places = &collected.places;
    let mut texts: Vec<Vec<u8>> = Vec::new();
    texts.try_reserve_exact(places.len()).ok()?;
    for place in places.iter() {
        texts.push(frame(places.file(place), places.function(place), place)?);
    }
    let found = lines.iter();
    let missing = missing.iter().map(|(&index, line)| (index, &line[..]));
    for (index, line) in found.chain(missing) {
        let line = strip(line);
        if let Some(text) = texts.get_mut(index).filter(|_| !line.is_empty()) {
            push(text, b"    ")?;
            push_printable(text, line)?;
            push(text, b"\n")?;
        }
    }
    let mut text = Vec::new();
    if let Some(reason) = &collected.from_memory {
        push(
            &mut text,
            format!("{WALK_HEADING}{reason}\n\n\n").as_bytes(),
        )?;
    }
    for (count, &(ident, stack)) in collected.threads.iter().enumerate() {
        if count > 0 {
            push(&mut text, b"\n\n")?;
        }
        push(&mut text, format!("### Thread {ident}:\n").as_bytes())?;
        let calls = collected.stacks.get(stack)?;
        let (calls, is_cut) = match calls.split_last() {
            Some((&CUT, calls)) => (calls, true),
            _ => (&calls[..], false),
        };
        let half = DEEPEST / 2;
        let (inner, left_out, outer) = match calls.len() {
            count if is_cut => (&calls[..count.min(half)], count - count.min(half), &[][..]),
            count if count > DEEPEST => (&calls[..half], count - 2 * half, &calls[count - half..]),
            _ => (calls, 0, &[][..]),
        };
        push_frames(&mut text, outer, &texts)?;
        let mark = match is_cut {
            true => format!(
                "  ... at least {} frames left out: no time ...\n",
                left_out.max(1)
            ),
            false => format!("  ... {left_out} frames left out ...\n"),
        };
        if left_out > 0 || is_cut {
            push(&mut text, mark.as_bytes())?;
        }
        push_frames(&mut text, inner, &texts)?;
    }
    Some(text)
}

/// Adds frames, given innermost first.
fn push_frames(text: &mut Vec<u8>, calls: &[u32], texts: &[Vec<u8>]) -> Option<()> {
    let mut outermost_first = calls.iter().rev();
    outermost_first.try_for_each(|&call| push(text, texts.get(call as usize)?))
}

/// The first line of a frame.
fn frame(file: &[u8], function: &[u8], place: &Place) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    push(&mut text, b"  File \"")?;
    push_printable(&mut text, file)?;
    push(
        &mut text,
        format!("\", line {}, in ", place.line).as_bytes(),
    )?;
    push_printable(&mut text, function)?;
    push(&mut text, b"\n")?;
    Some(text)
}

/// Without white space at both ends, as `str.strip` finds it.
fn strip(mut line: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    while let [first, rest @ ..] = line
        && is_space(first)
    {
        line = rest;
    }
    while let [rest @ .., last] = line
        && is_space(last)
    {
        line = rest;
    }
    line
}

/// Adds text without control characters, but for the tab: they could drive a terminal, or end the text early.
fn push_printable(text: &mut Vec<u8>, more: &[u8]) -> Option<()> {
    let is_control = |byte: &u8| *byte != b'\t' && (*byte < b' ' || *byte == 0x7f);
    if !more.iter().any(is_control) {
        return push(text, more);
    }
    for byte in more {
        match is_control(byte) {
            true => push(text, format!("\\x{byte:02x}").as_bytes())?,
            false => push(text, &[*byte])?,
        }
    }
    Some(())
}

fn push(text: &mut Vec<u8>, more: &[u8]) -> Option<()> {
    text.try_reserve(more.len()).ok()?;
    text.extend_from_slice(more);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::places::Places;

    fn composed(stacks: Vec<Vec<u32>>, threads: &[(i64, usize)]) -> String {
        let mut places = Places::default();
        for line in 1..=3 {
            let names = [(1, &b"a\x07.py"[..]), (2, &b"f"[..])];
            assert!(places.add(names, line, false).is_some());
        }
        let collected = Collected {
            places,
            stacks,
            threads: threads.to_vec(),
            ..Collected::default()
        };
        let mut missing = Sources::default();
        missing.insert(1, b" \x0b x\ty = '\x1b' \r\n".to_vec());
        missing.insert(2, b"  ".to_vec());
        let text = compose(&collected, (&Lines::default(), &missing)).expect("memory");
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn text_is_that_of_the_snippet() {
        let text = composed(vec![vec![0, 1], vec![2]], &[(7, 0), (9, 1), (11, 0)]);
        let both = "  File \"a\\x07.py\", line 2, in f\n    x\ty = '\\x1b'\n\
                    \x20 File \"a\\x07.py\", line 1, in f\n";
        let expected = format!(
            "### Thread 7:\n{both}\n\n### Thread 9:\n  File \"a\\x07.py\", line 3, in f\n\n\n\
             ### Thread 11:\n{both}"
        );
        assert_eq!(text, expected);
        assert_eq!(composed(Vec::new(), &[]), "");
    }

    #[test]
    fn deep_stacks_are_cut() {
        let lines = |text: &str| text.lines().filter(|line| line.contains("File")).count();
        let text = composed(vec![vec![0; DEEPEST + 3]], &[(1, 0)]);
        assert!(text.contains("\n  ... 3 frames left out ...\n"));
        assert_eq!(lines(&text), DEEPEST);
        let mut calls = vec![0; DEEPEST];
        calls.push(CUT);
        let text = composed(vec![calls, vec![0, CUT]], &[(1, 0), (2, 1)]);
        assert!(
            text.starts_with("### Thread 1:\n  ... at least 5000 frames left out: no time ...\n")
        );
        assert!(text.contains("### Thread 2:\n  ... at least 1 frames left out: no time ...\n"));
        assert_eq!(lines(&text), DEEPEST / 2 + 1);
    }
}
