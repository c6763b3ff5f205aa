//! Every package, installed as its users do, on every system that can be had here: see README.md.
//!
//! The short form is a part of `make test`; `SLEEPER_SYSTEMS=full` is `make systems`.

mod debian;
mod installation;
mod native;
mod packages;
mod questions;
mod results;
mod same_bytes;
mod tarball;
mod twice;
mod wheel;

use libtest_mimic::{Arguments, Trial};
use results::Row;
use std::process::ExitCode;
use tests::trials;

/// Environment variable: `full`, or unset for the short form.
const FORM: &str = "SLEEPER_SYSTEMS";

/// The trials, and the names of those that cannot run here.
struct Plan {
    trials: Vec<Trial>,
    skipped: Vec<String>,
}

impl Plan {
    fn add(&mut self, name: &str, lacking: Option<String>, work: impl FnOnce() + Send + 'static) {
        let work = || {
            trials::catch(|| {
                work();
                Ok(())
            })
        };
        self.trials.push(match lacking {
            None => Trial::test(name, work),
            Some(why) => {
                let name = trials::skipped(name, &why);
                self.skipped.push(name.clone());
                trials::ignored(name)
            }
        });
    }

    /// A trial that adds a row to the table.
    fn add_row(
        &mut self,
        name: &str,
        lacking: Option<String>,
        work: impl FnOnce() -> Row + Send + 'static,
    ) {
        self.add(name, lacking, || work().keep());
    }
}

fn plan(full: bool, no_roots: Option<String>) -> Plan {
    let mut plan = Plan {
        trials: Vec::new(),
        skipped: Vec::new(),
    };
    let package = |ending: &str| packages::find(ending).err();
    let wheel = || package(".whl");
    plan.add(
        "wheel::its_record_is_right",
        wheel(),
        wheel::its_record_is_right,
    );
    let old: &[&'static str] = if full { &wheel::OLD_PIPS } else { &[] };
    for pip in old.iter().copied().chain([wheel::LAST_PIP]) {
        let lacking = wheel().or_else(|| wheel::python().err());
        plan.add_row(&format!("wheel::pip_{pip}"), lacking, move || {
            wheel::with_pip(pip)
        });
    }
    let lacking = wheel().or_else(wheel::lacks_python_3);
    plan.add_row("wheel::python_3", lacking, wheel::with_python_3);
    let tarball = || package(".tar.gz");
    plan.add_row("tarball", tarball(), tarball::from_where_it_is_unpacked);
    let lacking = wheel().or_else(tarball).or_else(|| wheel::python().err());
    plan.add("twice", lacking, twice::in_one_program);
    let lacking = package(".deb").or_else(|| native::lacking("dpkg"));
    plan.add_row("deb", lacking, native::deb);
    let lacking = package(".rpm").or_else(|| native::lacking("rpm"));
    plan.add_row("rpm", lacking, native::rpm_package);
    plan.add(
        "same_bytes::packed_again",
        same_bytes::lacking(),
        same_bytes::packed_again,
    );
    if full {
        let lacking = same_bytes::lacking().or_else(same_bytes::has_changes);
        plan.add("same_bytes::built_again", lacking, same_bytes::built_again);
    }
    let releases = if full {
        &debian::RELEASES[..]
    } else {
        &debian::RELEASES[..1]
    };
    for release in releases {
        let lacking = no_roots.clone().or_else(|| debian::lacking(release));
        plan.add_row(&format!("debian::{release}"), lacking, move || {
            debian::release(release)
        });
    }
    plan
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if let Err(why) = trials::begin() {
        eprintln!("cannot test: {why}");
        return ExitCode::FAILURE;
    }
    let full = match std::env::var(FORM).as_deref() {
        Err(_) | Ok("" | "short") => false,
        Ok("full") => true,
        Ok(other) => {
            eprintln!("cannot test: {FORM} is neither short nor full: {other}");
            return ExitCode::FAILURE;
        }
    };
    // Before the first thread starts.
    let no_roots = debian::mount_apart().err();
    let Plan { trials, skipped } = plan(full, no_roots);
    let ended = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        println!("\n{}", results::table());
    }
    if full && !arguments.list && arguments.filter.is_none() && arguments.skip.is_empty() {
        results::write(!ended.has_failed(), &skipped);
    }
    ended.exit_code()
}
