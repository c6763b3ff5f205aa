//! The full format says each thing once: threads and processes that are alike, the start of threads, attributes of
//! objects; and it is cut down by options. JSON is always whole.

use serde_json::Value;
use tests::ask::{activate, answer, full_answer, woken_code};
use tests::case;
use tests::document::document_with;
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::procfs::settle;

/// Workers that wait for one queue, sleepers that sleep for different times, and one that holds a lock, for which two
/// threads wait.
const CODE: &str = "
import Queue, sys, threading, time
queue, lock = Queue.Queue(), threading.Lock()
def start(name, function, *arguments):
    thread = threading.Thread(target=function, name=name, args=arguments)
    thread.setDaemon(True)
    thread.start()
class Holder(object):
    def __init__(self):
        self.colour = 'blue'
def work(me):
    queue.get()
def nap(me, seconds):
    time.sleep(seconds)
def hold(me):
    with lock:
        time.sleep(60)
def want(me):
    with lock:
        pass
holder = Holder()
for number in range(30):
    start('worker-%d' % (number + 1), work, holder)
for number in range(2):
    start('nap %d' % number, nap, holder, 50 + number)
start('holds', hold, holder)
time.sleep(0.3)
for number in range(2):
    start('wants-%d' % number, want, holder)
def main(me):
    time.sleep(0.3)
    print('ready')
    sys.stdout.flush()
    time.sleep(60)
main(holder)
";

fn start(python: &Interpreter) -> Program {
    let program = woken_code(python, CODE, &[]);
    settle(program.pid());
    program
}

/// The lines of the entry whose heading contains this text.
#[track_caller]
fn entry<'a>(out: &'a str, heading: &str) -> Vec<&'a str> {
    let entries = out.split("\n\n").filter(|one| one.starts_with("### "));
    let mut found = entries.filter(|one| {
        one.lines()
            .next()
            .is_some_and(|line| line.contains(heading))
    });
    let (one, more) = (found.next(), found.next());
    assert!(one.is_some() && more.is_none(), "{heading}\n{out}");
    one.unwrap().lines().collect()
}

case!(threads_that_are_alike_stand_once);
fn threads_that_are_alike_stand_once(python: &Interpreter) {
    let program = start(python);
    let out = full_answer(program.pid(), "wake");
    assert!(
        out.contains("\nPython 2.") && out.contains(", 36 threads\n"),
        "{out}"
    );
    let workers = entry(
        &out,
        "### 30 threads: worker-1 … worker-30, daemons: in futex",
    );
    assert!(
        workers[1].starts_with("  - wait for an item from Queue 0x"),
        "{out}"
    );
    assert!(!workers[1].contains("; "), "one queue: {out}");
    assert_eq!(workers[2], "  ... started by the standard library ...");
    assert!(workers[3].contains(", in work"), "{out}");
    let naps = entry(&out, "### 2 threads: nap 0, nap 1, daemons: in ");
    assert!(
        naps[1].contains("50.0 s in all") && naps[1].contains("51.0 s in all"),
        "{out}"
    );
    let wants = entry(&out, "### 2 threads: wants-0, wants-1");
    assert!(wants[1].contains(" \"holds\""), "{out}");
    // Whoever keeps others waiting stands by itself, and so does one that is like no other.
    entry(&out, " \"holds\", daemon, ");
    entry(&out, " \"MainThread\", ");
    assert_eq!(out.matches("\n### Thread ").count(), 2, "{out}");
    assert!(!out.contains("__bootstrap"), "{out}");
    let each = answer(
        program.pid(),
        &["--via", "wake", "--format", "full", "--each"],
    );
    assert_eq!(each.matches("\n### Thread ").count(), 36, "{each}");
    assert_eq!(each.matches(", in __bootstrap\n").count(), 35, "{each}");
}

case!(attributes_stand_once);
fn attributes_stand_once(python: &Interpreter) {
    let program = start(python);
    let locals = |options: &[&str]| {
        answer(
            program.pid(),
            &[&["--via", "wake", "--hold", "2000", "--locals"], options].concat(),
        )
    };
    let out = locals(&[]);
    assert_eq!(
        out.matches("        .colour = 'blue'\n").count(),
        1,
        "{out}"
    );
    assert!(
        out.matches("      me = <__main__.Holder at 0x").count() >= 5,
        "{out}"
    );
    assert!(out.matches(" (see above)\n").count() >= 4, "{out}");
    // What the module defines and imports is only counted.
    assert!(
        !out.contains("= <module ") && !out.contains("= <class "),
        "{out}"
    );
    assert!(out.contains(" functions, classes and modules\n"), "{out}");
    assert!(out.contains("      number = 1\n"), "{out}");
    assert!(
        out.contains("  - the variables are those of thread "),
        "{out}"
    );
    let out = locals(&["--no-attributes"]);
    assert!(
        !out.contains("        .") && !out.contains("see above"),
        "{out}"
    );
    // JSON is whole, whatever is asked of the full format.
    let asked = [
        "--via",
        "wake",
        "--hold",
        "2000",
        "--locals",
        "--no-attributes",
        "--only-own",
        "--innermost",
        "1",
    ];
    let document = document_with(program.pid(), &asked);
    let text = document.to_string();
    assert!(text.matches("\"colour\"").count() > 36, "{text}");
    assert!(
        text.contains("<module ") && text.contains("__bootstrap"),
        "{text}"
    );
    assert_eq!(document["threads"].as_array().map(Vec::len), Some(36));
}

case!(is_cut_down_by_options);
fn is_cut_down_by_options(python: &Interpreter) {
    let program = start(python);
    let full = |options: &[&str]| {
        answer(
            program.pid(),
            &[&["--via", "wake", "--format", "full"], options].concat(),
        )
    };
    let document = document_with(program.pid(), &["--via", "wake"]);
    let threads = document["threads"].as_array().unwrap();
    let worker = threads
        .iter()
        .find(|one| one["name"] == "worker-7")
        .unwrap();
    let number = |key: &str| worker[key].as_u64().unwrap().to_string();
    for meant in ["worker-7".to_owned(), number("ident"), number("tid")] {
        let out = full(&["--thread", &meant]);
        assert!(out.contains("\n1 of them is shown (--thread)\n"), "{out}");
        let heading = entry(&out, "### Thread ")[0];
        assert!(heading.contains(" \"worker-7\", "), "{out}");
        assert!(out.starts_with("Verdict: "), "{out}");
    }
    let out = full(&["--thread", "nobody"]);
    assert!(out.contains("\n0 of them are shown (--thread)\n"), "{out}");
    let own = full(&["--only-own", "--thread", "worker-7"]);
    let workers = entry(&own, "### Thread ");
    let files: Vec<&&str> = workers
        .iter()
        .filter(|one| one.contains("  File "))
        .collect();
    assert_eq!(files.len(), 1, "{own}");
    assert!(files[0].contains(", in work"), "{own}");
    assert!(
        workers.last().unwrap().ends_with(" of libraries ..."),
        "{own}"
    );
    let innermost = full(&["--innermost", "1", "--thread", "worker-7"]);
    let workers = entry(&innermost, "### Thread ");
    assert!(workers[2].ends_with(" outer frames ..."), "{innermost}");
    assert_eq!(
        workers.iter().filter(|one| one.contains("  File ")).count(),
        1,
        "{innermost}"
    );
    // They choose the full format, and the plain one has no use for them.
    assert!(answer(program.pid(), &["--via", "wake", "--each"]).starts_with("Verdict: "));
    let refused = activate(["--format", "plain", "--each", &program.pid().to_string()]);
    refused.expect_code(2);
}

case!(idle_processes_stand_once);
fn idle_processes_stand_once(python: &Interpreter) {
    let code = "import sys, time; print('ready'); sys.stdout.flush(); time.sleep(60)";
    let alike = [(); 3].map(|()| woken_code(python, code, &[]));
    let other = start(python);
    alike.iter().for_each(|one| settle(one.pid()));
    let pids: Vec<String> = alike
        .iter()
        .chain([&other])
        .map(|one| one.pid().to_string())
        .collect();
    let full = |options: &[&str]| {
        let pids = pids.iter().map(String::as_str);
        let ended = activate(
            ["--via", "wake", "--format", "full"]
                .into_iter()
                .chain(options.iter().copied())
                .chain(pids),
        );
        ended.expect_code(0);
        ended.out()
    };
    let out = full(&[]);
    let headings: Vec<&str> = out
        .lines()
        .filter(|line| line.starts_with("=== "))
        .collect();
    assert_eq!(headings.len(), 2, "{out}");
    let folded = headings
        .iter()
        .find(|one| one.starts_with("=== PIDs "))
        .expect("an entry of several");
    for one in &alike {
        assert!(folded.contains(&one.pid().to_string()), "{out}");
    }
    assert!(
        out.contains("\n3 idle processes with the same stacks; "),
        "{out}"
    );
    assert_eq!(full(&["--each"]).matches("\n=== PID ").count(), 4);
    // Programs get all of them.
    let ended = activate(
        ["--via", "wake", "--format", "json"]
            .into_iter()
            .chain(pids.iter().map(String::as_str)),
    );
    let documents = ended
        .out()
        .lines()
        .map(serde_json::from_str::<Value>)
        .count();
    assert_eq!(documents, 4);
}
