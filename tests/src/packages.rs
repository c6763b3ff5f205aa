//! greenlet, gevent, eventlet, Tornado and Twisted for Python 2.7, installed by
//! tests/interpreters/packages.sh.

use crate::ask::{target, woken};
use crate::interpreters::Interpreter;
use crate::process::Program;
use crate::procfs::settle;
use crate::product::product;
use crate::said::Said;
use std::path::PathBuf;

/// The name of an empty set.
pub const NONE: &str = "none";

/// The folder of the sets.
fn folder() -> PathBuf {
    product().root.join(".tools/python2.7-packages")
}

/// The reason why this interpreter has no packages, if it has none.
pub fn lacking(python: &Interpreter) -> Option<&'static str> {
    if python.version != (2, 7) {
        return Some("the packages are there for 2.7");
    }
    if python.debug {
        return Some("extension modules from elsewhere do not fit a debug build");
    }
    (!folder().join("complete").exists())
        .then_some("`make test`, which installs packages for it, could not")
}

/// A target that can import one of the sets, once all its threads sleep, and what it has printed.
#[track_caller]
pub fn woken_with(
    python: &Interpreter,
    set: &str,
    name: &str,
    arguments: &[&str],
) -> (Program, Said) {
    let mut command = target(python, name);
    command
        .env("PYTHONPATH", folder().join(set))
        .args(arguments);
    let program = woken(&mut command);
    settle(program.pid());
    let said = Said::by(&program);
    (program, said)
}
