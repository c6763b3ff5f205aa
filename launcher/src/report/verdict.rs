//! The verdict: what stands above all states, so that nobody has to read them to know what is wrong.
//!
//! It says which threads are in a deadlock; else which threads keep others waiting; else which are busy.

use std::collections::HashMap;
use std::fmt::Write;

use crate::duration::duration;
use crate::printable::Printable;
use crate::report::Report;
use crate::report::between_processes::BetweenProcesses;
use crate::report::page::Page;
use crate::report::waits;
use crate::state::frame::Frame;
use crate::state::thread::Thread;
use crate::state::wait_graph::{Node, WaitGraph};
use crate::system::cpu_share;
use crate::system::process::Process;

/// The most lines of a verdict.
const MOST_LINES: usize = 10;

/// Where a busy thread is is looked for among so many innermost frames.
const MOST_LOOKED_AT: usize = 20;

/// The most threads whose share of a processor is looked at.
const MOST_BUSY: usize = 64;

/// A thread that has not run for so many seconds is not busy.
const RECENTLY: f64 = 0.1;

/// A thread that uses less than this of a processor is not busy.
const LEAST_SHARE: f64 = 0.05;

/// What is wrong in some processes, in words.
pub struct Verdict {
    /// What it is.
    head: String,
    /// Where: lines that belong to it.
    lines: Vec<String>,
}

impl Verdict {
    /// The verdict on these processes, and on what is between them. `unanswered`: how many more have been asked and
    /// have not answered.
    pub fn of(reports: &[&Report], between: &BetweenProcesses, unanswered: usize) -> Verdict {
        let graphs: Vec<(&Report, WaitGraph)> = reports
            .iter()
            .map(|&report| (report, WaitGraph::of(&report.state)))
            .collect();
        let verdict = of_deadlocks(&graphs, between).or_else(|| of_keepers(&graphs));
        let mut verdict = verdict.unwrap_or_else(|| of_busy(reports));
        let room = MOST_LINES - 1 - usize::from(unanswered > 0);
        if verdict.lines.len() > room {
            let more = verdict.lines.len() - (room - 1);
            verdict.lines.truncate(room - 1);
            verdict.lines.push(format!("and {more} more"));
        }
        if unanswered > 0 {
            let have = if unanswered == 1 { "has" } else { "have" };
            let what = counted(unanswered, "process", "processes");
            let line = format!("{what} {have} not answered yet");
            verdict.lines.push(line);
        }
        verdict
    }

    /// Writes it.
    pub fn write(&self, text: &mut Page) {
        let _ = writeln!(text, "{START}{}", Printable(&self.head));
        for line in &self.lines {
            let _ = writeln!(text, "  {}", Printable(line));
        }
    }
}

/// Begins the first line of a verdict (and `colours` knows it).
const START: &str = "Verdict: ";

fn counted(count: usize, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}

/// Those who wait for each other for ever, if there are any.
fn of_deadlocks(graphs: &[(&Report, WaitGraph)], between: &BetweenProcesses) -> Option<Verdict> {
    let (mut heads, mut lines) = (Vec::new(), Vec::new());
    for (head, of_it) in between.lines() {
        heads.push(head);
        lines.extend(of_it);
    }
    for (report, graph) in graphs {
        for circle in graph.deadlocks() {
            heads.push(waits::heading(graph, &circle));
            let members = waits::members(graph, &circle);
            lines.extend(members.map(|member| {
                let at = at(&member.innermost);
                format!("{}: {}{at}", report.process, member.words)
            }));
        }
    }
    let head = match &heads[..] {
        [] => return None,
        [head] => format!("a deadlock: {head}"),
        heads => format!("{} deadlocks", heads.len()),
    };
    Some(Verdict { head, lines })
}

/// One that keeps others waiting, and waits for none itself that is known.
struct Keeper {
    process: Process,
    node: Node,
    /// How many wait for it, also by way of others.
    waiting: usize,
    /// For how many seconds the first of them has waited, as far as is known.
    longest: f64,
    /// What that one waits for.
    what: String,
}

/// Those who keep others waiting, if there are any: first who does so longest.
fn of_keepers(graphs: &[(&Report, WaitGraph)]) -> Option<Verdict> {
    let mut keepers: Vec<(Keeper, &WaitGraph)> = Vec::new();
    for (report, graph) in graphs {
        let mut of_process: HashMap<Node, Keeper> = HashMap::new();
        for waiting in &report.state.threads {
            let Some(wait) = &waiting.wait else { continue };
            let Some(node) = keeper_of(graph, waiting) else {
                continue;
            };
            let keeper = of_process.entry(node).or_insert_with(|| Keeper {
                process: report.process,
                node,
                waiting: 0,
                longest: -1.0,
                what: String::new(),
            });
            keeper.waiting += 1;
            let seconds = waiting.task.as_ref().and_then(|task| task.seconds);
            if seconds.unwrap_or(0.0) > keeper.longest {
                keeper.longest = seconds.unwrap_or(0.0);
                keeper.what = wait.words();
            }
        }
        keepers.extend(of_process.into_values().map(|keeper| (keeper, graph)));
    }
    keepers.sort_by(|(one, _), (other, _)| {
        let by_time = other.longest.total_cmp(&one.longest);
        let by_count = || other.waiting.cmp(&one.waiting);
        let by_number = || (one.process.pid, one.node).cmp(&(other.process.pid, other.node));
        by_time.then_with(by_count).then_with(by_number)
    });
    let threads = keepers
        .iter()
        .filter(|(one, _)| one.node.thread().is_some());
    let what = match threads.count() == keepers.len() {
        true => ["thread", "threads"],
        false => ["thread or greenlet", "threads and greenlets"],
    };
    let head = match keepers.len() {
        0 => return None,
        1 => format!("a {} keeps others waiting", what[0]),
        count => format!("{count} {} keep others waiting", what[1]),
    };
    let lines = keepers.iter().map(|(keeper, graph)| keeper.words(graph));
    Some(Verdict {
        head,
        lines: lines.collect(),
    })
}

/// Who keeps a thread waiting in the end, by way of others who wait themselves; `None` if nobody is known to.
fn keeper_of(graph: &WaitGraph, waiting: &Thread) -> Option<Node> {
    let itself = Node::Thread(waiting.ident);
    let next = |node: Node| {
        let holders = match node {
            Node::Thread(ident) => graph.holders(graph.thread(ident)?.wait.as_ref()?),
            Node::Greenlet(id) => {
                let wait = graph.greenlet(id)?.waits_for.as_ref()?;
                graph.holders_of_greenlet(wait)
            }
            Node::Suspended(_) => Vec::new(),
        };
        holders.first().copied().filter(|&holder| holder != node)
    };
    let mut keeper = next(itself)?;
    // A circle in which a wait has a timeout leads nowhere: whoever the path has come to is as good as any.
    for _ in 0..LONGEST_CHAIN {
        match next(keeper) {
            Some(further) => keeper = further,
            None => break,
        }
    }
    (keeper != itself).then_some(keeper)
}

/// More waits than this are not followed from one to the next.
const LONGEST_CHAIN: usize = 64;

impl Keeper {
    /// Whom it keeps waiting, and what it does meanwhile.
    fn words(&self, graph: &WaitGraph) -> String {
        let count = counted(self.waiting, "thread", "threads");
        let name = waits::name(graph, self.node);
        let mut line = format!("{}: {name} keeps {count} waiting", self.process);
        let _ = write!(line, ", for {}", self.what);
        if self.longest > 0.0 {
            let the = if self.waiting == 1 { "" } else { "the first " };
            let _ = write!(line, " ({the}for {})", duration(self.longest));
        }
        let its = match self.node {
            Node::Thread(ident) => graph
                .thread(ident)
                .and_then(|thread| Some(waits::of_thread(graph, thread, thread.wait.as_ref()?))),
            Node::Greenlet(id) => graph
                .greenlet(id)
                .and_then(|greenlet| waits::of_greenlet(graph, greenlet)),
            Node::Suspended(_) => None,
        };
        if let Some(its) = its {
            let _ = write!(line, "; it waits itself for {its}");
        }
        line.push_str(&at(&waits::innermost(graph, self.node)));
        line
    }
}

/// A thread that may be busy.
struct Busy<'a> {
    thread: &'a Thread,
    report: &'a Report,
    /// Which part of a processor it uses, if that is known.
    share: Option<f64>,
}

impl<'a> Busy<'a> {
    /// A thread that ran when it was asked, or shortly before.
    fn of(report: &'a Report, thread: &'a Thread) -> Option<Busy<'a>> {
        let task = thread.task.as_ref()?;
        let recently = task.seconds.is_some_and(|seconds| seconds < RECENTLY);
        let share = None;
        (task.runs || recently || report.held_gil(thread)).then_some(Busy {
            thread,
            report,
            share,
        })
    }

    /// Whether it is, as far as is known.
    fn is_so(&self) -> bool {
        let runs = || self.thread.task.as_ref().is_some_and(|task| task.runs);
        self.share.map_or_else(runs, |share| share >= LEAST_SHARE)
    }

    fn words(&self) -> String {
        let name = match &self.thread.name {
            Some(name) => format!("{} {name:?}", self.thread.ident),
            None => self.thread.ident.to_string(),
        };
        let does = match self.share {
            Some(share) => format!("uses {:.0} % of a CPU", (share * 100.0).min(100.0)),
            None => "runs".to_owned(),
        };
        let innermost: Vec<&Frame> = self
            .thread
            .frames
            .iter()
            .rev()
            .take(MOST_LOOKED_AT)
            .collect();
        let at = at(&innermost);
        format!("{}: thread {name} {does}{at}", self.report.process)
    }
}

fn threads_of(report: &Report) -> impl Iterator<Item = (&Report, &Thread)> {
    report.state.threads.iter().map(move |one| (report, one))
}

/// The threads that use a processor, if any do.
fn of_busy(reports: &[&Report]) -> Verdict {
    let all = || reports.iter().flat_map(|report| threads_of(report));
    let mut busy: Vec<Busy> = all()
        .filter_map(|(report, thread)| Busy::of(report, thread))
        .take(MOST_BUSY)
        .collect();
    let number = |one: &Busy| one.thread.task.as_ref().map_or(0, |task| task.number);
    let looked_at: Vec<(Process, i32)> = busy
        .iter()
        .map(|one| (one.report.process, number(one)))
        .collect();
    for (one, share) in busy.iter_mut().zip(cpu_share::of(&looked_at)) {
        one.share = share;
    }
    busy.retain(Busy::is_so);
    busy.sort_by(|one, other| {
        let [one, other] = [one, other].map(|busy| busy.share.unwrap_or(0.0));
        other.total_cmp(&one)
    });
    let threads = all().count();
    let is_known = threads > 0 && all().all(|(_, thread)| thread.task.is_some());
    let head = match (busy.len(), reports.len()) {
        (0, _) if !is_known => "no thread is known to be busy, or to wait for another".to_owned(),
        (0, 1) if threads == 1 => "nothing is busy: the only thread waits".to_owned(),
        (0, 1) => {
            format!("nothing is busy: all {threads} threads wait, none known to wait for another")
        }
        (0, processes) => format!(
            "nothing is busy: all {threads} threads of {processes} processes wait, none known to wait for another"
        ),
        (1, _) => "a thread is busy, and none is known to wait for another".to_owned(),
        (count, _) => format!("{count} threads are busy, and none is known to wait for another"),
    };
    let lines = busy.iter().map(Busy::words).collect();
    Verdict { head, lines }
}

/// Where that is, of frames from the innermost on: the first frame of the program's own code, else the first one.
fn at(innermost: &[&Frame]) -> String {
    let places = || innermost.iter().filter_map(|frame| frame.place());
    match places().find(|place| place.is_own()).or(places().next()) {
        Some(place) => format!(
            ", in {} ({}, line {})",
            place.function, place.file, place.line
        ),
        None => String::new(),
    }
}
