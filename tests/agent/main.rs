//! The agent on every real interpreter of this machine: one trial for each case and interpreter.

mod cases_absent;
mod cases_activator;
mod cases_colours;
mod cases_company;
mod cases_corrupt;
mod cases_descriptors;
mod cases_detour;
mod cases_diff;
mod cases_embedded;
mod cases_endurance;
mod cases_faults;
mod cases_format;
mod cases_full;
mod cases_generators;
mod cases_greenlets;
mod cases_import;
mod cases_install;
mod cases_library;
mod cases_list;
mod cases_many;
mod cases_meanwhile;
mod cases_mortal;
mod cases_peers;
mod cases_programs;
mod cases_replaced;
mod cases_sa_run;
mod cases_unharmed;
mod cases_variables;
mod cases_waits;
mod cases_wake;
mod cases_watch;
mod cases_weird;

use libtest_mimic::{Arguments, Trial};
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use tests::compile::have_compiler;
use tests::interpreters::{self, Interpreter};
use tests::product;

/// What a case can't do without, and what to say where it is missing.
#[derive(Clone, Copy, PartialEq)]
pub enum Need {
    /// Nothing but the interpreter.
    Nothing,
    /// The right to become another user.
    Root,
    /// That right, and an interpreter that every user may run.
    ForAnyone,
    /// A C compiler.
    Compiler,
    /// A C compiler, and an interpreter with a shared libpython.
    SharedLibrary,
    /// An interpreter that is no debug build.
    NoDebug,
    /// greenlet, gevent, eventlet, Tornado and Twisted (tests/interpreters/packages.sh).
    Packages,
    /// A kernel thread: no container shows one.
    KernelThread,
    /// A case for one interpreter that stands for all.
    OnlyOne,
}

thread_local! {
    /// What the panic of a case said, and where: shown once, with the failed trial.
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A case for each interpreter.
type Case = (&'static str, Need, fn(&Interpreter));

/// A case that needs none.
type PlainCase = (&'static str, Need, fn());

const CASES: &[(&str, &[Case])] = &[
    ("format", cases_format::CASES),
    ("full", cases_full::CASES),
    ("variables", cases_variables::CASES),
    ("waits", cases_waits::CASES),
    ("descriptors", cases_descriptors::CASES),
    ("colours", cases_colours::CASES),
    ("watch", cases_watch::CASES),
    ("diff", cases_diff::CASES),
    ("greenlets", cases_greenlets::CASES),
    ("replaced", cases_replaced::CASES),
    ("generators", cases_generators::CASES),
    ("import", cases_import::CASES),
    ("programs", cases_programs::CASES),
    ("absent", cases_absent::CASES),
    ("activator", cases_activator::CASES),
    ("meanwhile", cases_meanwhile::CASES),
    ("faults", cases_faults::CASES),
    ("mortal", cases_mortal::CASES),
    ("detour", cases_detour::CASES),
    ("wake", cases_wake::CASES),
    ("peers", cases_peers::CASES),
    ("company", cases_company::CASES),
    ("many", cases_many::CASES),
    ("list", cases_list::CASES),
    ("sa_run", cases_sa_run::CASES),
    ("embedded", cases_embedded::CASES),
    ("unharmed", cases_unharmed::CASES),
    ("weird", cases_weird::CASES),
    ("corrupt", cases_corrupt::CASES),
    ("endurance", cases_endurance::CASES),
];

const PLAIN_CASES: &[(&str, &[PlainCase])] = &[
    ("absent", cases_absent::PLAIN_CASES),
    ("activator", cases_activator::PLAIN_CASES),
    ("sa_run", cases_sa_run::PLAIN_CASES),
    ("library", cases_library::PLAIN_CASES),
    ("install", cases_install::PLAIN_CASES),
    ("faults", cases_faults::PLAIN_CASES),
    ("detour", cases_detour::PLAIN_CASES),
    ("wake", cases_wake::PLAIN_CASES),
    ("many", cases_many::PLAIN_CASES),
    ("greenlets", cases_greenlets::PLAIN_CASES),
    ("list", cases_list::PLAIN_CASES),
];

/// Why the case can't be run, if it can't.
fn lacking(need: Need, python: Option<&Interpreter>) -> Option<&'static str> {
    // SAFETY: geteuid has no conditions.
    let root = unsafe { libc::geteuid() } == 0;
    match need {
        Need::Root | Need::ForAnyone if !root => Some("not root"),
        Need::ForAnyone if python.is_some_and(|one| !one.is_for_anyone()) => {
            Some("other users may not run it")
        }
        Need::Compiler | Need::SharedLibrary if !have_compiler() => Some("no C compiler cc"),
        Need::SharedLibrary if python.is_some_and(|one| one.embeddable.is_none()) => {
            Some("no shared libpython")
        }
        Need::KernelThread if tests::procfs::read(2, "comm").trim() != "kthreadd" => {
            Some("no kernel thread is to be seen")
        }
        Need::Packages => python.and_then(cases_greenlets::lacking),
        Need::NoDebug if python.is_some_and(|one| one.debug) => {
            Some("a debug build does not bear pthread_exit there")
        }
        _ => None,
    }
}

/// A trial that only tells, by its name, what was not run and why.
fn ignored(name: String) -> Trial {
    Trial::test(name, || Err("it can't be run here".into())).with_ignored_flag(true)
}

fn trial(name: String, lacking: Option<&str>, case: impl FnOnce() + Send + 'static) -> Trial {
    match lacking {
        Some(why) => ignored(format!("{name} (skipped: {why})")),
        None => Trial::test(name, move || {
            let result = panic::catch_unwind(AssertUnwindSafe(case));
            result.map_err(|_| LAST_PANIC.take().into())
        }),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    tests::process::signals_as_usual();
    panic::set_hook(Box::new(|info| LAST_PANIC.set(info.to_string())));
    if let Err(why) = product::find() {
        eprintln!("cannot test: {why}");
        return ExitCode::FAILURE;
    }
    let found = interpreters::find();
    found.announce();
    if let Some(why) = found.trouble() {
        eprintln!("cannot test: {why}");
        return ExitCode::FAILURE;
    }

    let mut trials = Vec::new();
    for (subject, cases) in PLAIN_CASES {
        for &(name, need, case) in *cases {
            trials.push(trial(
                format!("{subject}::{name}"),
                lacking(need, None),
                case,
            ));
        }
    }
    for (index, python) in found.interpreters.iter().enumerate() {
        for (subject, cases) in CASES {
            for &(name, need, case) in *cases {
                if need == Need::OnlyOne && index > 0 {
                    continue;
                }
                let name = format!("{}::{subject}::{name}", python.label);
                let why = lacking(need, Some(python));
                let python = python.clone();
                trials.push(trial(name, why, move || case(&python)));
            }
        }
    }
    for line in &found.missing {
        trials.push(ignored(line.clone()));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
