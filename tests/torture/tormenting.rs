//! Torments a program: starts and asks it repeatedly.

use crate::cores::Core;
use crate::dice::Dice;
use crate::extent::Share;
use crate::header::{Ask, Ends, Life, Tortured};
use crate::said::{Said, Tally};
use crate::start::{Lost, Start};
use crate::ways::{self, Way};
use protocol::question::Question;
use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};
use tests::interpreters::Interpreter;

/// One program on one build, asked through one way in.
pub struct Torment<'a> {
    /// The program.
    pub tortured: &'a Tortured,
    /// The build.
    pub python: &'a Interpreter,
    /// The way in.
    pub way: &'a Way,
    /// How much is done.
    pub share: Share,
    /// How long the program may take to end.
    pub limit: Duration,
    /// The source of its random moments.
    pub dice: Dice,
    /// The outcomes so far.
    pub tally: Tally,
    /// How often the runner itself has asked each process.
    pub asked: HashMap<i32, u64>,
}

/// How many activations a start of a brief program allows, unless its header says otherwise.
const BRIEF_ASKS: u64 = 3;

/// How much too early or too late activations at the end may arrive: a program's lifetime varies.
const BEYOND: Duration = Duration::from_millis(15);

/// How long a program runs until the interpreter has started; a debug build takes several times as
/// long.
const BEGINNING: Duration = Duration::from_millis(15);

/// The part of a brief program's life in which to ask.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Beginning,
    Anywhere,
    End,
}

/// When to ask in one start of a brief program.
struct Plan {
    at: At,
    /// In order.
    moments: Vec<Duration>,
    core: Option<Core>,
}

impl<'a> Torment<'a> {
    /// Runs the whole torment.
    pub fn run(&mut self) -> Result<(), Lost> {
        match self.tortured.life {
            Life::Steady => self.steady(),
            Life::Brief => self.brief(),
        }
    }

    fn left(&self) -> u64 {
        let done = self.tally.activations();
        self.share.activations.saturating_sub(done)
    }

    fn start(&mut self, core: Option<Core>) -> Start<'a> {
        let variable = match self.way.loads && self.tortured.takes_allocators {
            true => self.tally.loads.allocator(&mut self.dice),
            false => None,
        };
        Start::new(self.tortured, self.python, !self.way.loads, variable, core)
    }

    /// How many activations a start allows, at most.
    fn per_start(&self, usually: u64) -> u64 {
        match self.way.loads {
            true => 1,
            false => self.tortured.per_start.unwrap_or(usually),
        }
    }

    fn steady(&mut self) -> Result<(), Lost> {
        let begun = Instant::now();
        let in_time = |share: &Share| begun.elapsed() < share.longest;
        let mut starts = 0;
        while self.left() > 0 && starts < self.share.starts && in_time(&self.share) {
            starts += 1;
            let start = self.start(None);
            start.ready()?;
            let most = self.per_start(u64::MAX);
            let enough = self.left().saturating_sub(most);
            while self.left() > enough && in_time(&self.share) {
                for pid in self.processes(&start) {
                    self.ask(&start, pid, None)?;
                }
            }
            start.stop();
            start.finish(self.limit)?;
        }
        Ok(())
    }

    fn brief(&mut self) -> Result<(), Lost> {
        // Its lifetime without questions; for a program that is killed, the longest possible lifetime.
        let mut life = match self.tortured.killed_after {
            Some(longest) => longest,
            None => self.start(None).finish(self.limit)?,
        };
        let mut starts = 0;
        while self.left() > 0 && starts < self.share.starts {
            let asks = self.per_start(BRIEF_ASKS);
            let plan = self.plan(starts, life, asks.min(self.left()));
            let death = self.tortured.killed_after;
            let death = death.map(|longest| self.dice.moment(longest));
            let start = self.start(plan.core);
            self.live_through(&start, &plan, death)?;
            let lived = start.finish(self.limit)?;
            // The lifetime depends on the machine's load; one activation at the end hardly adds
            // to it.
            if plan.at == At::End && death.is_none() {
                life = (3 * life + lived) / 4;
            }
            starts += 1;
        }
        Ok(())
    }

    /// When to ask in the next start of a brief program.
    fn plan(&mut self, turn: u64, life: Duration, asks: u64) -> Plan {
        let core = Core::any(&mut self.dice);
        match turn % 4 {
            0 => {
                let longest = BEGINNING * if self.python.debug { 4 } else { 1 };
                Plan {
                    at: At::Beginning,
                    moments: vec![self.dice.moment(longest); asks as usize],
                    core,
                }
            }
            1 => {
                let early = self.dice.moment(self.way.before + 2 * BEYOND);
                Plan {
                    at: At::End,
                    moments: vec![(life + BEYOND).saturating_sub(early)],
                    core,
                }
            }
            _ => {
                let one = |_| self.dice.moment(life.mul_f64(1.1));
                let mut moments: Vec<Duration> = (0..asks).map(one).collect();
                moments.sort();
                Plan {
                    at: At::Anywhere,
                    moments,
                    core: None,
                }
            }
        }
    }

    /// Asks as planned; meanwhile kills the program, if it has to be killed.
    fn live_through(
        &mut self,
        start: &Start,
        plan: &Plan,
        death: Option<Duration>,
    ) -> Result<(), Lost> {
        thread::scope(|scope| {
            if let (Some(death), Ends::Signal(signal)) = (death, self.tortured.ends) {
                scope.spawn(move || {
                    thread::sleep(death.saturating_sub(start.age()));
                    start.signal(signal);
                });
            }
            for moment in &plan.moments {
                // The beginning is measured in time on a core, however long it waits for a core.
                let age = || match plan.at {
                    At::Beginning => start.ran(),
                    At::Anywhere | At::End => start.age(),
                };
                while age() < *moment && !start.has_ended() {
                    thread::sleep(Duration::from_micros(300));
                }
                let mut processes = self.processes(start);
                if start.has_ended() {
                    processes.retain(|&pid| pid != start.pid());
                }
                let Some(&pid) = processes.first() else {
                    break;
                };
                self.ask(start, pid, plan.core)?;
            }
            Ok(())
        })
    }

    /// The processes to ask, in random order.
    fn processes(&mut self, start: &Start) -> Vec<i32> {
        let mut pids = vec![start.pid()];
        if self.tortured.ask == Ask::Tree {
            pids.extend(start.descendants(!self.way.loads));
            self.dice.shuffle(&mut pids);
        }
        pids
    }

    fn ask(&mut self, start: &Start, pid: i32, core: Option<Core>) -> Result<(), Lost> {
        let deadline = self.tortured.deadline;
        if self.way.loads {
            let loads = &mut self.tally.loads;
            let begun = Instant::now();
            let kills = self.tortured.loaders_are_killed;
            let refused = loads.load(pid, kills, &mut self.dice, core);
            if let Some(said) = refused.map_err(|what| start.lost(&what))? {
                return self.took(start, pid, said, begun.elapsed());
            }
        }
        let (said, took) = match self.share.from_within {
            Some(via) => {
                let asked = self.asked.entry(pid).or_default();
                let wanted = wanted(*asked);
                *asked += 1;
                ways::ask_from_within(via, wanted, pid, deadline)
            }
            None => self.way.ask(pid, deadline, core),
        };
        let said = said.map_err(|what| start.lost(&what))?;
        self.took(start, pid, said, took)?;
        if self.way.loads {
            let begun = Instant::now();
            let loads = &mut self.tally.loads;
            let refused = loads.take_out(pid, &mut self.dice, core);
            if let Some(said) = refused.map_err(|what| start.lost(&what))? {
                return self.took(start, pid, said, begun.elapsed());
            }
        }
        Ok(())
    }

    /// Records an outcome, which must be right.
    fn took(&mut self, start: &Start, pid: i32, said: Said, took: Duration) -> Result<(), Lost> {
        self.tally.take(&said, took);
        if said.is_right(self.tortured, pid == start.pid()) {
            return Ok(());
        }
        let reason = said.reason().unwrap_or_default();
        Err(start.lost(&match said {
            Said::FromMemory(_) => format!("read from memory: {reason}"),
            _ => format!("refused: {reason}"),
        }))
    }
}

/// The successive questions to a process: every fourth asks for facts, and every eighth for everything
/// available without calling the program's code. The first question is such a question: in answering
/// it the agent creates all that it keeps.
fn wanted(turn: u64) -> Question {
    let all = turn.is_multiple_of(8);
    Question {
        state: turn.is_multiple_of(4),
        greenlets: all,
        locals: all,
        globals: all,
        ..Question::default()
    }
}
