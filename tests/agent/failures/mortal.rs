//! gdb and the two processes of the command that drives it are killed at every moment of an activation, and the program
//! carries on, intact.

use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::ask::activator;
use tests::case;
use tests::interpreters::Interpreter;
use tests::mortal::Mortal;
use tests::outcomes::{Outcomes, expect_outcome};
use tests::process::{PATIENCE, Program, wait_until};
use tests::procfs;
use tests::rounds::{full, spread, times};

fn send(pid: i32, signal: i32) {
    // SAFETY: a plain system call; the number belonged to our process, or its group, a moment ago.
    unsafe { libc::kill(pid, signal) };
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    /// The process that the user has started.
    Activator,
    /// Its child, which does the work.
    Worker,
    Gdb,
    /// gdb and the command.
    Both,
    /// The process group, as Ctrl-C at a terminal does.
    Group,
}

/// When the victim is killed.
#[derive(Clone, Copy, PartialEq)]
enum Moment {
    /// This long after the start, as a fraction of an activation's duration.
    After(f64),
    /// This long after gdb has attached to the parked thread.
    Held(Duration),
}

/// The outcomes of many kills.
#[derive(Default)]
struct Tally {
    kills: usize,
    held: usize,
    left_stopped: usize,
    outcomes: Outcomes,
}

impl Tally {
    fn say(&self, what: &str, python: &Interpreter) {
        self.outcomes.say(&format!(
            "{} {what}: {} kills, {} while gdb held the thread, {} left it stopped",
            python.label, self.kills, self.held, self.left_stopped
        ));
    }
}

/// Kills the victim during one activation, and checks that the program is unharmed.
fn kill_once(mortal: &mut Mortal, victim: Victim, signal: i32, moment: Moment, tally: &mut Tally) {
    let mut activator = Program::start(&mut activator([mortal.pid]));
    let begun = Instant::now();
    // The worker itself traces the thread for a moment, to check its permission.
    let is_gdb = |tracer: i32| {
        let parent = procfs::status(tracer, "PPid");
        ![0, activator.pid()].contains(&tracer) && parent != activator.pid().to_string()
    };
    let gdb = match moment {
        Moment::After(part) => {
            sleep(mortal.life.mul_f64(part));
            procfs::children(procfs::worker(activator.pid()))
                .first()
                .copied()
        }
        Moment::Held(later) => loop {
            let tracer = mortal.tracer();
            if is_gdb(tracer) {
                sleep(later);
                break Some(tracer);
            }
            if activator.has_ended() {
                break None;
            }
            assert!(begun.elapsed() < PATIENCE, "it is never held");
        },
    };
    let held = moment == Moment::Held(Duration::ZERO) && gdb.is_some() || is_gdb(mortal.tracer());
    let worker = procfs::worker(activator.pid());
    if matches!(victim, Victim::Gdb | Victim::Both)
        && let Some(gdb) = gdb
    {
        send(gdb, signal);
    }
    match victim {
        Victim::Activator | Victim::Both => send(activator.pid(), signal),
        Victim::Worker => send(worker, signal),
        Victim::Group => send(-activator.pid(), signal),
        Victim::Gdb => {}
    }
    let what = format!("{victim:?} killed by {signal}, held: {held}");
    let ended = activator.end_within(PATIENCE);
    tally.kills += 1;
    tally.held += usize::from(held);
    let outcome = expect_outcome(&ended, &what);
    tally
        .outcomes
        .take(format!("{victim:?} {signal}: {outcome}"));
    wait_until(&format!("the worker ends, {what}"), || {
        [' ', 'Z'].contains(&procfs::state(worker))
    });
    if let Some(gdb) = gdb {
        let who = procfs::read(gdb, "cmdline").replace('\0', " ");
        wait_until(&format!("gdb ({gdb}: {who}) ends, {what}"), || {
            [' ', 'Z'].contains(&procfs::state(gdb))
        });
    }
    if mortal.goes_on_or_is_stopped(&what) {
        // Otherwise a survivor had to continue the program.
        assert!(
            victim == Victim::Both && signal == libc::SIGKILL,
            "left stopped: {what}"
        );
        tally.left_stopped += 1;
    }
    mortal.answers();
}

const VICTIMS: [Victim; 5] = [
    Victim::Activator,
    Victim::Worker,
    Victim::Gdb,
    Victim::Both,
    Victim::Group,
];
const SIGNALS: [i32; 3] = [libc::SIGKILL, libc::SIGTERM, libc::SIGINT];

fn kills(python: &Interpreter, rounds: usize) {
    let mut mortal = Mortal::start(python);
    let mut at_random = Tally::default();
    let mut aimed = Tally::default();
    for round in 0..rounds {
        let victim = VICTIMS[round % 5];
        let signal = SIGNALS[round / 5 % 3];
        // Slightly beyond the end, to cover the moment that follows it.
        let moment = Moment::After(spread(round) * 1.1);
        kill_once(&mut mortal, victim, signal, moment, &mut at_random);
        kill_once(&mut mortal, victim, signal, aimed_at(round), &mut aimed);
    }
    // Fewer hits would prove little. How long gdb holds the program depends on the machine.
    let (wanted, mut round) = (rounds / 4 + 1, rounds);
    while aimed.held < wanted {
        assert!(
            aimed.kills < 20 * wanted,
            "held: {} of {}",
            aimed.held,
            aimed.kills
        );
        let (victim, signal) = (VICTIMS[round % 5], SIGNALS[round / 5 % 3]);
        kill_once(&mut mortal, victim, signal, aimed_at(round), &mut aimed);
        round += 1;
    }
    at_random.say("at any moment", python);
    aimed.say("aimed at gdb's hold", python);
    mortal.ends_intact();
}

/// At once, while gdb's stop is still pending, and later, once gdb holds the thread.
fn aimed_at(round: usize) -> Moment {
    let later = Duration::from_millis(6).mul_f64(spread(round));
    Moment::Held(match round % 5 % 2 {
        0 => later,
        _ => Duration::ZERO,
    })
}

case!(killed, OnlyOne);
fn killed(python: &Interpreter) {
    kills(python, times(15));
}

case!(killed_often, OnlyOne);
fn killed_often(python: &Interpreter) {
    kills(python, times(30));
}

case!(both_killed, OnlyOne);
/// Nobody is left who could continue the program: the kernel stops it if gdb dies after it has
/// requested the thread's stop and before it has collected it (ptrace(2), "Death of the tracer").
/// A stop is the worst that may happen.
fn both_killed(python: &Interpreter) {
    let mut mortal = Mortal::start(python);
    let mut at_random = Tally::default();
    let mut aimed = Tally::default();
    for round in 0..if full() { 300 } else { 6 } {
        let moment = Moment::After(spread(round) * 1.1);
        kill_once(
            &mut mortal,
            Victim::Both,
            libc::SIGKILL,
            moment,
            &mut at_random,
        );
        let moment = Moment::Held(Duration::ZERO);
        kill_once(&mut mortal, Victim::Both, libc::SIGKILL, moment, &mut aimed);
    }
    at_random.say("both killed at any moment", python);
    aimed.say("both killed as gdb attaches", python);
    mortal.ends_intact();
}
