//! The text of a snapshot, read value by value: what is kept is copied, piece by piece, and everything else is
//! passed over without taking memory, however long or deep it is.

use serde::Deserialize;
use std::io::BufRead;

use crate::trouble::Trouble;

/// What is copied at a time has at most so many bytes: a frame; a thread without its frames; a document without
/// its threads. (A command line has 32 KB, or 200 KB if all of it is escaped.)
const LONGEST_PIECE: usize = 1 << 20;

/// The most that is said of why a piece is not as it should be, in characters.
const LONGEST_REASON: usize = 200;

/// What reads a value by itself.
pub(crate) type Reading<'a, R> = &'a mut dyn FnMut(&mut Text<R>) -> Result<(), Trouble>;

/// JSON text that is read from its beginning to its end.
pub(crate) struct Text<R>(pub(crate) R);

impl<R: BufRead> Text<R> {
    /// The next byte that is no blank, if there is one.
    pub(crate) fn peek(&mut self) -> Result<Option<u8>, Trouble> {
        loop {
            let bytes = self.0.fill_buf().map_err(|error| not_a_snapshot(&error))?;
            let blanks = bytes.iter().take_while(|byte| is_blank(**byte)).count();
            let (next, is_end) = (bytes.get(blanks).copied(), bytes.is_empty());
            self.0.consume(blanks);
            if next.is_some() || is_end {
                return Ok(next);
            }
        }
    }

    /// Whether the next byte is this one, which is then taken.
    fn takes(&mut self, byte: u8) -> Result<bool, Trouble> {
        let is_it = self.peek()? == Some(byte);
        self.0.consume(usize::from(is_it));
        Ok(is_it)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Trouble> {
        if self.takes(byte)? {
            return Ok(());
        }
        let expected = char::from(byte);
        Err(match self.peek()? {
            Some(_) => not_a_snapshot(&format_args!("a {expected:?} is missing in it")),
            None => not_a_snapshot(&"its end is missing"),
        })
    }

    /// Reads an object. Returns its values of these keys, as an object; `inner` has a key whose value is read in
    /// place. Keys are compared as this command writes them, without escapes.
    pub(crate) fn object(
        &mut self,
        keys: &[&str],
        mut inner: Option<(&str, Reading<R>)>,
    ) -> Result<Vec<u8>, Trouble> {
        let (mut kept, mut key) = (b"{".to_vec(), Vec::new());
        self.expect(b'{')?;
        while !self.takes(b'}')? {
            key.clear();
            self.value(Some(&mut key))?;
            self.expect(b':')?;
            let name = key
                .strip_prefix(b"\"")
                .and_then(|key| key.strip_suffix(b"\""));
            let name = name.ok_or_else(|| not_a_snapshot(&"it has a key that is no text"))?;
            match &mut inner {
                Some((own, read)) if own.as_bytes() == name => read(self)?,
                _ if keys.iter().any(|one| one.as_bytes() == name) => {
                    if kept.len() > 1 {
                        kept.push(b',');
                    }
                    kept.extend_from_slice(&key);
                    kept.push(b':');
                    self.value(Some(&mut kept))?;
                }
                _ => self.value(None)?,
            }
            if self.peek()? != Some(b'}') {
                self.expect(b',')?;
            }
        }
        kept.push(b'}');
        Ok(kept)
    }

    /// Reads a list, item by item.
    pub(crate) fn list(&mut self, read: Reading<R>) -> Result<(), Trouble> {
        self.expect(b'[')?;
        while !self.takes(b']')? {
            read(self)?;
            if self.peek()? != Some(b']') {
                self.expect(b',')?;
            }
        }
        Ok(())
    }

    /// Passes over a value, and appends it to `kept` if that is given.
    fn value(&mut self, mut kept: Option<&mut Vec<u8>>) -> Result<(), Trouble> {
        let mut scan = Scan::default();
        self.peek()?;
        loop {
            let bytes = self.0.fill_buf().map_err(|error| not_a_snapshot(&error))?;
            if bytes.is_empty() {
                return Err(not_a_snapshot(&"its end is missing"));
            }
            let (length, is_end) = scan.length_in(bytes);
            if let Some(kept) = &mut kept {
                if kept.len() + length > LONGEST_PIECE {
                    return Err(too_long());
                }
                kept.extend_from_slice(&bytes[..length]);
            }
            self.0.consume(length);
            if is_end {
                return Ok(());
            }
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// Looks for the end of a value.
#[derive(Default)]
struct Scan {
    /// How many lists and objects are open.
    depth: u64,
    in_text: bool,
    is_escaped: bool,
}

impl Scan {
    /// How many of the bytes belong to the value, and whether it ends there.
    fn length_in(&mut self, bytes: &[u8]) -> (usize, bool) {
        for (at, &byte) in bytes.iter().enumerate() {
            if self.in_text {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => self.in_text = false,
                    _ => continue,
                }
                if byte == b'"' && !self.in_text && self.depth == 0 {
                    return (at + 1, true);
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' | b',' | b':' if self.depth == 0 => return (at, true),
                b']' | b'}' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return (at + 1, true);
                    }
                }
                _ if self.depth == 0 && is_blank(byte) => return (at, true),
                _ => {}
            }
        }
        (bytes.len(), false)
    }
}

/// What a piece says.
pub(crate) fn parsed<'de, T: Deserialize<'de>>(piece: &'de [u8]) -> Result<T, Trouble> {
    serde_json::from_slice(piece).map_err(|error| {
        // Where in the piece it is wrong helps nobody.
        let words = error.to_string();
        let words = words.split(" at line ").next().unwrap_or_default();
        let words: String = words.chars().take(LONGEST_REASON).collect();
        not_a_snapshot(&words)
    })
}

pub(crate) fn not_a_snapshot(why: &dyn std::fmt::Display) -> Trouble {
    Trouble::new(
        format!("this is no snapshot ({why})"),
        "make one: sleeper_agent_activate --format json PID > FILE",
    )
}

fn too_long() -> Trouble {
    Trouble::new(
        format!(
            "a text or a list in it has more than {} MB, which is more than is read",
            LONGEST_PIECE >> 20
        ),
        "leave that document out: each has a line",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> Result<String, Trouble> {
        // As small as a buffer can be.
        let buffer = std::io::BufReader::with_capacity(1, text.as_bytes());
        let mut text = Text(buffer);
        let mut items = 0;
        let mut list = |text: &mut Text<_>| {
            text.list(&mut |text| {
                items += 1;
                text.value(None)
            })
        };
        let kept = text.object(&["a", "b"], Some(("list", &mut list)))?;
        assert_eq!(text.peek()?, None);
        Ok(format!(
            "{} {items}",
            String::from_utf8(kept).expect("text")
        ))
    }

    #[test]
    fn keeps_some_values_and_passes_over_others() {
        for (text, expected) in [
            ("{}", "{} 0"),
            (r#" { "a" : 1 , "c" : [ {"a": 2}, "]" ] } "#, r#"{"a":1} 0"#),
            (
                r#"{"b":"\"}\\","a":[1,{"x":[]}]}"#,
                r#"{"b":"\"}\\","a":[1,{"x":[]}]} 0"#,
            ),
            (r#"{"list":[1,"a",[2,3],{}],"b":null}"#, r#"{"b":null} 4"#),
            (r#"{"list": [ ] ,"x":-1e5}"#, "{} 0"),
        ] {
            assert_eq!(kept(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_object() {
        for text in [
            "",
            "[]",
            "7",
            "{",
            r#"{"a"}"#,
            r#"{"a":"#,
            r#"{"a":1"#,
            r#"{"a":"b}"#,
            "{1:2}",
            r#"{"list":{}}"#,
            r#"{"list":[1 2]}"#,
            r#"{"a":1 "b":2}"#,
        ] {
            assert!(kept(text).is_err(), "{text}");
        }
    }

    #[test]
    fn takes_so_much_and_no_more() {
        let long = "A".repeat(LONGEST_PIECE);
        assert_eq!(
            kept(&format!(r#"{{"x":"{long}","a":1}}"#)).as_deref(),
            Ok("{\"a\":1} 0")
        );
        let deep = "[".repeat(LONGEST_PIECE);
        for text in [
            format!(r#"{{"a":"{long}"}}"#),
            format!(r#"{{"a":{deep}"#),
            format!(r#"{{"{long}":1}}"#),
        ] {
            let trouble = kept(&text).expect_err("too long").to_string();
            assert!(trouble.contains("more than 1 MB"), "{trouble}");
        }
    }
}
