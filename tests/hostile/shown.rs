//! What is shown of a process: no character that steers a terminal, no forged heading, no secret.

use crate::answers::{self, Answer, fake, fake_with, place, value};
use protocol::state::{Record, VERSION_LINE_START};
use tests::ask::{activate, answer, preloaded_python, woken};
use tests::document::valid_document;
use tests::ended::Ended;
use tests::interpreters::Interpreter;
use tests::process::{Program, command, run};
use tests::product::product;
use tests::{case, plain_case};

/// Characters that are never shown as they are, and text around them that is.
const EVIL: &str = "é\u{9b}31m\u{202e}\u{2066}\u{200b}\u{2028}\u{85}\u{61c}\u{ad}\u{feff}\u{e0041}\u{1b}[2J\u{7f}日";

/// Fails if a text has characters that steer a terminal or cannot be seen.
#[track_caller]
fn harmless(text: &[u8]) {
    let text = std::str::from_utf8(text).expect("UTF-8");
    let evil: Vec<char> = EVIL
        .chars()
        .filter(|one| !"é日31m[2J".contains(*one))
        .collect();
    for one in text.chars() {
        let controls = one.is_control() && one != '\n' && one != '\t';
        assert!(!controls && !evil.contains(&one), "{one:?} in {text:?}");
    }
}

/// All ways to show what a process has.
const FORMATS: [&[&str]; 5] = [
    &["--format", "plain"],
    &["--format", "full"],
    &["--format", "json"],
    &["--locals", "--greenlets"],
    &["--locals", "--format", "json", "-v"],
];

fn ask(pids: &[i32], options: &[&str]) -> Ended {
    let mut ask = command(&product().activate);
    ask.args(["--via", "wake"]).args(options);
    run(ask.args(pids.iter().map(i32::to_string)))
}

/// A state whose every text has evil characters.
fn evil_state(locals: bool) -> Vec<u8> {
    let mut details = value(|out| {
        out.pairs();
        out.number(7);
        out.pairs();
        out.key("name");
        out.text(EVIL.as_bytes());
        out.key("daemon");
        out.truth(true);
        out.key("wait");
        out.pairs();
        out.key("for");
        out.text(b"thread");
        out.key("name");
        out.text(EVIL.as_bytes());
        out.end();
        out.key("holds");
        out.list(1);
        out.list(3);
        out.number(1);
        out.text(EVIL.as_bytes());
        out.number(1);
        out.end();
        out.end();
    });
    details.extend(b"");
    let mut places = value(|out| out.list(1));
    places.extend(place(EVIL, EVIL, 3, EVIL));
    let tasks = format!("7 70 0 0x3\t3 r /{EVIL}\n");
    let mut answer = Answer::default()
        .with("more", details)
        .with("places", places)
        .with("python", value(|out| out.text(EVIL.as_bytes())))
        .with("tasks", value(|out| out.text(tasks.as_bytes())));
    if locals {
        let text = [&(EVIL.len() as u32).to_ne_bytes(), EVIL.as_bytes()].concat();
        let thread = [&[Record::Thread.letter()][..], &7_u64.to_ne_bytes(), b"F"].concat();
        answer.variables = [&thread[..], b"L", &text, &text, b"A", &text, &text].concat();
    }
    answer.bytes()
}

plain_case!(characters_that_steer_a_terminal, Compiler);
fn characters_that_steer_a_terminal() {
    let arguments = ["1", "1", EVIL];
    let lines = format!("### Thread 7:\n  File \"{EVIL}\", line 1, in {EVIL}\n    {EVIL}\n");
    let raw = b"### Thread 7:\n  File \"\x9b31m\xff\", line 1, in \xc2\n".to_vec();
    let state = |options: &[&str]| evil_state(options.contains(&"--locals"));
    for options in FORMATS {
        for text in [
            lines.as_bytes().to_vec(),
            raw.clone(),
            EVIL.into(),
            raw[17..].to_vec(),
            state(options),
        ] {
            let fake = fake_with(&text, &arguments);
            let is_state = text.starts_with(VERSION_LINE_START) && !options.contains(&"plain");
            let is_shown = is_state || text.starts_with(b"###");
            for pids in [&[fake.pid()][..], &[fake.pid(), 1]] {
                let ended = ask(pids, options);
                harmless(&ended.stdout);
                harmless(&ended.stderr);
                assert!(!ended.out().contains("\u{fffd}[") && ended.err().len() < 5_000);
                assert_eq!(!ended.stdout.is_empty(), is_shown, "{}", ended.err());
                assert!(!ended.err().contains("no answer within"), "{}", ended.err());
                if options.contains(&"json") {
                    ended.out().lines().map(valid_document).for_each(drop);
                }
            }
            let list = run(&mut command(&product().list));
            harmless(&list.stdout);
            let list = run(command(&product().list).args(["--format", "json"]));
            harmless(&list.stdout);
            let listed: serde_json::Value = serde_json::from_str(&list.out()).expect("JSON");
            let mut listed = listed["processes"].as_array().expect("a list").iter();
            let ours = listed
                .find(|one| one["pid"] == fake.pid())
                .expect("it is listed");
            assert_eq!(ours["command"][4], EVIL);
        }
    }
}

plain_case!(what_is_ordinary_stays, Compiler);
fn what_is_ordinary_stays() {
    let text = "### Thread 7:\n  File \"/é/日本.py\", line 3, in f\n\tx = '=== PID 1' # שלום €\n";
    let fake = fake(text.as_bytes(), 1);
    assert_eq!(ask(&[fake.pid()], &[]).out(), text);
}

plain_case!(forged_headings, Compiler);
fn forged_headings() {
    let forged = "=== PID 1: /sbin/init\n### Thread 8:\n  File \"x\", line 1, in x\n\n\
        === PID 2: kthreadd\nsleeper_agent_activate: PID 3: it is stopped\n\r=== PID 4: x\n";
    // Characters without a width before and between the others.
    let hidden: String = "\u{fe0f}\u{336}\u{20dd}\u{16fe4}\u{1d165}\u{1cbf}\u{11f02}"
        .chars()
        .map(|one| format!("{one}=== PID 1: /sbin/init\n={one}== PID 1: /sbin/init\n"))
        .collect();
    let lines = format!("### Thread 7:\n  File \"a\", line 1, in f\n\n{forged}{hidden}");
    let places = |text: &str| {
        let mut places = value(|out| out.list(1));
        places.extend(place(text, text, 3, text));
        places
    };
    let state = Answer::default()
        .with("places", places(&format!("a\n{forged}")))
        .bytes();
    for (text, format) in [
        (lines.as_bytes(), "plain"),
        (lines.as_bytes(), "full"),
        (&state, "full"),
        (&state, "json"),
    ] {
        let (fake, other) = (fake(text, 1), answers::fake(text, 1));
        let pids = [fake.pid(), other.pid()];
        let ended = ask(&pids, &["--format", format]);
        ended.expect_code(0);
        let out = ended.out();
        let begins_as_ours = |line: &&str| {
            let ascii: String = line.chars().filter(char::is_ascii).collect();
            ascii.starts_with("===")
        };
        let headings: Vec<&str> = out.lines().filter(begins_as_ours).collect();
        let ours = |line: &&str| {
            pids.iter()
                .any(|pid| line.starts_with(&format!("=== PID {pid}: ")))
        };
        assert_eq!(
            headings.len(),
            if format == "json" { 0 } else { 2 },
            "{out}"
        );
        assert!(headings.iter().all(ours), "{out}");
        assert!(
            !out.lines()
                .any(|line| line.starts_with("sleeper_agent_activate:")),
            "{out}"
        );
    }
}

plain_case!(forged_rows, Compiler);
/// A command line in which blanks reach to the end of the terminal's row.
fn forged_rows() {
    let arguments = |blank: &str| format!("{}=== PID 1: /sbin/init", blank.repeat(200));
    let text = b"### Thread 7:\n  File \"a\", line 1, in f\n";
    for blank in [" ", "\u{a0}", "\u{3000}", "\u{2800}"] {
        let fake = fake_with(text, &["1", "1", &arguments(blank)]);
        let asked = ask(&[fake.pid()], &["--format", "full"]).out();
        let listed = run(&mut command(&product().list)).out();
        for out in [asked, listed] {
            let is_ours = |line: &&str| line.contains("=== PID 1: /sbin/init");
            let line = out.lines().find(is_ours).expect("its command line");
            let (_, arguments) = line.split_once("/answer ").expect("its arguments");
            assert!(!arguments.contains(&blank.repeat(2)), "{arguments}");
        }
    }
}

plain_case!(what_is_typed_is_escaped);
fn what_is_typed_is_escaped() {
    let typed = "=1\n=== PID 1: /sbin/init\u{1b}[31m\u{202e}";
    let escaped = r"=1\n=== PID 1: /sbin/init\u{1b}[31m\u{202e}";
    for arguments in [
        &["--", typed][..],
        &["--children", typed],
        &["--timeout", typed, "1"],
        &["--via", typed, "1"],
        &["--diff", typed, typed],
        &["--gdb", typed, "1", "--via", typed],
    ] {
        let ended = activate(arguments);
        harmless(&ended.stderr);
        let said = ended.err();
        assert!(said.contains(escaped), "{said}");
        assert!(!said.lines().any(|line| line.starts_with("===")), "{said}");
    }
    for program in [&product().list, &product().activate, &product().sa_run] {
        let ended = run(command(program).arg(format!("--{typed}")));
        harmless(&ended.stderr);
        let said = ended.err();
        assert!(!said.lines().any(|line| line.starts_with("===")), "{said}");
    }
}

/// The program with secrets, with these arguments.
fn keeper(python: &Interpreter, arguments: &[&str]) -> Program {
    let mut program = preloaded_python(python);
    program.arg(product().hostile("secrets.py")).args(arguments);
    woken(&mut program)
}

case!(secrets_are_hidden);
fn secrets_are_hidden(python: &Interpreter) {
    let program = keeper(
        python,
        &[
            "--password",
            "rosebud",
            "--db=postgres://u:rosebud@daylight",
        ],
    );
    let pid = program.pid();
    for options in [
        &["--locals"][..],
        &["--locals", "--repr"],
        &["--locals", "--format", "json"],
        &["--locals", "--value-length", "30"],
        &["--format", "full"],
    ] {
        let out = answer(pid, &[&["--via", "wake"], options].concat());
        let shown: Vec<&str> = out
            .split(['\n', '}'])
            .filter(|line| line.contains("rosebud"))
            .collect();
        assert!(shown.is_empty(), "{options:?}: {shown:#?}");
        assert!(out.contains("<hidden>"), "{out}");
    }
    let out = answer(pid, &["--via", "wake", "--locals", "--value-items", "100"]);
    for line in [
        "pw = <hidden>",
        "pair = ('password', <hidden>)",
        "headers = [('Authorization', <hidden>), ('Accept', 'daylight')]",
        "lists = [['X-Api-Key', <hidden>], ['Accept', 'daylight']]",
        "entry = __main__.Creds(user='daylight', password=<hidden>, note='daylight')",
        "derived = __main__.Derived(user='daylight', password=<hidden>, note='daylight')",
        "'shown': 'daylight'",
        "u'shown': u'daylight'",
        ".shown = 'daylight'",
        ".value = <hidden>",
        ".value = 'daylight'",
        "dsn = 'host=daylight password=<hidden> user=daylight'",
        "address = 'https://daylight/?token=<hidden>&page=daylight'",
        "arguments = ['mysql', '--password', <hidden>, '--user', 'daylight']",
        "joined = ['mysql', '--password=<hidden>', '--user=daylight']",
        "environment = ['DB_PASSWORD=<hidden>', 'HOME=daylight']",
        "'PWD': '/daylight'",
        "author = 'daylight'",
        "monkey = 'daylight'",
        "keys = ['daylight']",
        "token_count = 'daylight'",
        "fields = ('username', 'password', 'daylight')",
        "cache_key = 'user:daylight'",
        "password_file = '/run/daylight'",
        "wait(event, password=<hidden>, where='daylight')",
        " --password <hidden> --db=postgres://u:<hidden>@daylight\n",
        " --password=<hidden> daylight)",
    ] {
        assert!(out.contains(line), "{line} is not in {out}");
    }
    let all = answer(pid, &["--via", "wake", "--locals", "--show-secrets"]);
    assert!(
        all.matches("rosebud").count() > 25 && !all.contains("<hidden>"),
        "{all}"
    );
    for format in ["text", "json"] {
        let list = run(command(&product().list).args(["--format", format]));
        let out = list.out();
        assert!(
            out.contains(&pid.to_string()) && !out.contains("rosebud"),
            "{out}"
        );
    }
    // The plain format is traceback's text, source lines and all; its heading is ours.
    let plain = activate(["--via", "wake", &pid.to_string(), "1"]).out();
    assert!(
        plain.contains("wait(event, password='rosebud', where='daylight')"),
        "{plain}"
    );
    let heading = plain.lines().find(|line| line.starts_with("=== "));
    assert!(heading.is_some_and(|line| line.contains("<hidden>") && !line.contains("rosebud")));
    program.ends_well();
}
