//! The lines that gdb writes in its machine interface (MI), one record each.

/// One line of gdb's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// `12^done,…`: the result of the command with this token.
    Result {
        /// The token; gdb leaves it out if it could not read the command.
        token: Option<u64>,
        /// `done`, `running`, `error`, `exit`.
        class: String,
        /// The text after the class.
        fields: String,
    },
    /// `~"…"`, `&"…"`, `@"…"`: text meant for people.
    Text(String),
    /// `*stopped,…`, `=thread-created,…`: an event.
    News(String),
    /// `(gdb)`: ready for a command.
    Prompt,
    /// Anything else: gdb's standard error, which shares the pipe.
    Other(String),
}

/// Reads one line, with or without its line end.
pub fn parse(line: &str) -> Record {
    let line = line.trim_end_matches(['\n', '\r']);
    if line.trim_end() == "(gdb)" {
        return Record::Prompt;
    }
    let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (token, rest) = line.split_at(digits);
    if let Some(result) = rest.strip_prefix('^') {
        let (class, fields) = result.split_once(',').unwrap_or((result, ""));
        return Record::Result {
            token: token.parse().ok(),
            class: class.to_owned(),
            fields: fields.to_owned(),
        };
    }
    if rest.starts_with(['*', '=', '+']) {
        return Record::News(rest.to_owned());
    }
    if line.starts_with(['~', '&', '@'])
        && let Some((text, _)) = c_string(&line[1..])
    {
        return Record::Text(text);
    }
    Record::Other(line.to_owned())
}

/// The string named `name="…"` among the fields of a record, at whatever depth it is first.
pub fn field(fields: &str, name: &str) -> Option<String> {
    let mut rest = fields;
    let mut word = String::new();
    while let Some(character) = rest.chars().next() {
        if character == '"' {
            let (text, after) = c_string(rest)?;
            if word == name {
                return Some(text);
            }
            word.clear();
            rest = after;
            continue;
        }
        match character {
            '=' => {}
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => word.push(character),
            _ => word.clear(),
        }
        rest = &rest[character.len_utf8()..];
    }
    None
}

/// Reads a string in double quotes with C's escapes; gives it and what stands behind it.
fn c_string(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let bytes = inner.as_bytes();
    let mut plain = Vec::with_capacity(inner.len());
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            b'"' => {
                let text = String::from_utf8_lossy(&plain).into_owned();
                return Some((text, &inner[at + 1..]));
            }
            b'\\' => {
                let escape = *bytes.get(at + 1)?;
                at += 2;
                match escape {
                    b'n' => plain.push(b'\n'),
                    b't' => plain.push(b'\t'),
                    b'r' => plain.push(b'\r'),
                    b'a' => plain.push(7),
                    b'b' => plain.push(8),
                    b'f' => plain.push(12),
                    b'v' => plain.push(11),
                    b'e' => plain.push(27),
                    b'0'..=b'7' => {
                        let mut value = u32::from(escape - b'0');
                        for _ in 0..2 {
                            match bytes.get(at) {
                                Some(digit @ b'0'..=b'7') => {
                                    value = value * 8 + u32::from(digit - b'0');
                                    at += 1;
                                }
                                _ => break,
                            }
                        }
                        plain.push(value as u8);
                    }
                    other => plain.push(other),
                }
            }
            other => {
                plain.push(other);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn result(token: Option<u64>, class: &str, fields: &str) -> Record {
        Record::Result {
            token,
            class: class.into(),
            fields: fields.into(),
        }
    }

    #[test]
    fn tells_the_kinds_of_record_apart() {
        assert_eq!(parse("(gdb) \n"), Record::Prompt);
        assert_eq!(parse("12^done\n"), result(Some(12), "done", ""));
        assert_eq!(
            parse("3^error,msg=\"ptrace: Operation not permitted.\"\n"),
            result(Some(3), "error", "msg=\"ptrace: Operation not permitted.\"")
        );
        assert_eq!(parse("^exit"), result(None, "exit", ""));
        assert_eq!(
            parse("~\"[New LWP 12]\\n\"\n"),
            Record::Text("[New LWP 12]\n".into())
        );
        assert_eq!(
            parse("*stopped,thread-id=\"1\""),
            Record::News("*stopped,thread-id=\"1\"".into())
        );
        assert_eq!(parse("warning: x\n"), Record::Other("warning: x".into()));
        assert_eq!(
            parse("~\"unfinished"),
            Record::Other("~\"unfinished".into())
        );
        assert_eq!(parse(""), Record::Other(String::new()));
    }

    #[test]
    fn finds_fields_but_not_in_strings() {
        let fields =
            r#"msg="say \"value=\\\"1\\\"\"",memory=[{begin="0x10",contents="6162"}],value="42""#;
        assert_eq!(field(fields, "value").as_deref(), Some("42"));
        assert_eq!(field(fields, "contents").as_deref(), Some("6162"));
        assert_eq!(field(fields, "begin").as_deref(), Some("0x10"));
        assert_eq!(field(fields, "end"), None);
        assert_eq!(field("value=\"unfinished", "value"), None);
    }

    #[test]
    fn reads_escapes() {
        assert_eq!(
            c_string(r#""a\tb\\\"\303\244\0z"rest"#),
            Some(("a\tb\\\"ä\0z".into(), "rest"))
        );
        assert_eq!(c_string(r#""dangling\"#), None);
        assert_eq!(c_string("no quote"), None);
    }
}
