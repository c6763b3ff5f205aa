//! gdb's machine interface: what is put into a record comes out of it, and any line is read.

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

    // Two texts: a value, and what stands in front of it.
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
            // Each escape is longer than what it stands for, but a byte that is no UTF-8
            // becomes three.
            assert!(text.len() <= 3 * fields.len());
        }
    }
}

/// As gdb quotes.
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
