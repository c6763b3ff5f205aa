//! Waits are read exactly, however the call is written.

use serde_json::{Value, json};
use tests::ask::{WAYS, woken_target};
use tests::case;
use tests::document::{document, thread};
use tests::interpreters::Interpreter;
use tests::procfs::settle;
use tests::said::Said;

/// The functions of `waits_read.py` that wait for a lock.
const FOR_LOCK: [&str; 29] = [
    "over_several_lines",
    "in_loop",
    "in_while",
    "in_condition",
    "by_name",
    "by_item",
    "with_star",
    "with_star_of_list",
    "with_stars",
    "with_keywords",
    "in_dictionary",
    "in_comprehension",
    "in_generator",
    "in_lambda",
    "printed",
    "with_in_with",
    "of_class",
    "after_except",
    "finally_of_nothing",
    "finally_of_return",
    "finally_of_exception",
    "finally_of_break",
    "finally_of_continue",
    "by_map",
    "by_apply",
    "by_partial",
    "by_iterator",
    "in_long_code",
    "of_thread",
];

case!(every_way_to_wait);
fn every_way_to_wait(python: &Interpreter) {
    let program = woken_target(python, "waits_read.py", &[]);
    settle(program.pid());
    let said = Said::by(&program);
    for via in WAYS {
        let document = document(program.pid(), via);
        let wait = |what: &str| &thread(&document, said.ident(what))["waits_for"];
        for what in FOR_LOCK {
            let wait = wait(what);
            let lock = said.number(&format!("lock {what}"));
            let expected = (&json!("lock"), &json!(lock));
            assert_eq!((&wait["kind"], &wait["id"]), expected, "{what}: {wait}");
        }
        for (what, seconds) in [
            ("sleep_by_map", Value::Null),
            ("sleep_in_loop", json!(1000.0)),
        ] {
            let wait = wait(what);
            let expected = (&json!("sleep"), &seconds);
            assert_eq!(
                (&wait["kind"], &wait["seconds"]),
                expected,
                "{what}: {wait}"
            );
        }
        assert_eq!(document["deadlocks"], json!([]));
    }
    program.ends();
}
