//! Foreign text (file names, arguments, messages, answers) without effect on a terminal.
//!
//! A character that would have one, or that cannot be seen, is written as Rust escapes it: `\n`, `\u{1b}`.
//! A byte that is no UTF-8 is written as `\xNN`. All other characters stay as they are.

use std::fmt::{self, Write};

/// Whether a character is never written as it is: it controls a terminal, or the direction or the joining of
/// what is beside it, or it cannot be seen, or only some programs know what it is.
pub fn harms(one: char) -> bool {
    one > '~'
        && matches!(one,
            // Delete, and the second set of controls (ISO/IEC 6429), U+009B (CSI) among them; soft hyphen.
            '\u{7f}'..='\u{9f}' | '\u{ad}'
            // Joiners, fillers, vowel separators: they have no width.
            | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{ffa0}'
            // Characters without width; directions; separators of lines and paragraphs.
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            // For private use; tags and selectors.
            | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..
        )
        || one < ' '
}

/// Shows its text as one line: every character that [`harms`] is escaped.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, self.0, harms)
    }
}

/// Whether a character shows nothing: the pattern of Braille without dots is as blank as a space.
fn is_blank(one: char) -> bool {
    one.is_whitespace() || one == '\u{2800}'
}

/// A command line as one line, in which blanks in a row are one: so none is so long that what follows begins
/// a row of a terminal, and looks like a line of its own there.
pub fn command_line(arguments: &[String]) -> String {
    let text = arguments.join(" ");
    // What is escaped is no blank any more.
    let stays_blank = |one: char| is_blank(one) && !harms(one);
    let mut line = String::with_capacity(text.len());
    for one in text.chars() {
        if !(stays_blank(one) && line.ends_with(stays_blank)) {
            line.push(one);
        }
    }
    Printable(&line).to_string()
}

/// So many blanks in a row may hide that what follows them is not the beginning of a line: a terminal shows it at the
/// beginning of a row, if they fill the one before.
const MANY_BLANKS: usize = 8;

/// The places, in order, where one of the commands' own lines seems to begin, behind many blanks. No honest text has
/// any.
fn own_lines_behind_blanks(text: &str) -> Vec<usize> {
    // Most texts have neither, and this check takes many bytes at a time.
    let is_mark = |byte| byte == b'=' || byte == b':';
    if !text
        .bytes()
        .fold(false, |found, byte| found | is_mark(byte))
    {
        return Vec::new();
    }
    let begins = |at: &usize| {
        let before = text[..*at].chars().rev().take(MANY_BLANKS);
        before.filter(|one| is_blank(*one)).count() == MANY_BLANKS
    };
    let own = OWN_LINES.iter().flat_map(|own| text.match_indices(own));
    let mut places: Vec<usize> = own.map(|(at, _)| at).filter(begins).collect();
    places.sort_unstable();
    places
}

/// Writes text, and escapes the characters that `is_escaped` picks, all of which [`harms`] does too; and the first one
/// of what seems to be a line of the commands' own.
fn write_escaped(
    out: &mut impl Write,
    text: &str,
    is_escaped: impl Fn(char) -> bool,
) -> fmt::Result {
    let mut written = 0;
    for at in own_lines_behind_blanks(text) {
        write_escaped_part(out, &text[written..at], &is_escaped)?;
        write!(out, "\\u{{{:x}}}", text.as_bytes()[at])?;
        written = at + 1;
    }
    write_escaped_part(out, &text[written..], is_escaped)
}

fn write_escaped_part(
    out: &mut impl Write,
    mut rest: &str,
    is_escaped: impl Fn(char) -> bool,
) -> fmt::Result {
    // Nearly every text is plain, and this check takes many bytes at a time.
    if rest
        .bytes()
        .fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'))
    {
        return out.write_str(rest);
    }
    // Long runs between such characters are written in one piece.
    while let Some(at) = rest.find(&is_escaped) {
        let (before, after) = rest.split_at(at);
        let mut after = after.chars();
        out.write_str(before)?;
        if let Some(one) = after.next() {
            write!(out, "{}", one.escape_default())?;
        }
        rest = after.as_str();
    }
    out.write_str(rest)
}

/// Whether [`write_line`] would write each of these lines as it is. It says so of nearly all, and looks at many
/// bytes at a time; of some it does not know.
pub fn are_plain(lines: &[u8]) -> bool {
    let is_plain = |&byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\t');
    let may_begin_ours = |byte: u8| byte == b'=' || byte == b's';
    let begins = |two: &[u8]| two[0] == b'\n' && may_begin_ours(two[1]);
    lines.iter().fold(true, |plain, one| plain & is_plain(one))
        && !lines.first().is_some_and(|&first| may_begin_ours(first))
        && !lines
            .windows(2)
            .fold(false, |found, two| found | begins(two))
        && own_lines_behind_blanks(&String::from_utf8_lossy(lines)).is_empty()
}

/// How lines begin that are the commands' own: no line of an answer is let begin so.
const OWN_LINES: [&str; 2] = ["===", "sleeper_agent_activate:"];

/// Whether a line may look as if it began as one of the commands' own. Which characters have no width, and so
/// do not show before or between others, each terminal knows for itself: all are passed over but those of ASCII.
fn looks_like_ours(line: &[u8]) -> bool {
    let begins_as = |own: &&str| {
        let ascii = line.iter().filter(|byte| byte.is_ascii());
        ascii.take(own.len()).eq(own.as_bytes())
    };
    OWN_LINES.iter().any(begins_as)
}

/// Writes a line of an answer, which is text of lines: its line end and tabs stay. If it looks as if it began
/// as only lines of the command's own do, the first of those characters is escaped.
pub fn write_line(out: &mut impl Write, line: &[u8]) -> fmt::Result {
    let first = line.iter().position(u8::is_ascii);
    match first.filter(|_| looks_like_ours(line)) {
        Some(at) => {
            write_part(out, &line[..at])?;
            write!(out, "\\u{{{:x}}}", line[at])?;
            write_part(out, &line[at + 1..])
        }
        None => write_part(out, line),
    }
}

fn write_part(out: &mut impl Write, part: &[u8]) -> fmt::Result {
    for part in part.utf8_chunks() {
        write_escaped(out, part.valid(), |one| {
            harms(one) && one != '\n' && one != '\t'
        })?;
        for byte in part.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// Text within the quotes of a JSON document, which has been escaped as JSON must: characters that [`harms`]
/// are escaped as JSON may.
pub struct InJson<'a>(pub &'a str);

impl fmt::Display for InJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(|one| harms(one) && one != '\n') {
            let (before, after) = rest.split_at(at);
            let mut after = after.chars();
            f.write_str(before)?;
            if let Some(one) = after.next() {
                for unit in one.encode_utf16(&mut [0; 2]) {
                    write!(f, "\\u{unit:04x}")?;
                }
            }
            rest = after.as_str();
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn escapes_what_harms() {
        let text = Printable("a\nb\t\x1b[31mé\u{9b}日本\u{202e}\u{200b}\u{2028}\u{e0041}\u{feff}");
        let escaped = r"a\nb\t\u{1b}[31mé\u{9b}日本\u{202e}\u{200b}\u{2028}\u{e0041}\u{feff}";
        assert_eq!(text.to_string(), escaped);
        for harmless in ["", "plain ~", "naïve £ €", "שלום", "Ω≈ç", "🐍", "\u{a0}"] {
            assert_eq!(Printable(harmless).to_string(), harmless);
        }
        for one in "\u{80}\u{85}\u{9f}\u{ad}\u{61c}\u{200e}\u{200f}\u{2029}\u{202a}\u{2066}\u{2069}\
            \u{2060}\u{fff9}\u{e000}\u{e0001}\u{10ffff}\u{3164}\u{fe00}\u{fe0f}\x7f\0"
            .chars()
        {
            assert!(harms(one), "{one:?}");
        }
    }

    #[test]
    fn command_lines_have_no_long_blanks() {
        let shown = |line: &str| command_line(&["a".to_owned(), line.to_owned()]);
        for blank in [" ", "\u{a0}", "\u{2003}", "\u{3000}", "\u{2800}"] {
            let forged = format!("b{}=== PID 1: c", blank.repeat(80));
            assert_eq!(shown(&forged), format!("a b{blank}=== PID 1: c"));
        }
        assert_eq!(shown("b c\n\td"), r"a b c\n\td");
        assert_eq!(shown(""), "a ");
    }

    fn line(line: &[u8]) -> String {
        let mut out = String::new();
        write_line(&mut out, line).expect("memory");
        out
    }

    #[test]
    fn no_row_of_a_terminal_looks_like_a_line_of_ours() {
        for blank in [" ", "\u{a0}", "\u{2003}", "\u{2800}"] {
            for own in ["=== PID 1: c", "sleeper_agent_activate: PID 1: d"] {
                let forged = format!("b{}{own}", blank.repeat(46));
                let escaped = format!("b{}\\u{{{:x}}}", blank.repeat(46), own.as_bytes()[0]);
                let escaped = escaped + &own[1..];
                assert_eq!(Printable(&forged).to_string(), escaped);
                assert_eq!(line(forged.as_bytes()), escaped);
                assert!(!are_plain(forged.as_bytes()));
            }
        }
        let twice = format!("{0}=== a{0}=== b", " ".repeat(9));
        let escaped = format!("{0}\\u{{3d}}== a{0}\\u{{3d}}== b", " ".repeat(9));
        assert_eq!(Printable(&twice).to_string(), escaped);
        // Its time is in proportion to the text: else it would be minutes.
        let many = format!("{}=== a", " ".repeat(9)).repeat(200_000);
        let escaped = format!("{}\\u{{3d}}== a", " ".repeat(9)).repeat(200_000);
        assert!(Printable(&many).to_string() == escaped);
        for honest in [
            "    a === b",
            "a: b",
            "    if a == b:  # ===",
            "x        = 1",
        ] {
            assert_eq!(Printable(honest).to_string(), honest);
            assert!(are_plain(honest.as_bytes()));
        }
    }

    #[test]
    fn lines_of_answers_stay_lines() {
        let text = "  File \"é\", line 7, in f\t\n";
        assert_eq!(line(text.as_bytes()), text);
        assert_eq!(line(b"a\x9b31m\xff\xc3"), r"a\x9b31m\xff\xc3");
        assert_eq!(line("a\u{9b}\r\n".as_bytes()), "a\\u{9b}\\r\n");
    }

    #[test]
    fn no_line_of_an_answer_looks_like_one_of_ours() {
        assert_eq!(
            line(b"=== PID 1: /sbin/init\n"),
            "\\u{3d}== PID 1: /sbin/init\n"
        );
        assert_eq!(
            line(b"sleeper_agent_activate: x"),
            "\\u{73}leeper_agent_activate: x"
        );
        // Characters without a width: variation selectors, marks, fillers, and what some terminals take for one.
        for one in "\u{336}\u{20dd}\u{16fe4}\u{1d165}\u{1cbf}\u{11f02}é".chars() {
            let forged = format!("{one}=={one}= PID 1: /sbin/init\n");
            assert_eq!(
                line(forged.as_bytes()),
                format!("{one}\\u{{3d}}={one}= PID 1: /sbin/init\n")
            );
        }
        assert_eq!(
            line("\u{fe0f}=== PID 1\n".as_bytes()),
            "\\u{fe0f}\\u{3d}== PID 1\n"
        );
        assert_eq!(
            line("sl\u{301}eeper_agent_activate: x".as_bytes()),
            "\\u{73}l\u{301}eeper_agent_activate: x"
        );
        for lines in [
            &b"=== a"[..],
            b"a\n=== b",
            b"a\nsleeper_agent_activate: b",
            b"a\x1b",
            b"\xc3",
        ] {
            assert!(!are_plain(lines));
        }
        assert!(are_plain(b"### Thread 7:\n  File \"a\"\n\n\tx = 1 == 2 ===\n") && are_plain(b""));
        for ours in [
            "### Thread 7:",
            "    === x",
            "== x",
            "Sleeper",
            "é",
            "é x == ===",
        ] {
            assert_eq!(line(ours.as_bytes()), ours);
        }
    }

    #[test]
    fn json_stays_json() {
        let text = "\"a\u{202e}\u{7f}é\u{e0041}\"";
        let escaped = InJson(text).to_string();
        assert_eq!(escaped, "\"a\\u202e\\u007fé\\udb40\\udc41\"");
        let read: String = serde_json::from_str(&escaped).expect("JSON");
        assert_eq!(format!("\"{read}\""), text);
    }
}
