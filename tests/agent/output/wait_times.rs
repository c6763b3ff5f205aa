//! How long waits with a timeout have lasted and may still last, although Python 2 polls while it waits.

use serde_json::Value;
use tests::ask::{WAYS, full_answer, woken_target};
use tests::case;
use tests::document::{document, thread};
use tests::interpreters::Interpreter;
use tests::said::Said;

case!(of_waits_with_timeouts);
fn of_waits_with_timeouts(python: &Interpreter) {
    let program = woken_target(python, "timed_waits.py", &[]);
    let said = Said::by(&program);
    for via in WAYS {
        let document = document(program.pid(), via);
        let wait = |what: &str| thread(&document, said.ident(what))["waits_for"].clone();
        for (what, kind) in [
            ("condition", "condition"),
            ("event", "event"),
            ("queue_get", "queue_get"),
            ("queue_put", "queue_put"),
            ("join", "thread"),
            ("in_turns", "queue_get"),
        ] {
            let wait = wait(what);
            let number = |name: &str| wait[name].as_f64().unwrap_or(f64::NAN);
            let (waited, left) = (number("waited_seconds"), number("left_seconds"));
            assert_eq!(wait["kind"], kind, "{what}: {wait}");
            assert_eq!(wait["seconds"], 60.0, "{what}: {wait}");
            assert!((1.0..30.0).contains(&waited), "{what}: {wait}");
            assert!((59.9..=60.0).contains(&(waited + left)), "{what}: {wait}");
        }
        let unlimited = wait("unlimited");
        for name in ["seconds", "waited_seconds", "left_seconds"] {
            assert_eq!(unlimited[name], Value::Null, "{unlimited}");
        }
        let text = full_answer(program.pid(), via);
        let start = format!("### Thread {}", said.ident("event"));
        let heading = text.lines().find(|line| line.starts_with(&start)).unwrap();
        // Python 2 waits in short sleeps: between two of them it runs.
        let ways = [": waiting for ", ": running"];
        assert!(ways.iter().any(|way| heading.contains(way)), "{heading}");
        let waits = ", for at most 1 min 0 s, ";
        assert!(
            text.contains("waits for Event 0x") && text.contains(waits),
            "{text}"
        );
        assert!(
            text.contains("waits for time to pass (20 ms in all, "),
            "{text}"
        );
    }
    program.ends_well();
}
