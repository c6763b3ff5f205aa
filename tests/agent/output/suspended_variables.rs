//! `--locals` and `--globals` of the frames of suspended greenlets and generators.

use serde_json::Value;
use tests::ask::{WAYS, answer};
use tests::case;
use tests::document::document_with;
use tests::interpreters::Interpreter;
use tests::packages::woken_with;
use tests::process::Program;
use tests::variables::below;

case!(of_greenlets, Packages);
fn of_greenlets(python: &Interpreter) {
    for (set, target, function) in [
        ("greenlet-1", "greenlets.py", "inner"),
        ("greenlet-2", "greenlets.py", "inner"),
        ("gevent", "gevents.py", "sleeps"),
        ("eventlet", "eventlets.py", "sleeps"),
    ] {
        let (program, _) = woken_with(python, set, target, &[]);
        are_shown(&program, "greenlets", function);
        program.ends();
    }
}

case!(of_generators, Packages);
fn of_generators(python: &Interpreter) {
    for (set, target) in [
        ("tornado-4", "tornados.py"),
        ("tornado-5", "tornados.py"),
        ("twisted", "twisteds.py"),
        ("twisted-15", "twisteds.py"),
    ] {
        let (mut program, _) = woken_with(python, set, target, &[]);
        are_shown(&program, "coroutines", "sleeps");
        // Each frame of a chain has its own variables.
        let document = with_suspended(&program, &["--locals"]);
        let functions = ["outermost", "middle", "innermost"];
        let chains = document["coroutines"]["suspended"].as_array().unwrap();
        let chain = chains.iter().find(|one| one["name"] == functions[0]);
        let frames = chain.unwrap()["frames"].as_array().unwrap();
        for (frame, function) in frames.iter().zip(functions) {
            let loops = target == "tornados.py" && function == "middle";
            let expected: &[(&str, &str)] = if loops { &[("_", "0")] } else { &[] };
            assert_eq!(frame["function"], function);
            assert_eq!(values(&frame["locals"]), expected, "{set}: {frame:#}");
        }
        program.say("");
        program.wait_lines("ended", 1);
        let ended = program.ends();
        assert!(ended.out().contains("\nleft False\n"), "{}", ended.out());
    }
}

/// The document with greenlets and generators, with these options.
#[track_caller]
fn with_suspended(program: &Program, options: &[&str]) -> Value {
    document_with(
        program.pid(),
        &[&["--greenlets", "--hold", "2000"], options].concat(),
    )
}

/// Names and values of variables.
#[track_caller]
fn values(variables: &Value) -> Vec<(&str, &str)> {
    let variables = variables.as_array().unwrap().iter();
    variables
        .map(|one| {
            (
                one["name"].as_str().unwrap(),
                one["value"].as_str().unwrap(),
            )
        })
        .collect()
}

/// The greenlet or generator suspended in this function shows its variables in both formats and through
/// both ways in, with the same options as threads.
#[track_caller]
fn are_shown(program: &Program, what: &str, function: &str) {
    let frames_of = |document: &Value| -> Vec<Value> {
        let suspended = document[what]["suspended"].as_array().unwrap();
        let frames = suspended
            .iter()
            .flat_map(|one| one["frames"].as_array().unwrap());
        let frames: Vec<Value> = frames
            .filter(|one| one["function"] == function)
            .cloned()
            .collect();
        assert!(!frames.is_empty(), "no {function} in {document:#}");
        frames
    };
    let is_ours = |name: &str| ["number", "secret_word", "large"].contains(&name);
    let large = |length: usize| format!("'{}'... (1000 in all)", "x".repeat(length));
    for via in WAYS {
        for (options, secret, length) in [
            (&[][..], "<hidden>", 200),
            (&["--value-length", "10"], "<hidden>", 10),
            (&["--show-secrets"], "'rosebud'", 200),
        ] {
            let options = [&["--locals", "--via", via], options].concat();
            let document = with_suspended(program, &options);
            assert_eq!(document["variables_cut"], false);
            for frame in frames_of(&document) {
                let locals = values(&frame["locals"]);
                let ours = locals.iter().filter(|(name, _)| is_ours(name));
                let ours: Vec<(&str, &str)> = ours.copied().collect();
                let large = large(length);
                let expected = [("number", "7"), ("secret_word", secret), ("large", &large)];
                assert_eq!(ours, expected, "{via} {options:?}: {frame:#}");
                assert_eq!(values(&frame["globals"]), []);
            }
        }
        let document = with_suspended(program, &["--globals", "--via", via]);
        for frame in frames_of(&document) {
            assert_eq!(values(&frame["locals"]), []);
            let globals = values(&frame["globals"]);
            assert!(globals.contains(&("many", &large(200))), "{frame:#}");
        }
        for frame in frames_of(&with_suspended(program, &["--via", via])) {
            assert!(frame["locals"].is_null() && frame["globals"].is_null());
        }
        let text = answer(
            program.pid(),
            &["--greenlets", "--locals", "--hold", "2000", "--via", via],
        );
        let (_, text) = match what {
            "greenlets" => text.split_once("\n### Greenlet "),
            _ => text.split_once(&format!("\n### Generator {function}, ")),
        }
        .expect("what is suspended");
        let lines = below(text, function);
        let expected = [
            "number = 7",
            "secret_word = <hidden>",
            &format!("large = {}", large(200)),
        ];
        let ours = lines
            .iter()
            .filter(|line| is_ours(line.split(' ').next().unwrap()));
        assert_eq!(ours.collect::<Vec<_>>(), expected, "{text}");
    }
}
