//! gdb is mortal: it and the command that drives it are killed at every moment of an activation,
//! and the program goes on, intact.

use crate::{Case, Need::Nothing, Need::OnlyOne};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::ask::{activate, woken_target};
use tests::interface::{PARKED_THREAD, THREAD_HEADING};
use tests::interpreters::Interpreter;
use tests::process::{Ended, PATIENCE, Program, command, wait_until};
use tests::procfs;
use tests::product::product;

pub const CASES: &[Case] = &[
    ("killed", Nothing, killed),
    ("killed_often", OnlyOne, killed_often),
    ("both_killed", OnlyOne, both_killed),
];

/// Environment variable: `full` has ten times as many rounds, and says what they came to.
const TORTURE: &str = "SLEEPER_TORTURE";

fn full() -> bool {
    std::env::var(TORTURE).is_ok_and(|value| value == "full")
}

pub fn times(rounds: usize) -> usize {
    if full() { 10 * rounds } else { rounds }
}

/// Moments spread evenly over a span, whatever their number, and no two alike.
pub fn spread(round: usize) -> f64 {
    (round as f64 * 0.618_034) % 1.0
}

/// A program that checks its own data, and how to see that it goes on.
pub struct Mortal {
    pub program: Program,
    pub pid: i32,
    parked: i32,
    asked: usize,
    /// How long an activation takes here.
    pub life: Duration,
}

impl Mortal {
    #[track_caller]
    pub fn start(python: &Interpreter) -> Mortal {
        let program = woken_target(python, "mortal.py", &[]);
        let pid = program.pid();
        let mut mortal = Mortal {
            program,
            pid,
            parked: parked_thread(pid),
            asked: 0,
            life: Duration::ZERO,
        };
        mortal.answers();
        mortal.answers();
        mortal
    }

    /// The process that traces its parked thread; 0 is nobody.
    pub fn tracer(&self) -> i32 {
        // What is told is a thread of the tracer's. It may have ended since, and its number be one of our
        // own threads' by now: numbers come round often here.
        let number = |pid, key| procfs::status(pid, key).parse().unwrap_or(0);
        match number(self.parked, "TracerPid") {
            0 => 0,
            thread => match number(thread, "Tgid") {
                tracer if tracer == std::process::id() as i32 => 0,
                tracer => tracer,
            },
        }
    }

    pub fn is_stopped(&self) -> bool {
        // The parked thread first, if it was its stop that became everyone's.
        [self.parked, self.pid].map(procfs::state).contains(&'T')
    }

    /// It is neither traced nor stopped, and each of its threads does its work.
    #[track_caller]
    pub fn goes_on(&mut self, after: &str) {
        let stopped = self.goes_on_or_is_stopped(after);
        assert!(!stopped, "it was left stopped by {after}");
    }

    /// As [`Mortal::goes_on`], but lets pass, and ends, that it is left stopped; then true.
    #[track_caller]
    fn goes_on_or_is_stopped(&mut self, after: &str) -> bool {
        assert!(!self.program.has_ended(), "{after}: {}", self.told());
        // Awake, it may yet be on its way to a stop.
        wait_until(&format!("its thread rests after {after}"), || {
            ['S', 'T', ' '].contains(&procfs::state(self.parked))
        });
        self.program.say("how");
        self.asked += 1;
        let begun = Instant::now();
        let mut stopped_since = None;
        let mut was_stopped = false;
        while self.is_stopped() || self.program.out().matches("rounds ").count() < self.asked {
            assert!(!self.program.has_ended(), "{after}: {}", self.told());
            assert!(
                begun.elapsed() < PATIENCE,
                "stuck after {after}: {}",
                self.told()
            );
            stopped_since = self
                .is_stopped()
                .then(|| stopped_since.unwrap_or_else(Instant::now));
            // A stop that passes is none.
            if stopped_since
                .is_some_and(|since: Instant| since.elapsed() > Duration::from_millis(500))
            {
                was_stopped = true;
                self.program.signal(libc::SIGCONT);
            }
            sleep(Duration::from_millis(2));
        }
        assert_eq!(self.tracer(), 0, "it is still traced after {after}");
        was_stopped
    }

    /// It is asked, and answered as usual.
    #[track_caller]
    pub fn answers(&mut self) {
        let begun = Instant::now();
        let ended = activate([self.pid]);
        self.life = begun.elapsed();
        ended.expect_code(0);
        assert!(is_whole(&ended.out()), "{}", ended.out());
        assert_eq!(ended.err(), "");
    }

    #[track_caller]
    pub fn ends_intact(mut self) {
        self.program.say("end");
        let ended = self.program.end();
        ended.expect_code(7);
        assert!(ended.out().ends_with("\nintact\n"), "{ended:?}");
        assert_eq!(ended.err(), "");
    }

    fn told(&self) -> String {
        let out = self.program.out();
        format!(
            "{:?} {:?} {}{}",
            self.program.status(),
            procfs::threads_with_states(self.pid),
            &out[out.len().saturating_sub(500)..],
            self.program.err()
        )
    }
}

/// The main thread and the five that work.
pub fn is_whole(text: &str) -> bool {
    text.starts_with(THREAD_HEADING) && text.matches(THREAD_HEADING).count() == 6
}

fn parked_thread(pid: i32) -> i32 {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut tasks = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    tasks
        .find(|task| procfs::read(pid, &format!("task/{task}/comm")).trim() == PARKED_THREAD)
        .expect("a parked thread")
}

/// `sleeper_agent_activate PID`, under way.
pub fn activator(pid: i32) -> Program {
    Program::start(command(&product().activate).args(["--via", "gdb", &pid.to_string()]))
}

/// A child process, by what each process says of its parent.
fn child_of(parent: i32) -> Option<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parent = parent.to_string();
    pids.find(|&pid| procfs::status(pid, "PPid") == parent)
}

fn send(pid: i32, signal: i32) {
    // SAFETY: a plain system call; the number is one that was ours a moment ago, or its group's.
    unsafe { libc::kill(pid, signal) };
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Activator,
    Gdb,
    /// The whole tree.
    Both,
    /// The process group, as Ctrl-C at a terminal has it.
    Group,
}

/// When it is killed.
#[derive(Clone, Copy, PartialEq)]
enum Moment {
    /// So long after the start, as a part of the time that an activation takes.
    After(f64),
    /// So long after gdb has got hold of the parked thread.
    Held(Duration),
}

/// What came of many kills.
#[derive(Default)]
pub struct Tally {
    kills: usize,
    held: usize,
    left_stopped: usize,
    pub outcomes: BTreeMap<String, usize>,
}

impl Tally {
    pub fn say(&self, what: &str, python: &Interpreter) {
        if full() {
            let mut text = format!(
                "{} {what}: {} kills, {} while gdb held the thread, {} left it stopped\n",
                python.label, self.kills, self.held, self.left_stopped
            );
            for (outcome, count) in &self.outcomes {
                let _ = writeln!(text, "  {count:4}  {outcome}");
            }
            eprint!("{text}");
        }
    }
}

/// Kills during one activation, and sees that the program is none the worse.
fn kill_once(mortal: &mut Mortal, victim: Victim, signal: i32, moment: Moment, tally: &mut Tally) {
    let mut activator = activator(mortal.pid);
    let begun = Instant::now();
    // The activator traces the thread for a moment itself, to see whether it may.
    let nobody = [0, activator.pid()];
    let gdb = match moment {
        Moment::After(part) => {
            sleep(mortal.life.mul_f64(part));
            child_of(activator.pid())
        }
        Moment::Held(later) => loop {
            let tracer = mortal.tracer();
            if !nobody.contains(&tracer) {
                sleep(later);
                break Some(tracer);
            }
            if activator.has_ended() {
                break None;
            }
            assert!(begun.elapsed() < PATIENCE, "it is never held");
        },
    };
    let held = moment == Moment::Held(Duration::ZERO) && gdb.is_some()
        || !nobody.contains(&mortal.tracer());
    if matches!(victim, Victim::Gdb | Victim::Both)
        && let Some(gdb) = gdb
    {
        send(gdb, signal);
    }
    match victim {
        Victim::Activator | Victim::Both => send(activator.pid(), signal),
        Victim::Group => send(-activator.pid(), signal),
        Victim::Gdb => {}
    }
    let what = format!("{victim:?} killed by {signal}, held: {held}");
    let killed = Instant::now();
    let ended = activator.end_within(Duration::from_secs(20));
    let took = killed.elapsed();
    assert!(
        took < Duration::from_secs(10),
        "{what}: it took {took:?} to end"
    );
    tally.kills += 1;
    tally.held += usize::from(held);
    let outcome = expect_outcome(&ended, &what);
    *tally
        .outcomes
        .entry(format!("{victim:?} {signal}: {outcome}"))
        .or_default() += 1;
    if let Some(gdb) = gdb {
        let who = procfs::read(gdb, "cmdline").replace('\0', " ");
        wait_until(&format!("gdb ({gdb}: {who}) ends, {what}"), || {
            [' ', 'Z'].contains(&procfs::state(gdb))
        });
    }
    if mortal.goes_on_or_is_stopped(&what) {
        // Else there was somebody left who had to set it going.
        assert!(
            victim == Victim::Both && signal == libc::SIGKILL,
            "left stopped: {what}"
        );
        tally.left_stopped += 1;
    }
    mortal.answers();
}

/// An answer, one line that says what happened, or the death that was meant.
#[track_caller]
pub fn expect_outcome(ended: &Ended, what: &str) -> String {
    use std::os::unix::process::ExitStatusExt;
    let said = ended.err();
    match (ended.status.code(), ended.status.signal()) {
        (Some(0), None) => {
            assert!(is_whole(&ended.out()), "{what}: {}", ended.out());
            "answered".to_owned()
        }
        // Told to stop, it may have had its answer already.
        (Some(code), None) => {
            let answered = code > 128 && is_whole(&ended.out());
            assert!(
                answered || ended.out().is_empty(),
                "{what}: {}",
                ended.out()
            );
            let least = usize::from(!answered);
            assert!(
                (least..=2).contains(&said.lines().count()),
                "{what}: {said}"
            );
            let said: String = said
                .chars()
                .map(|char| if char.is_ascii_digit() { '#' } else { char })
                .collect();
            let text = if answered { "a state, " } else { "" };
            format!("status {code}, {text}{}", said.trim().replace('\n', " / "))
        }
        (_, signal) => {
            assert_eq!(
                (ended.out(), said),
                (String::new(), String::new()),
                "{what}"
            );
            format!("died of {signal:?}")
        }
    }
}

const VICTIMS: [Victim; 4] = [Victim::Activator, Victim::Gdb, Victim::Both, Victim::Group];
const SIGNALS: [i32; 3] = [libc::SIGKILL, libc::SIGTERM, libc::SIGINT];

fn kills(python: &Interpreter, rounds: usize) {
    let mut mortal = Mortal::start(python);
    let mut at_random = Tally::default();
    let mut aimed = Tally::default();
    for round in 0..rounds {
        let victim = VICTIMS[round % 4];
        let signal = SIGNALS[round / 4 % 3];
        // A little beyond the end, for the moment that follows it.
        let moment = Moment::After(spread(round) * 1.1);
        kill_once(&mut mortal, victim, signal, moment, &mut at_random);
        kill_once(&mut mortal, victim, signal, aimed_at(round), &mut aimed);
    }
    // Otherwise it proves little. How long gdb holds it depends on the machine.
    let (wanted, mut round) = (rounds / 4 + 1, rounds);
    while aimed.held < wanted {
        assert!(
            aimed.kills < 20 * wanted,
            "held: {} of {}",
            aimed.held,
            aimed.kills
        );
        let (victim, signal) = (VICTIMS[round % 4], SIGNALS[round / 4 % 3]);
        kill_once(&mut mortal, victim, signal, aimed_at(round), &mut aimed);
        round += 1;
    }
    at_random.say("at any moment", python);
    aimed.say("aimed at gdb's hold", python);
    mortal.ends_intact();
}

/// At once, when gdb's stop is still on the way, and later, when it sits there.
fn aimed_at(round: usize) -> Moment {
    let later = Duration::from_millis(6).mul_f64(spread(round));
    Moment::Held(match round % 5 % 2 {
        0 => later,
        _ => Duration::ZERO,
    })
}

fn killed(python: &Interpreter) {
    kills(python, times(12));
}

fn killed_often(python: &Interpreter) {
    kills(python, times(24));
}

/// With nobody left who could set it going: the kernel stops the program if gdb dies after it has
/// asked for the thread's stop and before it has taken note of it (ptrace(2), "Death of the
/// tracer"). It is never more than stopped.
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
