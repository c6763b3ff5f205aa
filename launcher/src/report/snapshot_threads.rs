//! The threads of a snapshot. What they take is counted as they are read, and what stands in it many times, such
//! as the same frame, is kept once.

use serde::Deserialize;
use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::io::BufRead;
use std::sync::Arc;

use crate::report::json::{VERSION, WaitEntry};
use crate::report::snapshot_text::{Text, not_a_snapshot, parsed};
use crate::state::budget::{ALL, Memory};
use crate::state::frame::{Frame, Place, Stack};
use crate::state::thread::{Task, Thread};
use crate::state::wait::{Hold, Owner, Wait};
use crate::trouble::Trouble;
use protocol::state::{GoneKind, WaitKind};

/// What an entry of a table takes beside its content, in bytes, while the table grows.
const OF_ENTRY: usize = 64;

#[derive(Deserialize)]
struct ThreadEntry<'a> {
    ident: u64,
    tid: Option<i32>,
    name: Option<String>,
    daemon: Option<bool>,
    main: Option<bool>,
    held_gil: Option<bool>,
    running: Option<bool>,
    system_call: Option<String>,
    waiting_seconds: Option<f64>,
    #[serde(borrow)]
    waits_for: Option<WaitEntry<'a>>,
    holds: Vec<Hold>,
}

const THREAD_KEYS: [&str; 11] = [
    "ident",
    "tid",
    "name",
    "daemon",
    "main",
    "held_gil",
    "running",
    "system_call",
    "waiting_seconds",
    "waits_for",
    "holds",
];

/// A frame, or a mark for missing ones.
#[derive(Deserialize)]
struct FrameEntry {
    mark: Option<String>,
    file: Option<String>,
    line: Option<i64>,
    function: Option<String>,
    source: Option<String>,
}

const FRAME_KEYS: [&str; 5] = ["mark", "file", "line", "function", "source"];

/// The threads of a document.
#[derive(Default)]
pub(crate) struct Threads {
    /// Without their stacks.
    threads: Vec<Thread>,
    stacks: Vec<Arc<[u32]>>,
    known_stacks: HashSet<Arc<[u32]>>,
    known: Vec<Frame>,
    /// By hash, where a frame is in `known`. Of frames with the same hash the later ones stand at the next ones.
    indices: HashMap<u64, u32>,
    hasher: RandomState,
    /// Which thread may hold which lock.
    may_hold: HashSet<(u64, u64)>,
    pub(crate) holder: Option<u64>,
    pub(crate) memory: Memory,
}

impl Threads {
    /// Takes so many bytes.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Trouble> {
        match self.memory.take(bytes) {
            true => Ok(()),
            false => Err(too_large()),
        }
    }

    /// Reads a list of threads.
    pub(crate) fn read<R: BufRead>(&mut self, text: &mut Text<R>) -> Result<(), Trouble> {
        let (mut stack, mut longest) = (Vec::new(), 0);
        text.list(&mut |text| {
            stack.clear();
            let mut has_frames = false;
            let mut frames = |text: &mut Text<R>| {
                has_frames = true;
                text.list(&mut |text| {
                    if stack.len() == longest {
                        // A vector that grows may be twice as long as it must.
                        self.take(2 * size_of::<u32>())?;
                        longest += 1;
                    }
                    let piece = text.object(&FRAME_KEYS, None)?;
                    stack.push(self.index_of(parsed::<FrameEntry>(&piece)?.frame()?)?);
                    Ok(())
                })
            };
            let piece = text.object(&THREAD_KEYS, Some(("frames", &mut frames)))?;
            if !has_frames {
                return Err(not_a_snapshot(&"a thread's frames are missing"));
            }
            self.add(parsed(&piece)?, piece.len())?;
            let stack = self.kept(&stack)?;
            self.stacks.push(stack);
            Ok(())
        })
    }

    /// Adds a thread, whose text has so many bytes.
    fn add(&mut self, entry: ThreadEntry, length: usize) -> Result<(), Trouble> {
        if let Some(wait) = &entry.waits_for
            && let Some(id) = wait.id
        {
            for &ident in &wait.candidates {
                if !self.may_hold.contains(&(ident, id)) {
                    self.take(OF_ENTRY)?;
                    self.may_hold.insert((ident, id));
                }
            }
        }
        if entry.held_gil == Some(true) && self.holder.is_none() {
            self.holder = Some(entry.ident);
        }
        let mut holds = entry.holds;
        holds.shrink_to_fit();
        let thread = Thread {
            ident: entry.ident,
            name: entry.name,
            daemon: entry.daemon,
            main: entry.main == Some(true),
            task: entry.tid.map(|number| Task {
                number,
                call: entry.system_call,
                runs: entry.running == Some(true),
                seconds: entry.waiting_seconds,
            }),
            wait: entry.waits_for.map(WaitEntry::wait).transpose()?,
            holds,
            ..Thread::default()
        };
        // Its texts stand in what is said of it once more.
        self.take(thread.size() + length + 2 * OF_ENTRY)?;
        self.threads.push(thread);
        Ok(())
    }

    /// The index of this frame, which becomes known.
    fn index_of(&mut self, frame: Frame) -> Result<u32, Trouble> {
        let mut hash = self.hasher.hash_one(&frame);
        loop {
            match self.indices.entry(hash) {
                Entry::Occupied(index) if self.known[*index.get() as usize] == frame => {
                    return Ok(*index.get());
                }
                Entry::Occupied(_) => hash = hash.wrapping_add(1),
                Entry::Vacant(place) => {
                    let index = self.known.len() as u32;
                    place.insert(index);
                    self.take(frame.size() + OF_ENTRY)?;
                    self.known.push(frame);
                    return Ok(index);
                }
            }
        }
    }

    /// This stack, kept once.
    fn kept(&mut self, stack: &[u32]) -> Result<Arc<[u32]>, Trouble> {
        if let Some(known) = self.known_stacks.get(stack) {
            return Ok(Arc::clone(known));
        }
        self.take(size_of_val(stack) + OF_ENTRY)?;
        let stack: Arc<[u32]> = stack.into();
        self.known_stacks.insert(Arc::clone(&stack));
        Ok(stack)
    }

    /// All of them, with their stacks, with the names of threads that others wait for, and with the locks that
    /// they may hold.
    pub(crate) fn finished(mut self) -> Result<(Vec<Thread>, Memory), Trouble> {
        let idents = self.threads.iter().map(|one| one.ident);
        let places: HashMap<u64, usize> = idents.zip(0..).collect();
        let known = Arc::new(std::mem::take(&mut self.known));
        for (at, stack) in std::mem::take(&mut self.stacks).into_iter().enumerate() {
            let wait = self.threads[at].wait.as_ref();
            let joined = wait.and_then(|wait| places.get(&wait.joined?));
            let name = joined.and_then(|&joined| self.threads[joined].name.clone());
            self.take(name.as_ref().map_or(0, |name| 2 * name.len()))?;
            let thread = &mut self.threads[at];
            thread.frames = Stack::among(&known, stack);
            if let Some(wait) = &mut thread.wait {
                wait.name = name;
            }
        }
        for (ident, id) in std::mem::take(&mut self.may_hold) {
            if let Some(&at) = places.get(&ident) {
                self.threads[at].may_hold.push(id);
            }
        }
        for thread in &mut self.threads {
            thread.may_hold.sort_unstable();
        }
        match self.memory.keep() {
            true => Ok((self.threads, self.memory)),
            false => Err(too_large()),
        }
    }
}

impl WaitEntry<'_> {
    fn wait(self) -> Result<Wait, Trouble> {
        let Some(kind) = WaitKind::from_name(&self.kind) else {
            let kind: String = self.kind.chars().take(40).collect();
            return Err(of_another_version(&format!(
                "has the unknown wait {kind:?}"
            )));
        };
        let owner = self.holders.first().copied();
        let mut descriptors = self.descriptors.into_owned();
        descriptors.shrink_to_fit();
        Ok(Wait {
            kind,
            id: self.id,
            owner: self.owner.or(owner).filter(|_| {
                use WaitKind::{ProcessLock, ProcessRLock, RLock};
                matches!(kind, RLock | ProcessLock | ProcessRLock)
            }),
            gone: self.gone.and_then(|gone| GoneKind::from_name(&gone)),
            part: self.part.map(|part| part.into_owned()),
            futex: None,
            is_likely: false,
            count: self.count,
            limited: self.limited,
            joined: self.thread,
            name: None,
            value: self.value,
            size: self.size,
            most: self.most,
            seconds: self.seconds,
            waited: self.waited_seconds,
            left: self.left_seconds,
            descriptors,
            others: self.others,
            epoll: self.epoll,
            child: self.child,
            command: self.command.map(|command| command.into_owned()),
            c_owner: self.owner_tid.map(|tid| Owner {
                tid,
                ident: owner,
                lives: self.owner_lives != Some(false),
            }),
            within: self.within.map(|within| within.into_owned()),
            called_from: self.called_from.map(|caller| caller.into_owned()),
        })
    }
}

impl FrameEntry {
    fn frame(self) -> Result<Frame, Trouble> {
        if let Some(mark) = self.mark {
            return Ok(Frame::Mark(mark));
        }
        let (Some(file), Some(line), Some(function), Some(source)) =
            (self.file, self.line, self.function, self.source)
        else {
            return Err(not_a_snapshot(&"it has no frame"));
        };
        Ok(Frame::At(Place {
            file,
            line,
            function,
            source,
        }))
    }
}

pub(crate) fn of_another_version(what: &str) -> Trouble {
    Trouble::new(
        format!("this snapshot {what}, and this command reads version {VERSION}"),
        "compare it with the sleeper_agent_activate that made it",
    )
}

pub(crate) fn too_large() -> Trouble {
    Trouble::new(
        format!(
            "there is no memory for all that is in it: the states of both files may take {} MB together",
            ALL >> 20
        ),
        "compare files with fewer documents: each has a line",
    )
}
