//! `--locals` and `--globals`: values as text, without the program's code, and without what is
//! secret.

use crate::Case;
use crate::Need::{Nothing, Packages};
use crate::cases_full::{WAYS, as_the_schema_says};
use crate::cases_greenlets::start;
use serde_json::Value;
use std::time::{Duration, Instant};
use tests::ask::{activate, target, woken_target};
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::procfs::wait_agent;

pub const CASES: &[Case] = &[
    ("kinds", Nothing, kinds),
    ("in_json", Nothing, in_json),
    ("limits", Nothing, limits),
    ("secrets", Nothing, secrets),
    ("of_modules", Nothing, of_modules),
    ("own_repr", Nothing, own_repr),
    ("repr_that_blocks", Nothing, repr_that_blocks),
    ("of_greenlets", Packages, of_greenlets),
    ("of_generators", Packages, of_generators),
    (
        "only_where_they_are_shown",
        Nothing,
        only_where_they_are_shown,
    ),
];

/// What is shown with these arguments.
#[track_caller]
fn shown(program: &Program, arguments: &[&str]) -> String {
    let pid = program.pid().to_string();
    let ended = activate(arguments.iter().copied().chain([&pid[..]]));
    ended.expect_code(0);
    assert_eq!(ended.err(), "");
    ended.out()
}

/// It goes on, none of its code has run, and its frames are as they were.
#[track_caller]
fn ends_untouched(mut program: Program) {
    program.say("");
    let ended = program.end();
    assert_eq!(ended.out(), "ready\nran []\nargument first\n");
    ended.expect_code(7);
}

/// A text without the addresses in it.
fn without_addresses(text: &str) -> String {
    let mut pieces = text.split(" at 0x");
    let mut rest = pieces.next().unwrap().to_owned();
    for piece in pieces {
        rest.push_str(" at ");
        rest.push_str(piece.trim_start_matches(|one: char| one.is_ascii_hexdigit()));
    }
    rest
}

/// The lines below a frame of this function, without addresses.
#[track_caller]
fn below(text: &str, function: &str) -> Vec<String> {
    let text = without_addresses(text);
    let is_it = format!(", in {function}");
    let mut lines = text.lines().skip_while(|line| !line.ends_with(&is_it));
    assert!(lines.next().is_some(), "no {function} in {text}");
    let lines = lines.take_while(|line| !line.is_empty() && !line.starts_with("  File"));
    // The first is the source.
    lines.skip(1).map(|line| line[6..].to_owned()).collect()
}

fn kinds(python: &Interpreter) {
    let program = woken_target(python, "variables.py", &[]);
    for via in WAYS {
        let text = shown(&program, &["--locals", "--via", via]);
        let lines = below(&text, "kinds");
        let expected = [
            "argument = 'changed'",
            "default = 'it\\'s \"so\"'",
            "rest = ()",
            "named = {}",
            "none = None",
            "yes = True",
            "number = -5",
            "long_ = 1267650600228229401496703205376L",
            "real = 1.5",
            "huge = <long of 100001 bits>",
            r"controls = '\x1b[31m\n\\\xff'",
            "quote = \"it's\"",
            "nested = [[[[[...]]]]]",
            "empty = [(), [], {}, set([]), frozenset([])]",
            "one = (1,)",
            "circle = [1, [...]]",
        ];
        assert_eq!(lines[..expected.len()], expected);
        for line in [
            "large = '",
            "members = set([7])",
            "text = <__main__.Text at  'inner'>",
            "mapping = <__main__.Mapping at  {'a': 1}>",
            "deque = <collections.deque at >",
            "old = <__main__.Old instance at >",
            "  .inside = 'old'",
            "plain = <__main__.Plain at >",
            r"  .name = u'J\xf6rg \u20ac'",
            "  .other = {",
            "  .password = <hidden>",
            "bound = <bound method method of <__main__.Plain at >>",
            "slots = <__main__.Slots at >",
            "hostile = <__main__.Hostile at >",
            "of_hostile = {",
            "function = <function kinds at >",
            "built_in = <built-in len at >",
            "module = <module sys at >",
            "new_class = <class __main__.Plain>",
            "old_class = <class __main__.Old>",
            "secret_word = <hidden>",
            r"wide = u'\u20ac'",
        ] {
            assert!(
                lines.iter().any(|one| one.starts_with(line)),
                "{line}: {lines:#?}"
            );
        }
        assert!(
            !text.contains("rosebud") && !text.contains("late ="),
            "{text}"
        );
        assert!(!text.contains("global "), "{text}");
        assert_eq!(below(&text, "executes"), ["argument = 6", "made = 1"]);
        let in_cells = ["first = 1", "second = 'in a cell'", "third = 3"];
        assert_eq!(below(&text, "in_cells"), in_cells);
        let in_class = [
            "free = 1",
            "bound = 'of the class'",
            "other = 1",
            "method = <function method at >",
        ];
        assert_eq!(below(&text, "Body"), in_class);
        let inner = below(&text, "inner");
        assert!(inner[0].starts_with("before = {"), "{inner:?}");
        let globals = below(&shown(&program, &["--globals", "--via", via]), "inner");
        assert_eq!(globals, ["global gate = <thread.lock at >"]);
    }
    ends_untouched(program);
}

fn in_json(python: &Interpreter) {
    let program = woken_target(python, "variables.py", &[]);
    let arguments = ["--format", "json", "--locals", "--globals"];
    let document = as_the_schema_says(&shown(&program, &arguments));
    let frames = |document: &Value| -> Vec<Value> {
        let threads = document["threads"].as_array().unwrap().iter();
        let frames = threads.flat_map(|one| one["frames"].as_array().unwrap());
        frames.cloned().collect()
    };
    let all = frames(&document);
    let kinds = all.iter().find(|one| one["function"] == "kinds").unwrap();
    let locals = kinds["locals"].as_array().unwrap();
    assert_eq!(locals[0]["name"], "argument");
    assert_eq!(locals[0]["value"], "'changed'");
    let plain = locals.iter().find(|one| one["name"] == "plain").unwrap();
    assert_eq!(plain["attributes"][2]["value"], "<hidden>");
    let inner = all.iter().find(|one| one["function"] == "inner").unwrap();
    assert_eq!(inner["globals"][0]["name"], "gate");
    let document = as_the_schema_says(&shown(&program, &["--format", "json"]));
    let none = |one: &Value| one["locals"].is_null() && one["globals"].is_null();
    assert!(frames(&document).iter().all(none));
    ends_untouched(program);
}

/// However much there is, it takes little time and little of it is shown.
fn limits(python: &Interpreter) {
    let program = woken_target(python, "variables.py", &[]);
    let lines = below(&shown(&program, &["--locals"]), "kinds");
    let line = |lines: &[String], start: &str| -> String {
        let found = lines.iter().find(|line| line.starts_with(start));
        found
            .unwrap_or_else(|| panic!("no {start} in {lines:#?}"))
            .clone()
    };
    let large = line(&lines, "large = ");
    assert!(
        large.ends_with("'... (104857600 in all)") && large.len() < 300,
        "{large}"
    );
    let many = line(&lines, "many = ");
    assert!(many.ends_with(", 49, ... 99950 more]"), "{many}");
    let deepest = ["--locals", "--value-depth", "20"];
    let lines = below(&shown(&program, &deepest), "kinds");
    let twenty = format!("twenty = {}{}", "[".repeat(21), "]".repeat(21));
    assert_eq!(line(&lines, "twenty = "), twenty);
    let few = [
        "--locals",
        "--value-length",
        "10",
        "--value-items",
        "2",
        "--value-depth",
        "1",
    ];
    let lines = below(&shown(&program, &few), "kinds");
    assert_eq!(
        line(&lines, "large = "),
        "large = 'xxxxxxxxxx'... (104857600 in all)"
    );
    assert_eq!(line(&lines, "many = "), "many = [0, 1, ... 99998 more]");
    assert_eq!(line(&lines, "nested = "), "nested = [[...]]");
    let plain = lines
        .iter()
        .position(|line| line.starts_with("plain = "))
        .unwrap();
    assert_eq!(lines[plain + 3], "  ... 1 more");
    ends_untouched(program);
}

fn secrets(python: &Interpreter) {
    let program = woken_target(python, "variables.py", &[]);
    let all = shown(&program, &["--locals", "--show-secrets"]);
    for told in [
        "secret_word = 'rosebud'",
        ".password = 'rosebud'",
        "'Api_Token': 'rosebud'",
        "u'Password': u'rosebud'",
    ] {
        assert!(all.contains(told), "{told}: {all}");
    }
    let some = shown(&program, &["--locals", "--secrets", "PASS, numb"]);
    assert!(some.contains("secret_word = 'rosebud'"), "{some}");
    assert!(some.contains(".password = <hidden>"), "{some}");
    assert!(some.contains("number = <hidden>"), "{some}");
    ends_untouched(program);
}

/// Of a module that is being run: what its code names, in that order, then the rest.
fn of_modules(python: &Interpreter) {
    let program = woken_target(python, "variables.py", &[]);
    let lines = below(&shown(&program, &["--locals"]), "<module>");
    let expected = [
        "collections = <module collections at >",
        "sys = <module sys at >",
        "threading = <module threading at >",
        "time = <module time at >",
        "ran = []",
        "ready = [True]",
    ];
    assert_eq!(lines[..expected.len()], expected);
    let twice = lines.iter().filter(|line| *line == "twice = 1");
    assert_eq!(twice.count(), 1, "{lines:#?}");
    assert!(
        !lines.iter().any(|line| line.starts_with("__")),
        "{lines:#?}"
    );
    ends_untouched(program);
}

fn own_repr(python: &Interpreter) {
    let mut program = woken_target(python, "variables.py", &["repr"]);
    for via in WAYS {
        let lines = below(
            &shown(&program, &["--locals", "--repr", "--via", via]),
            "own",
        );
        let long = format!("long_ = {}...", "long ".repeat(40));
        assert_eq!(
            lines,
            [
                "raises = <its repr raised an exception>",
                "exits = <its repr raised an exception>",
                "recurses = <its repr raised an exception>",
                "lies = <its repr raised an exception>",
                &long,
                "controls = <__main__.Text at  'x'>",
            ]
        );
    }
    let text = shown(&program, &["--locals"]);
    assert!(text.contains("raises = <__main__.Raises at 0x"), "{text}");
    program.say("");
    let ended = program.end();
    assert_eq!(ended.out(), "ready\nran []\n");
    assert_eq!(ended.err(), "");
    ended.expect_code(7);
}

/// Then there are the stacks, as read from memory; and all is well once it comes back.
fn repr_that_blocks(python: &Interpreter) {
    let mut command = target(python, "variables.py");
    command
        .args(["repr", "blocks"])
        .env("SLEEPER_AGENT_DEADLINE", "0.5");
    let mut program = Program::start(&mut command).ready();
    wait_agent(program.pid());
    let begun = Instant::now();
    let text = shown(&program, &["--locals", "--repr", "--via", "wake"]);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        text.contains("\nRead from memory, without the GIL: "),
        "{text}"
    );
    assert!(text.contains(", in own\n"), "{text}");
    program.say("");
    let ended = program.end();
    assert_eq!(ended.out(), "ready\nran []\n");
    ended.expect_code(7);
}

fn only_where_they_are_shown(python: &Interpreter) {
    let program = woken_target(python, "variables.py", &[]);
    let pid = program.pid().to_string();
    let ended = activate(["--format", "plain", "--locals", &pid]);
    ended.expect_code(2);
    assert_eq!(ended.out(), "");
    assert!(
        ended.err().contains("the plain format shows no variables"),
        "{}",
        ended.err()
    );
    for strange in [
        ["--value-length", "0"],
        ["--value-depth", "21"],
        ["--secrets", "a\nb"],
    ] {
        let ended = activate(strange.iter().copied().chain([&pid[..]]));
        ended.expect_code(2);
    }
    ends_untouched(program);
}

fn of_greenlets(python: &Interpreter) {
    for (set, target, function) in [
        ("greenlet-1", "greenlets.py", "inner"),
        ("greenlet-2", "greenlets.py", "inner"),
        ("gevent", "gevents.py", "sleeps"),
        ("eventlet", "eventlets.py", "sleeps"),
    ] {
        let (mut program, _) = start(python, set, &[target]);
        are_shown(&program, "greenlets", function);
        program.say("");
        program.end().expect_code(7);
    }
}

fn of_generators(python: &Interpreter) {
    for (set, target) in [
        ("tornado-4", "tornados.py"),
        ("tornado-5", "tornados.py"),
        ("twisted", "twisteds.py"),
        ("twisted-15", "twisteds.py"),
    ] {
        let (mut program, _) = start(python, set, &[target]);
        are_shown(&program, "coroutines", "sleeps");
        // Each frame of a chain has its own.
        let document = document_with(&program, &["--locals"]);
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
        program.say("");
        let ended = program.end();
        ended.expect_code(7);
        assert!(ended.out().contains("\nleft False\n"), "{}", ended.out());
    }
}

fn document_with(program: &Program, options: &[&str]) -> Value {
    let arguments = [&["--format", "json", "--greenlets"], options].concat();
    as_the_schema_says(&shown(program, &arguments))
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

/// What is suspended in this function has its variables, in both formats and both ways, under the same
/// options as threads.
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
            let document = document_with(program, &options);
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
        let document = document_with(program, &["--globals", "--via", via]);
        for frame in frames_of(&document) {
            assert_eq!(values(&frame["locals"]), []);
            let globals = values(&frame["globals"]);
            assert!(globals.contains(&("many", &large(200))), "{frame:#}");
        }
        for frame in frames_of(&document_with(program, &["--via", via])) {
            assert!(frame["locals"].is_null() && frame["globals"].is_null());
        }
        let text = shown(program, &["--greenlets", "--locals", "--via", via]);
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
