//! Suspended generators driven by Tornado or Twisted.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tests::ask::{WAYS, full_answer_with_greenlets, woken_target};
use tests::case;
use tests::document::{document_with, document_with_greenlets, functions};
use tests::interpreters::Interpreter;
use tests::packages::woken_with;
use tests::process::Program;
use tests::procfs::settle;
use tests::said::Said;

const TORNADO: [(&str, &str); 2] = [("tornado-4", "tornados.py"), ("tornado-5", "tornados.py")];
const TWISTED: [(&str, &str); 2] = [("twisted", "twisteds.py"), ("twisted-15", "twisteds.py")];

fn coroutines(program: &Program, via: &str) -> Value {
    document_with_greenlets(program.pid(), via)["coroutines"].take()
}

/// The chains of a document: their functions, what the innermost waits for, and its address.
#[track_caller]
fn chains(told: &Value, library: &str) -> Vec<(Vec<String>, String, Option<u64>)> {
    let all = told["suspended"].as_array().unwrap().iter();
    let mut chains: Vec<_> = all
        .map(|chain| {
            assert_eq!(chain["library"], library, "{chain:#}");
            let names: Vec<String> = functions(chain).into_iter().map(str::to_owned).collect();
            assert_eq!(chain["name"], names[0], "{chain:#}");
            let wait = &chain["waits_for"];
            let kind = wait["kind"].as_str().unwrap_or("nothing").to_owned();
            if kind == "timeout" {
                let seconds = wait["seconds"].as_f64().unwrap();
                assert!((800.0..1000.0).contains(&seconds), "{chain:#}");
            }
            (names, kind, wait["id"].as_u64())
        })
        .collect();
    chains.sort();
    chains
}

/// The expected chains: function names, a kind, and the program's name for the awaited object.
fn expected(said: &Said, chains: &[(&str, &str, &str)]) -> Vec<(Vec<String>, String, Option<u64>)> {
    let chain = |&(names, kind, thing): &(&str, &str, &str)| {
        let names = names.split(' ').map(str::to_owned).collect();
        let id = said.number_if_said(&format!("thing {thing}"));
        (names, kind.to_owned(), id)
    };
    let mut chains: Vec<_> = chains.iter().map(chain).collect();
    chains.sort();
    chains
}

/// The names of the chains that wait with a timeout.
fn given_up(told: &Value) -> Vec<&str> {
    let all = told["suspended"].as_array().unwrap().iter();
    let limited = all.filter(|chain| {
        let wait = &chain["waits_for"];
        wait["seconds"] != Value::Null && wait["kind"] != "timeout"
    });
    limited
        .map(|chain| chain["name"].as_str().unwrap())
        .collect()
}

#[track_caller]
fn ends_well(mut program: Program) {
    program.say("");
    program.wait_lines("ended", 1);
    let ended = program.ends();
    assert!(ended.out().contains("\nleft False\n"), "{}", ended.out());
}

case!(tornado, Packages);
fn tornado(python: &Interpreter) {
    for (set, name) in TORNADO {
        let (program, said) = woken_with(python, set, name, &[]);
        for via in WAYS {
            let told = coroutines(&program, via);
            let right = [
                ("outermost middle innermost", "future", "plain"),
                ("joins joined", "future", "together"),
                ("joins joined", "future", "together"),
                ("limits joined", "future", "together"),
                ("limits_future", "future", "limit"),
                ("sleeps", "timeout", ""),
                ("waits_for_event", "event", "event"),
                ("waits_for_semaphore", "semaphore", "semaphore"),
                ("gets", "queue_get", "empty"),
                ("puts", "queue_put", "full"),
                ("reads", "read", "stream"),
                ("waits_for_what_is_put", "future", "told"),
                ("mentions", "future", "plain"),
                ("waits_for_what_runs", "running", ""),
            ];
            assert_eq!(chains(&told, "tornado"), expected(&said, &right), "{set}");
            assert_eq!(json!([told["count"], told["left_out"]]), json!([18, 0]));
            assert_eq!(given_up(&told), ["limits_future"], "{set}");
        }
        ends_well(program);
    }
}

case!(twisted, Packages);
fn twisted(python: &Interpreter) {
    for (set, name) in TWISTED {
        let (program, said) = woken_with(python, set, name, &[]);
        for via in WAYS {
            let told = coroutines(&program, via);
            let right = [
                ("outermost middle innermost", "deferred", "plain"),
                ("joins joined", "deferred", "together_0"),
                ("joins joined", "deferred", "together_1"),
                ("limits joined", "deferred", "together_2"),
                ("lists", "deferred", "list"),
                ("sleeps", "timeout", ""),
                ("slept", "deferred", "later"),
                ("limits_deferred", "deferred", "limited"),
                ("waits_for_lock", "lock", "lock"),
                ("waits_for_semaphore", "semaphore", "semaphore"),
                ("gets", "queue_get", "empty"),
                ("waits_for_what_runs", "running", ""),
            ];
            assert_eq!(chains(&told, "twisted"), expected(&said, &right), "{set}");
            assert_eq!(json!([told["count"], told["left_out"]]), json!([16, 0]));
            assert_eq!(given_up(&told), ["limits_deferred"], "{set}");
        }
        ends_well(program);
    }
}

case!(none_are_left, Packages);
/// Finished generators are not listed: one is left.
fn none_are_left(python: &Interpreter) {
    for (set, name) in [TORNADO, TWISTED].concat() {
        let (mut program, _) = woken_with(python, set, name, &[]);
        program.say("");
        program.wait_lines("ended", 1);
        settle(program.pid());
        for via in WAYS {
            let told = coroutines(&program, via);
            assert_eq!(told["count"], 1, "{set}: {told:#}");
            assert_eq!(told["left_out"], 0, "{set}: {told:#}");
            assert_eq!(told["suspended"][0]["name"], "sleeps", "{set}: {told:#}");
        }
        program.ends();
    }
}

case!(text, Packages);
fn text(python: &Interpreter) {
    let (program, said) = woken_with(python, "tornado-5", "tornados.py", &[]);
    for via in WAYS {
        let out = full_answer_with_greenlets(program.pid(), via);
        let (threads, rest) = out.split_once("\n\n### Generator ").expect("a generator");
        assert!(threads.contains("\n### Thread "), "{out}");
        assert!(!rest.contains("\n### Thread "), "{out}");
        for lines in [
            ", 1 thread, 0 suspended greenlets, 18 suspended generators\n".to_owned(),
            format!(
                "\n\n### Generator outermost, driven by tornado: suspended, each of these 3 waits for the \
                 next\n  - waits for Future {:#x}\n  File \"",
                said.number("thing plain")
            ),
            format!(
                "\n  - waits for room in Queue {:#x}\n",
                said.number("thing full")
            ),
            "\n  - waits for a timeout (16 min ".to_owned(),
            format!(
                "\n  - waits for Future {:#x} (at most 16 min ",
                said.number("thing limit")
            ),
            "\n  - waits for a generator that runs\n".to_owned(),
        ] {
            assert!(out.contains(&lines), "{lines}: {out}");
        }
    }
    ends_well(program);
}

case!(there_are_many, Packages);
/// The answer leaves generators out rather than hold up the program.
fn there_are_many(python: &Interpreter) {
    for (set, name) in [TORNADO, TWISTED].concat() {
        let (program, _) = woken_with(python, set, name, &["many"]);
        for via in WAYS {
            let begun = Instant::now();
            // As long as to find half of them, and not all.
            let options = ["--greenlets", "--hold", "1000", "--via", via];
            let told = document_with(program.pid(), &options)["coroutines"].take();
            let took = begun.elapsed();
            let number = |what: &str| told[what].as_u64().unwrap();
            let (count, left_out) = (number("count"), number("left_out"));
            // There is time for thousands, however they are divided.
            assert!(
                (500..=20_000).contains(&count),
                "{set}: {count}, {left_out}"
            );
            assert!(count + left_out > 20_100, "{set}: {count}, {left_out}");
            assert!(took < Duration::from_secs(8), "{set}: {took:?}");
        }
        ends_well(program);
    }
}

fn modules(python: &Interpreter, arguments: &[&str]) -> Program {
    let program = woken_target(python, "generator_modules.py", arguments);
    settle(program.pid());
    program
}

case!(not_imported);
/// The agent imports none of the modules.
fn not_imported(python: &Interpreter) {
    let program = modules(python, &[]);
    for via in WAYS {
        let nothing = json!({"count": 0, "left_out": 0, "suspended": []});
        assert_eq!(coroutines(&program, via), nothing);
        let out = full_answer_with_greenlets(program.pid(), via);
        let first = out.lines().find(|line| line.starts_with("Python "));
        assert!(first.unwrap().ends_with(", 0 suspended greenlets"), "{out}");
        assert!(!out.contains("### Generator"), "{out}");
    }
    let ended = program.ends();
    assert_eq!(ended.out(), "ready\nimported [], ran [], left 0\n");
}

case!(a_likeness);
/// Classes that look like the libraries' own are listed, and none of their code runs.
fn a_likeness(python: &Interpreter) {
    let program = modules(python, &["likeness"]);
    for via in WAYS {
        let told = coroutines(&program, via);
        let all = told["suspended"].as_array().unwrap().iter();
        let names = all.map(|one| {
            let library = one["library"].as_str().unwrap();
            format!("{library} {}", functions(one).join(" "))
        });
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(
            names,
            [
                "tornado and_back there",
                "tornado circular",
                "tornado suspended",
                "twisted suspended"
            ],
            "{told:#}"
        );
    }
    let ended = program.ends();
    assert_eq!(ended.out(), "ready\nimported [], ran [], left 0\n");
}

case!(nonsense_in_place_of_them);
fn nonsense_in_place_of_them(python: &Interpreter) {
    for nonsense in ["classes", "objects", "collector"] {
        let program = modules(python, &[nonsense]);
        for via in WAYS {
            // Null, not an empty list: the generators are unknown.
            assert_eq!(coroutines(&program, via), Value::Null, "{nonsense}");
            let out = full_answer_with_greenlets(program.pid(), via);
            let line = "\nSuspended generators cannot be found here.\n";
            assert!(out.contains(line), "{out}");
        }
        let ended = program.ends();
        assert_eq!(
            ended.out(),
            "ready\nimported [], ran [], left 0\n",
            "{nonsense}"
        );
    }
}
