//! Reads the document of a state, and puts together what its parts say.
//!
//! The file is long for its unit tests, which stand behind the code that they test.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::secrets::Secrets;
use crate::state::budget::{AnswerBytes, Memory, megabytes};
use crate::state::coroutines::Coroutines;
use crate::state::frame::{Frame, Place, Stack};
use crate::state::greenlets::Greenlets;
use crate::state::kernel::{Observed, Tasks};
use crate::state::native::{Native, RawStack};
use crate::state::process_lock::ProcessLock;
use crate::state::search::Search;
use crate::state::suspended::{SuspendedStack, SuspendedStacks};
use crate::state::thread::Thread;
use crate::state::variables::{AllVariables, Refused, StackVariables};
use crate::state::wait::{Hold, SuspendedHolder, Wait};
use crate::state::{NO_TIME, State};
use crate::trouble::{self, Trouble};
use protocol::marshal::{self, Value};
use protocol::question::Question;
use protocol::state::{self as keys, CutPart, WaitKind, document};

/// The most locks of a thread that are kept for a `with` block, and others: the library names fewer.
const MOST_LOCKS: [usize; 2] = [1_000, 10_000];

/// The most names of parts that are not whole that are read: the library names fewer.
const MOST_CUT: usize = 100;

/// The longest reason why it was read from memory, in characters: the library's are much shorter.
const LONGEST_REASON: usize = 1000;

/// What was left out while a document was read.
#[derive(Default)]
struct Missing {
    threads: usize,
    frames: usize,
    greenlets: usize,
    chains: usize,
}

impl Missing {
    /// What is missing, in words.
    fn words(&self) -> Vec<String> {
        let counts = [
            (self.threads, "thread"),
            (self.frames, "frame"),
            (self.greenlets, "greenlet"),
            (self.chains, "chain of generators"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let words = counts.map(|(count, what)| match (count, *what) {
            (1, what) => format!("1 {what} is left out: this command has no memory for more"),
            (count, "chain of generators") => format!(
                "{count} chains of generators are left out: this command has no memory for more"
            ),
            (count, what) => {
                format!("{count} {what}s are left out: this command has no memory for more")
            }
        });
        words.collect()
    }
}

impl State {
    /// Reads a document, which begins at `start` in the answer to this question, and its variables, which
    /// follow it.
    ///
    /// # Errors
    /// The answer is no document, or has what the question does not ask for.
    pub fn parse(answer: AnswerBytes, start: usize, question: &Question) -> Result<State, Trouble> {
        let answer = Arc::new(answer);
        let bytes: &[u8] = &answer;
        let mut memory = Memory::for_what_is_made_of(&answer);
        let refusal = || match answer.is_cut() {
            true => too_large(&answer),
            false => trouble::of_another_version(),
        };
        let (document, rest) = marshal::parse(&bytes[start..]).ok_or_else(refusal)?;
        let is_asked = question.greenlets || !has_suspended(document);
        if !is_asked {
            return Err(trouble::not_asked());
        }
        let numbers = numbers(document).ok_or_else(refusal)?;
        let variables = AllVariables::parse(
            &answer,
            bytes.len() - rest.len(),
            question,
            |number| numbers.contains(&number),
            &mut memory,
        );
        let variables = variables.map_err(|refused| match refused {
            Refused::NotAsked => trouble::not_asked(),
            Refused::NoRecords => refusal(),
        })?;
        let secrets = Secrets::of(question);
        State::read(document, &numbers, variables, &secrets, memory).ok_or_else(refusal)
    }

    /// Reads a document, whose stacks have these numbers.
    fn read(
        document: Value,
        numbers: &HashSet<i64>,
        mut variables: AllVariables,
        secrets: &Secrets,
        mut memory: Memory,
    ) -> Option<State> {
        use document::{
            CUT, FROM_MEMORY, HOLDER, LATE, MORE, NATIVE, PLACES, PROCESS_LOCKS, PYTHON, STACKS,
            SUSPENDED, TASKS, THREADS,
        };
        let values = document.all_of([
            PYTHON,
            STACKS,
            THREADS,
            PLACES,
            MORE,
            SUSPENDED,
            TASKS,
            HOLDER,
            CUT,
            LATE,
            NATIVE,
            FROM_MEMORY,
            PROCESS_LOCKS,
        ]);
        let [
            python,
            stacks,
            entries,
            places,
            more,
            suspended,
            tasks,
            holder,
            cut,
            late,
            native,
            from_memory,
            process_locks,
        ] = values;
        let process_locks = ProcessLock::parse_all(process_locks);
        let mut missing = Missing::default();
        let stacks = parse_stacks(stacks?, places?, secrets, &mut memory, &mut missing.frames)?;
        let is_known =
            |ident: u64| i64::try_from(ident).is_ok_and(|number| numbers.contains(&number));
        let tasks = Tasks::parse(tasks?.bytes()?, is_known);
        let details = more?.pairs()?.iter();
        let details = details.filter_map(|(ident, details)| {
            let ident = ident.number()?;
            is_known(ident).then_some((ident, details))
        });
        let details: HashMap<u64, Value> = details.collect();
        let named = items(cut, MOST_CUT).filter_map(|part| CutPart::from_name(&part.text()?));
        let mut cut: Vec<CutPart> = Vec::new();
        for part in named {
            if !cut.contains(&part) {
                cut.push(part);
            }
        }
        let late = items(late, MOST_STACKS).filter_map(|number| number.number());
        let late: HashSet<u64> = late.filter(|&ident| is_known(ident)).collect();
        let holder = holder?.number().filter(|&ident: &u64| ident != 0);
        let mut threads = Vec::new();
        let mut suspended_stacks = SuspendedStacks::new();
        let mut seen = HashSet::new();
        for entry in entries?.list()?.iter() {
            let [number, index] = entry.list()?.exactly()?;
            let number: i64 = number.number()?;
            let stack = stacks.get(index.number::<usize>()?)?.clone();
            // There is no memory for its number, or it has been there before.
            if !numbers.contains(&number) || !seen.insert(number) {
                missing.threads += usize::from(number >= 0);
                missing.greenlets += usize::from(number < 0);
                continue;
            }
            let variables = variables.stacks.remove(&number).unwrap_or_default();
            let Ok(ident) = u64::try_from(number) else {
                let stack = SuspendedStack::new(stack, variables);
                suspended_stacks.insert(number, Arc::new(stack));
                continue;
            };
            let thread = thread(
                (ident, stack),
                secrets,
                details.get(&ident).copied(),
                tasks.of(ident),
                &process_locks,
                variables,
                holder == Some(ident),
            );
            let thread = Thread {
                variables_cut: late.contains(&ident),
                ..thread
            };
            match memory.take(thread.size()) {
                true => threads.push(thread),
                false => missing.threads += 1,
            }
        }
        let [greenlets, coroutines] =
            suspended?.all_of([keys::suspended::GREENLETS, keys::suspended::COROUTINES]);
        let greenlets = Search::parse(greenlets, |value| {
            let (found, left_out) =
                Greenlets::parse(value, &suspended_stacks, secrets, &mut memory)?;
            missing.greenlets += left_out;
            Some(found)
        })?;
        let coroutines = Search::parse(coroutines, |value| {
            let (found, left_out) = Coroutines::parse(value, &suspended_stacks, &mut memory)?;
            missing.chains += left_out;
            Some(found)
        })?;
        let from_memory = from_memory.and_then(|reason| reason.text());
        let from_memory = from_memory.filter(|reason| !reason.is_empty());
        Some(State {
            python: python?.text()?,
            from_memory: from_memory.map(|reason| reason.chars().take(LONGEST_REASON).collect()),
            holder,
            threads,
            others: Vec::new(),
            raw_stacks: RawStack::parse_all(
                native.and_then(|native| native.bytes()).unwrap_or_default(),
                &mut memory,
            ),
            is_cut: variables.is_cut || cut.contains(&CutPart::Variables),
            cut,
            left_out: missing.words(),
            process_locks,
            greenlets,
            coroutines,
            memory,
        })
    }
}

/// The trouble of an answer that has more than this command reads.
fn too_large(answer: &AnswerBytes) -> Trouble {
    let [whole, read] = [answer.whole(), answer.len() as u64].map(megabytes);
    Trouble::new(
        format!("its answer has {whole}, of which this command has memory for {read}"),
        "ask for less, or for this process alone",
    )
}

/// Whether a document has greenlets, generators, or stacks of them.
fn has_suspended(document: Value) -> bool {
    let [suspended, entries] = document.all_of([document::SUSPENDED, document::THREADS]);
    let entries = entries.and_then(|entries| entries.list());
    let mut entries = entries.into_iter().flat_map(|entries| entries.iter());
    let is_suspended = |entry: Value| {
        let number = entry.list().and_then(|entry| entry.iter().next());
        number.is_some_and(|number| number.number().is_some_and(|number: i64| number < 0))
    };
    suspended.is_some_and(|suspended| suspended != Value::None) || entries.any(is_suspended)
}

/// More threads, greenlets and generators are not looked at, all together.
const MOST_STACKS: usize = 150_000;

/// The numbers of the first stacks in a document, as many as there is room for; `None` if it has no list of
/// them.
fn numbers(document: Value) -> Option<HashSet<i64>> {
    let [entries] = document.all_of([document::THREADS]);
    let numbers = entries?.list()?.iter().map(|entry| {
        let number = entry.list()?.iter().next()?;
        number.number::<i64>()
    });
    numbers.take(MOST_STACKS).collect()
}

/// The first items of a list, if it is one.
fn items(list: Option<Value<'_>>, most: usize) -> impl Iterator<Item = Value<'_>> {
    let items = list.and_then(|list| list.list()).into_iter();
    items.flat_map(|list| list.iter()).take(most)
}

/// Puts together what the parts of a document say of a thread.
fn thread(
    (ident, frames): (u64, Stack),
    secrets: &Secrets,
    details: Option<Value>,
    observed: Option<Observed>,
    process_locks: &[ProcessLock],
    variables: StackVariables,
    held_gil: bool,
) -> Thread {
    use keys::thread::{DAEMON, HAS, HOLDS, MAIN, NAME, SUSPENDED, WAIT};
    let details = details.map_or([None; 7], |details| {
        details.all_of([NAME, DAEMON, MAIN, WAIT, HOLDS, HAS, SUSPENDED])
    });
    let [name, daemon, main, wait, holds, may_hold, suspended] = details;
    let wait = wait.and_then(|wait| Wait::parse(&wait, secrets));
    let wait = wait.filter(|wait| observed.as_ref().is_none_or(|it| it.agrees_with(wait)));
    // The address on which it waits leaves no doubt.
    let on_process_lock = observed.as_ref().and_then(|it| {
        let lock = process_locks
            .iter()
            .find(|lock| Some(lock.address) == it.futex)?;
        Some(lock.wait(it.limited))
    });
    let wait = on_process_lock.or(wait);
    let (task, wait_in_kernel) = observed.map(|it| (it.task, it.wait)).unzip();
    // Whoever held the GIL when it was asked for may wait for it a moment later, when the kernel was
    // read. The earlier moment is the one that is shown.
    let wait_in_kernel = wait_in_kernel
        .flatten()
        .filter(|wait| wait.kind != WaitKind::Gil || !held_gil);
    let [most_held, most_had] = MOST_LOCKS;
    Thread {
        ident,
        name: secrets.name(name.and_then(|name| name.text())),
        daemon: daemon.map(|daemon| daemon.is_true()),
        main: main.is_some_and(|main| main.is_true()),
        wait: wait.or(wait_in_kernel),
        holds: items(holds, most_held)
            .filter_map(|hold| Hold::parse(&hold))
            .collect(),
        may_hold: items(may_hold, most_had)
            .filter_map(|id| id.number())
            .collect(),
        suspended_holders: items(suspended, most_held)
            .filter_map(SuspendedHolder::parse)
            .collect(),
        task,
        frames,
        variables,
        variables_cut: false,
        native: Native::default(),
    }
}

/// All stacks of a document, each of which several threads may share. Adds to `missing` how many frames
/// there was no memory for.
fn parse_stacks(
    stacks: Value,
    places: Value,
    secrets: &Secrets,
    memory: &mut Memory,
    missing: &mut usize,
) -> Option<Vec<Stack>> {
    // Stands for all frames that there is no memory for.
    let mut known = vec![Frame::Mark("left out for lack of memory".to_owned())];
    let places = places.list()?;
    for place in places.iter() {
        let [file, function, line, source] = place.list()?.exactly()?;
        let source = source.text().unwrap_or_default();
        let frame = Frame::At(Place {
            file: file.text().unwrap_or_default(),
            line: line.number()?,
            function: function.text().unwrap_or_default(),
            source: secrets.source(source.trim()).into_owned(),
        });
        if !memory.take(frame.size()) {
            break;
        }
        known.push(frame);
    }
    let (count, kept) = (places.len(), known.len() - 1);
    let mut all: Vec<Arc<[u32]>> = Vec::new();
    let nothing: Arc<[u32]> = Arc::new([0]);
    for stack in stacks.list()?.iter() {
        let indices = stack.list()?;
        let size = size_of::<u32>() * indices.len() + 4 * size_of::<Stack>();
        if !memory.take(size) {
            *missing += indices.len();
            // As long as there is room for that.
            if !memory.take(4 * size_of::<Stack>()) {
                break;
            }
            all.push(Arc::clone(&nothing));
            continue;
        }
        let mut frames = Vec::with_capacity(indices.len());
        let mut indices = indices.iter();
        while let Some(index) = indices.next() {
            frames.push(match index {
                Value::None => {
                    // Below zero if there was no time to follow the stack any further.
                    let count: i64 = indices.next()?.number()?;
                    let number = count.unsigned_abs();
                    let mark = Frame::Mark(match count {
                        ..0 => format!("at least {number} frames left out, {NO_TIME}"),
                        _ => format!("{number} frames left out"),
                    });
                    match memory.take(mark.size()) {
                        true => known.push(mark),
                        false => *missing += 1,
                    }
                    match known.last() {
                        Some(Frame::Mark(_)) => known.len() as u32 - 1,
                        _ => 0,
                    }
                }
                index => match index.number::<usize>().filter(|&index| index < count)? {
                    index if index < kept => index as u32 + 1,
                    _ => {
                        *missing += 1;
                        0
                    }
                },
            });
        }
        all.push(frames.into());
    }
    let known = Arc::new(known);
    let stack = |frames| Stack::among(&known, frames);
    Some(all.into_iter().map(stack).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::marshal::MarshalWriter;

    #[test]
    fn refuses_what_is_no_document() {
        for words in [&b""[..], b"N", b"{0", b"(\0\0\0\0"] {
            assert!(parse(words.to_vec(), false).is_err());
        }
    }

    fn parse(bytes: Vec<u8>, greenlets: bool) -> Result<State, Trouble> {
        let question = Question {
            state: true,
            greenlets,
            ..Question::default()
        };
        State::parse(bytes.into(), 0, &question)
    }

    /// A document of one thread, with identifier 7, that waits for a lock, and of one greenlet. `task`
    /// is the thread's line of the kernel's.
    fn document(task: &str, holder: i64) -> Vec<u8> {
        document_with(task, holder, 12, &[])
    }

    /// The same, where so many frames are left out; `late` are the stacks that there was no time for.
    fn document_with(task: &str, holder: i64, left_out: i64, late: &[i64]) -> Vec<u8> {
        let mut out = MarshalWriter::default();
        out.pairs();
        out.key(document::PYTHON);
        out.text(b"2.7.18 (default)");
        out.key(document::STACKS);
        out.list(1);
        out.list(3);
        out.number(0);
        out.none();
        out.number(left_out);
        out.key(document::THREADS);
        out.list(2);
        for number in [-16, 7] {
            out.list(2);
            out.number(number);
            out.number(0);
        }
        out.key(document::PLACES);
        out.list(1);
        out.list(4);
        out.text(b"a.py");
        out.text(b"f");
        out.number(3);
        out.text(b"  x = 1\n");
        out.key(document::MORE);
        out.pairs();
        out.number(7);
        out.pairs();
        out.key(keys::thread::NAME);
        out.text(b"worker password=rosebud");
        out.key(keys::thread::WAIT);
        out.pairs();
        out.key(keys::wait::FOR);
        out.text(WaitKind::Lock.name().as_bytes());
        out.end();
        out.end();
        out.end();
        out.key(document::SUSPENDED);
        out.none();
        out.key(document::TASKS);
        out.text(format!("gil 0x1a\n7 70 {task}\n").as_bytes());
        out.key(document::HOLDER);
        out.number(holder);
        if !late.is_empty() {
            out.key(document::CUT);
            out.list(3);
            for part in [&b"stacks"[..], b"what is this", b"variables"] {
                out.text(part);
            }
            out.key(document::LATE);
            out.list(late.len());
            late.iter().for_each(|&number| out.number(number));
        }
        out.end();
        out.finish().expect("memory")
    }

    #[test]
    fn reads_a_document() {
        let state = parse(document("202 0x1 0x0", 0), true).expect("a document");
        assert_eq!(state.version(), Some("2.7.18"));
        assert_eq!((state.holder, &state.greenlets), (None, &Search::NotAsked));
        let [thread] = &state.threads[..] else {
            panic!("the greenlet is no thread: {:?}", state.threads);
        };
        let name = Some("worker password=<hidden>");
        assert_eq!((thread.ident, thread.name.as_deref()), (7, name));
        let place = Place {
            file: "a.py".to_owned(),
            line: 3,
            function: "f".to_owned(),
            source: "x = 1".to_owned(),
        };
        let mark = Frame::Mark("12 frames left out".to_owned());
        assert_eq!(thread.frames, Stack::of(vec![Frame::At(place), mark]));
        assert_eq!(thread.wait, Some(Wait::of_kind(WaitKind::Lock)));
    }

    #[test]
    fn reads_what_was_cut() {
        let state = parse(document("running", 0), true).expect("a document");
        assert_eq!((state.cut.len(), state.is_cut), (0, false));
        assert!(!state.threads[0].variables_cut);
        let document = document_with("running", 0, -12, &[-16, 7]);
        let state = parse(document, true).expect("a document");
        assert_eq!(state.cut, [CutPart::Stacks, CutPart::Variables]);
        assert!(state.is_cut && state.threads[0].variables_cut);
        let mark = format!("at least 12 frames left out, {NO_TIME}");
        assert_eq!(
            state.threads[0].frames.iter().nth(1),
            Some(&Frame::Mark(mark))
        );
    }

    #[test]
    fn refuses_what_was_not_asked_for() {
        let refused = parse(document("running", 0), false).expect_err("it has a greenlet");
        assert!(refused.what().contains("not asked"), "{refused}");
    }

    #[test]
    fn believes_the_kernel_where_frames_are_stale() {
        let wait = |task: &str, holder| {
            let state = parse(document(task, holder), true).expect("a document");
            state.threads[0].wait.as_ref().map(|wait| wait.kind)
        };
        assert_eq!(wait("running", 0), None);
        assert_eq!(wait("202 0x1a 0x0", 0), Some(WaitKind::Gil));
        assert_eq!(wait("202 0x1a 0x0", 7), None);
    }
}
