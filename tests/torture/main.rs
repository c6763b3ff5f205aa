//! Programs that are hard to ask, asked repeatedly on every real interpreter of this machine: one trial
//! for each program, build and way in. See README.md.

mod cores;
mod dice;
mod direct;
mod extent;
mod header;
mod loads;
mod noticing;
mod planned;
mod reasons;
mod said;
mod start;
mod table;
mod tormenting;
mod ways;

use dice::Dice;
use extent::{Extent, Form, Pot};
use header::{Life, Need, Tortured};
use libtest_mimic::{Arguments, Failed, Trial};
use planned::{Left, Planned};
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use table::{DirectRow, Row};
use tests::compile::have_compiler;
use tests::interpreters::{self, Interpreter};
use tests::product::{self, product};
use tests::trials;
use tormenting::Torment;
use ways::{WAYS, Way};

/// The results of the trials.
#[derive(Default)]
struct Results {
    rows: Mutex<Vec<Row>>,
    direct: Mutex<Vec<DirectRow>>,
}

/// A whole run.
struct Run {
    extent: Extent,
    interpreters: Vec<Interpreter>,
    missing: Vec<String>,
    /// The build for the direct way, if the run includes it.
    direct: Option<Interpreter>,
    programs: Vec<Tortured>,
    results: Results,
}

/// The reason why the program cannot run here, if there is one.
fn lacking(tortured: &Tortured) -> Option<&'static str> {
    // SAFETY: geteuid has no conditions.
    let root = unsafe { libc::geteuid() } == 0;
    let lacks = |need: &Need| match need {
        Need::Root => (!root).then_some("not root"),
        Need::Compiler => (!have_compiler()).then_some("no C compiler cc"),
    };
    tortured.needs.iter().find_map(lacks)
}

/// The trial itself: one program on one build through one way in.
fn torment(
    run: &Run,
    name: &str,
    tortured: &Tortured,
    python: &Interpreter,
    way: &'static Way,
    pot: &Mutex<Pot>,
) -> Result<(), Failed> {
    let share = run
        .extent
        .share(way, &mut pot.lock().unwrap(), tortured.life);
    let mut torment = Torment {
        tortured,
        python,
        way,
        share,
        limit: start::limit_of(python),
        dice: Dice::new(run.extent.seed, name),
        tally: said::Tally::default(),
        asked: Default::default(),
    };
    let result = panic::catch_unwind(AssertUnwindSafe(|| torment.run()));
    let failure = match result {
        Ok(Ok(())) => None,
        Ok(Err(lost)) => Some((lost.what, lost.details)),
        Err(_) => {
            let said = trials::last_panic();
            Some((said.lines().next().unwrap_or_default().to_owned(), said))
        }
    };
    let activations = torment.tally.activations();
    let mut left = pot.lock().unwrap();
    left.activations = left.activations.saturating_sub(activations);
    drop(left);
    run.took(Row {
        program: tortured.title(" "),
        what: tortured.what.clone(),
        build: python.label.clone(),
        way: way.name,
        tally: torment.tally,
        lost: failure.as_ref().map(|one| one.0.clone()),
    });
    match failure {
        None => Ok(()),
        Some((what, details)) => Err(Failed::from(format!(
            "LOST after {activations} activations: {what}\n{details}"
        ))),
    }
}

/// The trials of the ways in.
fn planned(run: &Arc<Run>, arguments: &Arguments) -> Vec<Planned> {
    let builds = run.interpreters.len();
    let mut planned = Vec::new();
    for (kind, way) in WAYS.iter().enumerate() {
        let mut chosen = Vec::new();
        for (place, build) in run.interpreters.iter().enumerate() {
            for (number, program) in run.programs.iter().enumerate() {
                let name = format!("{}::{}::{}", build.label, program.title("::"), way.name);
                if !run.extent.includes(number, kind, place, builds) {
                    continue;
                }
                match lacking(program) {
                    Some(why) => planned.push(Planned::ignored(trials::skipped(&name, why))),
                    None => chosen.push((name, build.clone(), program.clone())),
                }
            }
        }
        // Only the trials that run at all share the work.
        let runs = |name: &str| !arguments.is_filtered_out(&Trial::test(name, || Ok(())));
        let count = chosen.iter().filter(|one| runs(&one.0)).count();
        let pot = Arc::new(Mutex::new(run.extent.pot(way, count as u64)));
        for (name, build, program) in chosen {
            let (run, pot) = (Arc::clone(run), Arc::clone(&pot));
            planned.push(Planned::new(name.clone(), move || {
                torment(&run, &name, &program, &build, way, &pot)
            }));
        }
    }
    planned
}

/// The trials of the direct way. None of them fails.
fn planned_direct(run: &Arc<Run>, build: &Interpreter) -> Vec<Planned> {
    let steady = run.programs.iter().filter(|one| one.life == Life::Steady);
    let plan = |program: &Tortured| {
        let name = format!("direct::{}::{}", build.label, program.title("::"));
        if let Some(why) = lacking(program) {
            return Planned::ignored(trials::skipped(&name, why));
        }
        let (run, program, build) = (Arc::clone(run), program.clone(), build.clone());
        Planned::new(name, move || {
            let row = direct::torment(&program, &build);
            run.results.direct.lock().unwrap().push(row);
            run.write();
            Ok(())
        })
    };
    steady.map(plan).collect()
}

impl Run {
    /// All results, as Markdown.
    fn tables(&self) -> String {
        let rows = self.results.rows.lock().unwrap();
        let mut text = format!("# {}\n\n", self.extent.title());
        text += &table::machine(&self.interpreters);
        if !rows.is_empty() {
            text += &table::of_rows(&rows);
        }
        if let Some(build) = &self.direct {
            text += &table::of_direct(
                &self.results.direct.lock().unwrap(),
                &build.label,
                direct::MOST,
            );
        }
        text
    }

    /// Records the result of a trial.
    fn took(&self, row: Row) {
        self.results.rows.lock().unwrap().push(row);
        self.write();
    }

    /// Writes the tables of the results so far: a long run may be interrupted.
    fn write(&self) {
        let path = self.extent.table();
        fs::write(&path, self.tables()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Fails if the run has made fewer activations than it must.
    fn promised(&self) -> Result<(), Failed> {
        for way in WAYS {
            let rows = self.results.rows.lock().unwrap();
            let same = rows.iter().filter(|row| row.way == way.name);
            let made: u64 = same.map(|row| row.tally.activations()).sum();
            let wanted = self.extent.wanted(way).unwrap_or(0);
            if made < wanted {
                return Err(format!("{made} activations by {}, not {wanted}", way.name).into());
            }
        }
        Ok(())
    }
}

/// Prepares the run, or fails with a description of what is wrong.
fn prepare() -> Result<Run, String> {
    product::find()?;
    let extent = Extent::from_environment()?;
    let found = interpreters::find();
    found.announce();
    if let Some(why) = found.trouble() {
        return Err(why);
    }
    let programs = header::programs(&product().torture_programs)?;
    let direct = match extent.form {
        Form::Short => None,
        Form::Full | Form::Direct => Some(direct::build(&found.interpreters)?.clone()),
    };
    println!("{}; SLEEPER_TORTURE_SEED={}", extent.title(), extent.seed);
    if let Some(less) = extent.leaves_out(found.interpreters.len()) {
        println!("  left out: {less}");
    }
    Ok(Run {
        extent,
        direct,
        missing: found.missing,
        interpreters: found.interpreters,
        programs,
        results: Results::default(),
    })
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let fail = |why: String| {
        eprintln!("cannot torment: {why}");
        ExitCode::FAILURE
    };
    let run = match trials::begin().and_then(|()| prepare()) {
        Ok(run) => Arc::new(run),
        Err(why) => return fail(why),
    };
    let form = run.extent.form;
    let mut list = Vec::new();
    if form != Form::Direct {
        list.extend(noticing::planned(&run.interpreters[0]));
        list.extend(planned(&run, &arguments));
        list.extend(run.missing.iter().cloned().map(Planned::ignored));
    }
    if let Some(build) = &run.direct {
        list.extend(planned_direct(&run, build));
    }
    let left = Arc::new(Left::default());
    // The last trial shows the results of the others; the runner's summary follows it.
    let (of, others) = (Arc::clone(&run), Arc::clone(&left));
    list.push(Planned::new("table".to_owned(), move || {
        others.wait_until_last();
        match form {
            Form::Short => println!("\n{}", table::brief(&of.results.rows.lock().unwrap())),
            Form::Full | Form::Direct => println!("\n{}", of.tables()),
        }
        println!("the table: {}\n", of.extent.table().display());
        of.promised()
    }));
    let plans = list.into_iter();
    let trials = plans.map(|one| one.trial(&arguments, &left)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
