//! `--locals` and `--globals`: values as text, without running the program's code, and without
//! secrets.

use protocol::names::DEADLINE_VARIABLE;
use serde_json::Value;
use std::time::{Duration, Instant};
use tests::ask::{WAYS, activate, answer, target, woken, woken_target};
use tests::case;
use tests::document::only_document;
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::variables::below;

/// Checks that the program carries on, none of its code has run, and its frames are unchanged.
#[track_caller]
fn ends_untouched(program: Program) {
    let ended = program.ends();
    assert_eq!(ended.out(), "ready\nran []\nargument first\n");
}

case!(kinds);
fn kinds(python: &Interpreter) {
    let program = woken_target(python, "variables.py", &[]);
    for via in WAYS {
        let text = answer(program.pid(), &["--locals", "--via", via]);
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
            "deque = deque([1])",
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
        let globals = below(
            &answer(program.pid(), &["--globals", "--via", via]),
            "inner",
        );
        assert_eq!(globals, ["global gate = <thread.lock at >"]);
    }
    ends_untouched(program);
}

case!(in_json);
fn in_json(python: &Interpreter) {
    let program = woken_target(python, "variables.py", &[]);
    let arguments = ["--format", "json", "--locals", "--globals"];
    let document = only_document(&answer(program.pid(), &arguments));
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
    let document = only_document(&answer(program.pid(), &["--format", "json"]));
    let none = |one: &Value| one["locals"].is_null() && one["globals"].is_null();
    assert!(frames(&document).iter().all(none));
    ends_untouched(program);
}

case!(limits);
/// However large the values are, the answer is quick and shows little of them.
fn limits(python: &Interpreter) {
    let program = woken_target(python, "variables.py", &[]);
    let lines = below(&answer(program.pid(), &["--locals"]), "kinds");
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
    let lines = below(&answer(program.pid(), &deepest), "kinds");
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
    let lines = below(&answer(program.pid(), &few), "kinds");
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

case!(secrets);
fn secrets(python: &Interpreter) {
    let program = woken_target(python, "variables.py", &[]);
    let all = answer(program.pid(), &["--locals", "--show-secrets"]);
    for told in [
        "secret_word = 'rosebud'",
        ".password = 'rosebud'",
        "'Api_Token': 'rosebud'",
        "u'Password': u'rosebud'",
    ] {
        assert!(all.contains(told), "{told}: {all}");
    }
    let some = answer(program.pid(), &["--locals", "--secrets", "PASS, numb"]);
    assert!(some.contains("secret_word = 'rosebud'"), "{some}");
    assert!(some.contains(".password = <hidden>"), "{some}");
    assert!(some.contains("number = <hidden>"), "{some}");
    ends_untouched(program);
}

case!(of_modules);
/// Variables of a running module: first the names in its code, in that order, then the rest. What it defines and
/// imports is only counted.
fn of_modules(python: &Interpreter) {
    let program = woken_target(python, "variables.py", &[]);
    let lines = below(&answer(program.pid(), &["--locals"]), "<module>");
    assert_eq!(lines[..2], ["ran = []", "ready = [True]"]);
    let last = lines.last().expect("a line");
    assert!(
        last.ends_with(" functions, classes and modules"),
        "{lines:#?}"
    );
    let twice = lines.iter().filter(|line| *line == "twice = 1");
    assert_eq!(twice.count(), 1, "{lines:#?}");
    assert!(
        !lines.iter().any(|line| line.starts_with("__")),
        "{lines:#?}"
    );
    ends_untouched(program);
}

case!(own_repr);
fn own_repr(python: &Interpreter) {
    let program = woken_target(python, "variables.py", &["repr"]);
    for via in WAYS {
        let lines = below(
            &answer(program.pid(), &["--locals", "--repr", "--via", via]),
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
    let text = answer(program.pid(), &["--locals"]);
    assert!(text.contains("raises = <__main__.Raises at 0x"), "{text}");
    let ended = program.ends_well();
    assert_eq!(ended.out(), "ready\nran []\n");
}

case!(repr_that_blocks);
/// The answer then has the stacks, read from memory; and all is well once the repr returns.
fn repr_that_blocks(python: &Interpreter) {
    let mut command = target(python, "variables.py");
    command
        .args(["repr", "blocks"])
        .env(DEADLINE_VARIABLE, "0.5");
    let program = woken(&mut command);
    let begun = Instant::now();
    let text = answer(program.pid(), &["--locals", "--repr", "--via", "wake"]);
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
    let ended = program.ends();
    assert_eq!(ended.out(), "ready\nran []\n");
}

case!(only_where_they_are_shown);
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
