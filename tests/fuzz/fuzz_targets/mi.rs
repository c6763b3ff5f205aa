//! gdb's machine interface: a value put into a record is read back, and no line crashes the parser.

#![no_main]

use launcher::ask::gdb::mi::{self, Record};
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    let line = String::from_utf8_lossy(data);
    match mi::parse(&line) {
        Record::Result { class, fields, .. } => {
            assert!(!class.contains(','));
            assert!(line.contains(&fields));
            read_fields(&fields);
        }
        Record::Text(_) => assert!(line.starts_with(['~', '&', '@'])),
        Record::News(news) => read_fields(&news),
        Record::Prompt => assert_eq!(line.trim_end(), "(gdb)"),
        Record::Other(other) => assert!(line.starts_with(&other)),
    }
    read_fields(&line);

    // Two texts: a value, and the text before it.
    let (value, before) = line.split_once('|').unwrap_or((&line, ""));
    let quoted = quote(value);
    assert_eq!(
        mi::parse(&format!("~{quoted}\n")),
        Record::Text(value.to_owned())
    );
    let fields = format!("msg={},value={quoted},more=\"1\"", quote(before));
    assert_eq!(mi::field(&fields, "msg").as_deref(), Some(before));
    assert_eq!(mi::field(&fields, "value").as_deref(), Some(value));
    assert_eq!(mi::field(&fields, "more").as_deref(), Some("1"));
    assert_eq!(mi::field(&fields, "absent"), None);
    assert_eq!(
        mi::parse(&format!("17^done,{fields}\n")),
        Record::Result {
            token: Some(17),
            class: "done".into(),
            fields,
        }
    );
    Corpus::Keep
});

fn read_fields(fields: &str) {
    for name in ["msg", "value", "contents", "thread-id", ""] {
        if let Some(text) = mi::field(fields, name) {
            // An escape is longer than its character, but a byte that is not UTF-8 becomes
            // three bytes.
            assert!(text.len() <= 3 * fields.len());
        }
    }
}

/// Quotes as gdb does.
fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\x1b' => quoted.push_str("\\e"),
            ' '..='~' => quoted.push(character),
            other => {
                for byte in other.encode_utf8(&mut [0; 4]).bytes() {
                    quoted.push_str(&format!("\\{byte:03o}"));
                }
            }
        }
    }
    quoted.push('"');
    quoted
}
