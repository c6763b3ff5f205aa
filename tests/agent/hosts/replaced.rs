//! Programs that have replaced functions or modules that an agent might rely on.

use serde_json::{Value, json};
use tests::ask::{WAYS, answer_by_wake, full_answer_with_greenlets, woken_code};
use tests::case;
use tests::document::{document, document_with_greenlets as with_greenlets};
use tests::interpreters::Interpreter;
use tests::packages::{self, woken_with};
use tests::procfs::settle;

/// A program that has overwritten objects of the standard library, with an object whose class lies.
const NONSENSE: &str = "import Queue, linecache, sys, threading, time
class Liar(threading.Thread):
    pass
class Lies(dict):
    get = __getitem__ = __contains__ = lambda *_: 1 / 0
semaphore, lock, queue = threading.Semaphore(0), threading.RLock(), Queue.Queue()
lock.acquire()
for work in semaphore.acquire, lock.acquire, queue.get:
    one = Liar(target=work)
    one.setDaemon(True)
    one.start()
time.sleep(0.3)
Liar.__len__ = Liar.__nonzero__ = Liar.__eq__ = Liar.__hash__ = lambda *_: 1 / 0
semaphore._Semaphore__value = 10 ** 60
lock._RLock__owner, lock._RLock__count = [10 ** 60, one, 1.5][int(sys.argv[1])], 'many'
queue.queue, queue.maxsize = Lies(), None
if sys.argv[1] == '2':
    queue.__dict__ = Lies()
    linecache.getline = lambda *_: 7
sys.stdout.write('ready\\n'); sys.stdout.flush()
sys.stdin.readline()
";

case!(nonsense_in_locks);
fn nonsense_in_locks(python: &Interpreter) {
    for number in ["0", "1", "2"] {
        let program = woken_code(python, NONSENSE, &[number]);
        settle(program.pid());
        let document = document(program.pid(), "wake");
        assert_eq!(document["note"], Value::Null);
        let threads = document["threads"].as_array().unwrap();
        assert_eq!(threads.len(), 4);
        let waits = |kind| {
            let mut threads = threads.iter().map(|thread| &thread["waits_for"]);
            threads.find(|wait| wait["kind"] == kind).cloned()
        };
        assert_eq!(waits("semaphore").expect("it waits")["value"], 0);
        let lock = waits("rlock").expect("it waits");
        assert_eq!(lock["count"], 0, "{lock}");
        assert_eq!(document["deadlocks"], json!([]));
    }
}

/// Names in code objects may be instances of the program's own class.
const OWN_NAMES: &str = "
import sys, types
ran = []
class Name(str):
    def own(*_):
        ran.append(1)
        raise ValueError
    __len__ = __eq__ = __lt__ = __hash__ = __getitem__ = __iter__ = translate = own
def waits():
    sys.stdin.readline()
old = waits.func_code
code = types.CodeType(
    old.co_argcount, old.co_nlocals, old.co_stacksize, old.co_flags, old.co_code, old.co_consts,
    old.co_names, old.co_varnames, Name('odd.py'), Name('odd'), old.co_firstlineno, old.co_lnotab)
sys.stdout.write('ready\\n'); sys.stdout.flush()
types.FunctionType(code, globals())()
sys.stdout.write('ran %s\\n' % ran)
sys.exit(7)
";

case!(names_of_own_class);
fn names_of_own_class(python: &Interpreter) {
    let program = woken_code(python, OWN_NAMES, &[]);
    settle(program.pid());
    let out = answer_by_wake(program.pid());
    assert!(out.starts_with("### Thread "), "{out}");
    assert!(
        out.contains("  File \"odd.py\", line 10, in odd\n"),
        "{out}"
    );
    let document = document(program.pid(), "wake");
    assert_eq!(document["note"], Value::Null);
    let frames = document["threads"][0]["frames"].as_array().unwrap();
    let last = frames.last().unwrap();
    assert_eq!([&last["file"], &last["function"]], ["odd.py", "odd"]);
    let ended = program.ends();
    assert_eq!(ended.out(), "ready\nran []\n");
}

case!(own_built_ins, Packages);
/// The agent does not call the program's replacements of built-in functions.
fn own_built_ins(python: &Interpreter) {
    for (set, file) in [
        ("gevent", "gevents.py"),
        ("tornado-5", "tornados.py"),
        ("twisted", "twisteds.py"),
    ] {
        let (program, _) = woken_with(python, set, "own_built_ins.py", &[file]);
        let document = with_greenlets(program.pid(), "wake");
        let (greenlets, coroutines) = (&document["greenlets"], &document["coroutines"]);
        let told = [greenlets, coroutines].map(|all| all["suspended"].as_array().unwrap().len());
        assert!(told.iter().sum::<usize>() > 5, "{document:#}");
        let ended = program.ends();
        assert!(!ended.err().contains("the agent calls"), "{}", ended.err());
    }
}

case!(nonsense_in_place_of_greenlets);
fn nonsense_in_place_of_greenlets(python: &Interpreter) {
    for nonsense in ["classes", "objects", "no_modules", "collector"] {
        let (program, _) = woken_with(python, packages::NONE, "greenlet_modules.py", &[nonsense]);
        for via in WAYS {
            let document = with_greenlets(program.pid(), via);
            // Null, not an empty list: the greenlets are unknown.
            assert_eq!(document["greenlets"], Value::Null, "{document:#}");
            assert_eq!(document["threads"].as_array().unwrap().len(), 1);
        }
        let ended = program.ends();
        let out = ended.out();
        assert!(out.ends_with(", ran []\n"), "{nonsense}: {out}");
    }
}

case!(collector_replaced, Packages);
/// Only gc.get_objects finds the greenlets, and the agent does not call the program's replacement.
fn collector_replaced(python: &Interpreter) {
    let (program, _) = woken_with(python, "gevent", "greenlets.py", &["collector"]);
    for via in WAYS {
        let out = full_answer_with_greenlets(program.pid(), via);
        assert!(out.contains("\nGreenlets cannot be found here.\n"), "{out}");
        assert!(!out.contains("### Greenlet"), "{out}");
    }
    let ended = program.ends();
    let out = ended.out();
    assert!(out.ends_with("\nran []\n"), "{out}");
}
