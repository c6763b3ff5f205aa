//! The optional import: alone, and in a program that already has the agent.

use tests::ask::{importing, manual_state, place_shim, preloaded_python, state, woken};
use tests::case;
use tests::interpreters::Interpreter;
use tests::process::run;
use tests::procfs::{agents, settle};
use tests::product::product;
use tests::scratch::Scratch;

/// A program that imports the module and waits.
const WAITING: &str = "
import sys, sleeper_agent
def waiting_here():
    sys.stdout.write('ready\\n')
    sys.stdout.flush()
    sys.stdin.readline()
waiting_here()
sys.exit(7)
";

case!(equal_on_one_line);
fn equal_on_one_line(python: &Interpreter) {
    let folder = Scratch::new();
    place_shim(python, &folder);
    for preload in [false, true] {
        let mut command = importing(python, preload, &folder);
        let ended = run(command.arg(product().target("one_line.py")));
        ended.expect_code(0);
        assert_eq!(ended.out(), "compared\nTrue\n", "preload {preload}");
        assert_eq!(ended.err(), "");
    }
}

fn waiting(python: &Interpreter, preload: bool, ask: impl Fn(i32) -> String) {
    let folder = Scratch::new();
    place_shim(python, &folder);
    let mut command = importing(python, preload, &folder);
    let program = woken(command.args(["-c", WAITING]));
    settle(program.pid());
    for _ in 0..3 {
        let text = ask(program.pid());
        assert_eq!(text.matches("### Thread ").count(), 1, "{text}");
        assert!(
            text.ends_with("File \"<string>\", line 6, in waiting_here\n"),
            "{text}"
        );
        assert_eq!(agents(program.pid()), 1);
    }
    let ended = program.end();
    ended.expect_code(7);
    assert_eq!(ended.err(), "");
}

case!(without_preload);
fn without_preload(python: &Interpreter) {
    waiting(python, false, state);
    waiting(python, false, manual_state);
}

case!(with_preload);
fn with_preload(python: &Interpreter) {
    waiting(python, true, state);
    waiting(python, true, manual_state);
}

case!(twice);
/// Imported from two places, reloaded, and imported by a child: one agent each.
fn twice(python: &Interpreter) {
    let (one, other) = (Scratch::new(), Scratch::new());
    place_shim(python, &one);
    place_shim(python, &other);
    let code = "
import os, sys
sys.path.insert(0, sys.argv[1])
import sleeper_agent
first = sleeper_agent
reload(sleeper_agent)
for name in ('sleeper_agent', '_sleeper_agent_activation'):
    del sys.modules[name]
sys.path.insert(0, sys.argv[2])
import sleeper_agent
assert first._sleeper_agent_activation.sleeper_agent_state() == sleeper_agent._get_state_info()
assert sleeper_agent._sleeper_agent_activation.sleeper_agent_state() == sleeper_agent._get_state_info()
def agents():
    return [open('/proc/self/task/%s/comm' % task).read() for task in os.listdir('/proc/self/task')].count('sleeper-agent\\n')
import time
time.sleep(0.2)
assert agents() == 1, agents()
child = os.fork()
if child == 0:
    time.sleep(0.2)
    text = sleeper_agent._sleeper_agent_activation.sleeper_agent_state()
    os._exit(agents() + 10 * text.count('### Thread '))
assert os.waitpid(child, 0)[1] == 11 << 8
sys.stdout.write('one agent each\\n')
";
    let mut command = python.command();
    let ended = run(command.args(["-c", code]).arg(&*one).arg(&*other));
    ended.expect_code(0);
    assert_eq!(ended.out(), "one agent each\n");
}

case!(leaves_sys_modules_alone);
/// Without the import, a preloaded program has the same modules as without the agent.
fn leaves_sys_modules_alone(python: &Interpreter) {
    let code = "
import sys, time, ctypes
state = ctypes.CDLL(None).PyThreadState_Get
ask = getattr(ctypes.CDLL(None), 'sleeper_agent_state', None)
if ask:
    ask.restype = ctypes.c_char_p
    assert '### Thread ' in ask(), ask()
time.sleep(0.1)
sys.stdout.write('\\n'.join(sorted(sys.modules)))
";
    let plain = run(python.command().args(["-c", code]));
    plain.expect_code(0);
    let asked = run(preloaded_python(python).args(["-c", code]));
    asked.expect_code(0);
    assert_eq!(plain.out(), asked.out());
}
