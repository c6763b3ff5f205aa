//! The runner's own trials: the runner notices every way to lose a program and every fault of an
//! activator, and accepts what is right.

use crate::dice::Dice;
use crate::extent::Share;
use crate::header::{Ends, Life, Need, Tortured};
use crate::planned::Planned;
use crate::reasons::normalised;
use crate::said::{Said, Tally};
use crate::start::Lost;
use crate::tormenting::Torment;
use crate::ways::{PATIENCE, WAYS, Way};
use std::time::Duration;
use tests::interpreters::Interpreter;
use tests::scratch::Scratch;

/// The beginning of all these programs.
const BEGIN: &str = "
import os, signal, sys, time
FOLDER = os.environ['TORTURE_FOLDER']
def say(word):
    sys.stdout.write(word + '\\n')
    sys.stdout.flush()
def until_stopped():
    say('ready')
    while not os.path.exists(os.path.join(FOLDER, 'stop')):
        time.sleep(0.01)
";

/// A program that must be lost: its name, its header, its code, and the expected report.
type Losing = (&'static str, &'static str, &'static str, &'static str);

const LOSING: &[Losing] = &[
    (
        "crash",
        "",
        "say('ready'); time.sleep(0.2); os.kill(os.getpid(), signal.SIGSEGV)",
        "killed by SIGSEGV",
    ),
    (
        "crash_at_the_end",
        "",
        "until_stopped(); say('intact'); os.kill(os.getpid(), signal.SIGABRT)",
        "killed by SIGABRT",
    ),
    (
        "not_intact",
        "",
        "until_stopped()",
        "without saying that it is intact",
    ),
    (
        "not_intact_in_its_file",
        "# prints: file",
        "until_stopped(); say('intact')",
        "without saying that it is intact",
    ),
    (
        "complaint",
        "",
        "until_stopped(); sys.stderr.write('a word\\n'); say('intact')",
        "saying: a word",
    ),
    (
        "wrong_data",
        "",
        "until_stopped(); assert 1 == 2, 'one is two'",
        "saying: AssertionError: one is two",
    ),
    (
        "wrong_status",
        "# ends: 4",
        "until_stopped(); say('intact'); sys.exit(3)",
        "ended with status 3",
    ),
    (
        "wrong_signal",
        "# life: brief\n# ends: SIGTERM\n# prints: nothing",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "killed by SIGKILL",
    ),
    (
        "hang_at_the_end",
        "",
        "until_stopped(); say('intact'); time.sleep(300)",
        "it hangs",
    ),
    (
        "process_left_behind",
        "# life: brief",
        "sys.stdout.flush()\nif os.fork() == 0: time.sleep(300)\nsay('intact')",
        "left 1 processes behind",
    ),
    (
        "not_ready",
        "",
        "say('intact')",
        "it did not get ready; the program: ended with status 0",
    ),
    (
        "refusal",
        "",
        "say('ready'); os.kill(os.getpid(), signal.SIGSTOP); until_stopped(); say('intact')",
        "refused: it is stopped",
    ),
    (
        "agent_gone",
        "",
        "if os.environ.pop('LD_PRELOAD', None): os.execv(sys.executable, [sys.executable] + \
         sys.argv)\nuntil_stopped(); say('intact')",
        "refused: there is no sleeper agent in it",
    ),
];

/// A program that is not lost, however it is asked.
const KEEPING: &str = "until_stopped(); say('intact')";

/// A header with a deadline of zero, so that only the way in's patience counts.
const AT_ONCE: &str = "# deadline: 0";

/// Ways in that fail, and the expected report of each.
const FAILING: &[(Way, &str)] = &[
    (failing("late", &[], Duration::ZERO), "the command hangs"),
    (
        failing("unknown_way", &["--no-such-argument"], PATIENCE),
        "the activator failed, exit status: 2",
    ),
    (
        failing("no_gdb", &["--gdb", "/bin/true"], PATIENCE),
        "refused: /bin/true ended before it did anything",
    ),
    (
        failing("chatter", &["-v"], PATIENCE),
        "the activator complained, exit status: 0",
    ),
    (
        failing("help", &["--help"], PATIENCE),
        "the activator told of no thread, exit status: 0",
    ),
];

const fn failing(
    name: &'static str,
    arguments: &'static [&'static str],
    patience: Duration,
) -> Way {
    Way {
        name,
        arguments,
        before: Duration::ZERO,
        patience,
        activations: 0,
        from_within: None,
        loads: false,
    }
}

fn torment(python: &Interpreter, header: &str, code: &str, way: &Way) -> Result<Tally, Lost> {
    let folder = Scratch::new();
    let text = format!("\"\"\"Is lost.\"\"\"\n{header}\n{BEGIN}\n{code}\n");
    folder.write("losing.py", &text);
    let programs = Tortured::parse(&folder, "losing", &text).unwrap();
    let mut torment = Torment {
        tortured: &programs[0],
        python,
        way,
        share: Share {
            activations: 3,
            starts: 2,
            longest: Duration::MAX,
            from_within: None,
        },
        limit: Duration::from_secs(3),
        dice: Dice::new(1, "losing"),
        tally: Tally::default(),
        asked: Default::default(),
    };
    torment.run().map(|()| torment.tally)
}

fn expect_lost(result: Result<Tally, Lost>, expected: &str) {
    match result {
        Ok(_) => panic!("nothing was noticed; expected: {expected}"),
        Err(Lost { what, details }) => {
            assert!(
                what.contains(expected),
                "not {expected:?}: {what}\n{details}"
            );
        }
    }
}

/// The trials.
pub fn planned(python: &Interpreter) -> Vec<Planned> {
    let mut list = Vec::new();
    let mut add = |name: &str, check: Box<dyn Fn(&Interpreter) + Send>| {
        let python = python.clone();
        list.push(Planned::new(format!("noticing::{name}"), move || {
            check(&python);
            Ok(())
        }));
    };
    for &(name, header, code, expected) in LOSING {
        add(
            name,
            Box::new(move |python| {
                expect_lost(torment(python, header, code, &WAYS[0]), expected);
            }),
        );
    }
    for (way, expected) in FAILING {
        add(
            way.name,
            Box::new(move |python| expect_lost(torment(python, AT_ONCE, KEEPING, way), expected)),
        );
    }
    add("nothing_lost", Box::new(nothing_lost));
    add("headers", Box::new(|_| headers()));
    add("reasons", Box::new(|_| reasons()));
    list
}

fn nothing_lost(python: &Interpreter) {
    let tally = torment(python, "", KEEPING, &WAYS[0]).unwrap_or_else(|lost| panic!("{lost:?}"));
    assert_eq!((tally.answered, tally.activations()), (3, 3));
    let code = "sys.stdout.flush(); time.sleep(0.2); os.kill(os.getpid(), signal.SIGTERM)";
    let header = "# life: brief\n# ends: SIGTERM\n# prints: nothing";
    torment(python, header, code, &WAYS[0]).unwrap_or_else(|lost| panic!("{lost:?}"));
}

fn headers() {
    let folder = std::path::Path::new("/");
    let parse = |text: &str| Tortured::parse(folder, "name", text);
    let text = "#!/usr/bin/python\n\"\"\"Is brief.\n\nMore.\n\"\"\"\n# life: brief\n\n\
                # Prose: of no concern.\n# ends: SIGKILL\n# killed after: 0.5\n# needs: root cc\n\
                # may say: within 0.5 s; no\n# may say: 2: yes\n# variants: one two\n\
                import os\n# life: steady\n";
    let programs = parse(text).unwrap();
    let titles: Vec<String> = programs.iter().map(|one| one.title(" ")).collect();
    assert_eq!(titles, ["name one", "name two"]);
    let one = &programs[1];
    assert_eq!((one.what.as_str(), one.life), ("Is brief.", Life::Brief));
    assert_eq!(one.ends, Ends::Signal(libc::SIGKILL));
    assert_eq!(one.killed_after, Some(Duration::from_millis(500)));
    assert_eq!(one.needs, [Need::Root, Need::Compiler]);
    assert_eq!(one.may_say, ["within # s; no", "#: yes"]);
    for wrong in [
        "import os\n",
        "\"\"\"\"\"\"\n",
        "\"\"\"Has no end.\n",
        "\"\"\"One.\"\"\"\n# life: long\n",
        "\"\"\"One.\"\"\"\n# lives: brief\n",
        "\"\"\"One.\"\"\"\n# ends: SIGNOT\n",
        "\"\"\"One.\"\"\"\n# needs: gold\n",
        "\"\"\"One.\"\"\"\n# deadline: soon\n",
        "\"\"\"One.\"\"\"\n# per start: 0\n",
        "\"\"\"One.\"\"\"\n# life: brief\n# life: brief\n",
        "\"\"\"One.\"\"\"\n# killed after: 1\n",
        "\"\"\"One.\"\"\"\n# may say:\n",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

fn reasons() {
    assert_eq!(normalised("in 0.5 s. PID 12: x3.y"), "in # s. PID #: x#.y");
    assert_eq!(normalised("#.# s, 3. s, 1.2.3"), "# s, #. s, #");
    let brief =
        "\"\"\"One.\"\"\"\n# life: brief\n# may say: the GIL was not released within #.# s\n";
    let brief = &Tortured::parse(std::path::Path::new("/"), "one", brief).unwrap()[0];
    let steady = Tortured {
        life: Life::Steady,
        ..brief.clone()
    };
    let listed = Said::FromMemory(normalised(
        "the GIL was not released within 0.5 s; thread 7 holds",
    ));
    let gone = Said::Refused("it exited while it was being asked".to_owned());
    let odd = Said::Refused("its agent gave no answer at all".to_owned());
    for main in [true, false] {
        assert!(listed.is_right(brief, main) && listed.is_right(&steady, main));
        assert!(gone.is_right(brief, main));
        assert!(!odd.is_right(brief, main) && !odd.is_right(&steady, main));
        assert_eq!(gone.is_right(&steady, main), !main);
    }
}
