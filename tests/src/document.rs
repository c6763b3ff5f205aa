//! The document that `--format json` prints, checked against its schema, and lookups in it.

use crate::ask::answer;
use serde_json::Value;

/// A process's document, checked against the schema.
#[track_caller]
pub fn document(pid: i32, via: &str) -> Value {
    document_with(pid, &["--via", via])
}

/// A process's document with greenlets and generators, checked against the schema. It is given more time than
/// by default, so that nothing is cut on a loaded machine.
#[track_caller]
pub fn document_with_greenlets(pid: i32, via: &str) -> Value {
    document_with(pid, &["--greenlets", "--hold", "2000", "--via", via])
}

/// A process's document with these options, checked against the schema.
#[track_caller]
pub fn document_with(pid: i32, options: &[&str]) -> Value {
    let out = answer(pid, &[&["--format", "json"], options].concat());
    let document = only_document(&out);
    assert_eq!(document["pid"], pid);
    document
}

/// The only document in an output, checked against the schema.
#[track_caller]
pub fn only_document(out: &str) -> Value {
    assert_eq!(out.lines().count(), 1, "{out}");
    valid_document(out)
}

/// The document in a line, checked against the schema.
#[track_caller]
pub fn valid_document(line: &str) -> Value {
    let document: Value = serde_json::from_str(line).expect("JSON");
    let schema = include_str!("../../launcher/schema/state.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    if let Err(error) = jsonschema::validate(&schema, &document) {
        panic!("{error}, at {}: {document:#}", error.instance_path());
    }
    document
}

/// A document's entry for a thread.
#[track_caller]
pub fn thread(document: &Value, ident: u64) -> &Value {
    let mut threads = document["threads"].as_array().unwrap().iter();
    let found = threads.find(|one| one["ident"] == ident);
    found.unwrap_or_else(|| panic!("no thread {ident}: {document:#}"))
}

/// The functions of the frames of a thread, a greenlet or a chain of generators, outermost first.
#[track_caller]
pub fn functions(one: &Value) -> Vec<&str> {
    let frames = one["frames"].as_array().unwrap().iter();
    frames
        .map(|frame| frame["function"].as_str().unwrap())
        .collect()
}
