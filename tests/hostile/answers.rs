//! Answers that no agent of ours gives, and processes that give them.

use protocol::marshal::MarshalWriter;
use protocol::state::{Record, VERSION_LINE, document};
use std::path::PathBuf;
use std::sync::OnceLock;
use tests::compile::compile_hostile;
use tests::process::{Program, command};
use tests::scratch::Scratch;

/// A process that gives an answer.
pub struct Fake {
    program: Program,
    _folder: Scratch,
}

impl Fake {
    /// Its PID.
    pub fn pid(&self) -> i32 {
        self.program.pid()
    }
}

/// Starts a process that answers with these bytes, so often.
#[track_caller]
pub fn fake(answer: &[u8], repeat: u64) -> Fake {
    fake_agents(answer, repeat, 1).0
}

/// Starts several. They end with the first.
#[track_caller]
pub fn fake_agents(answer: &[u8], repeat: u64, count: usize) -> (Fake, Vec<i32>) {
    fakes(answer, &[&repeat.to_string(), &count.to_string()], count)
}

/// Starts several that never send the last byte.
#[track_caller]
pub fn stalling_agents(answer: &[u8], count: usize) -> (Fake, Vec<i32>) {
    fakes(answer, &["1", &count.to_string(), "stalls"], count)
}

#[track_caller]
fn fakes(answer: &[u8], arguments: &[&str], count: usize) -> (Fake, Vec<i32>) {
    let fake = fake_with(answer, arguments);
    let pids = fake.program.wait_lines("pid ", count);
    let pids = pids.iter().map(|pid| pid.parse().expect("a number"));
    let pids = pids.collect();
    (fake, pids)
}

/// Starts one with these arguments behind the name of its file.
#[track_caller]
pub fn fake_with(answer: &[u8], arguments: &[&str]) -> Fake {
    static PROGRAM: OnceLock<(Scratch, PathBuf)> = OnceLock::new();
    let (_, program) = PROGRAM.get_or_init(|| {
        let folder = Scratch::new();
        let program = compile_hostile("fake_answers.c", &folder, &[]);
        (folder, program)
    });
    let folder = Scratch::new();
    let mut fake = command(program);
    fake.arg(folder.write("answer", answer)).args(arguments);
    Fake {
        program: Program::start(&mut fake).ready(),
        _folder: folder,
    }
}

/// A document, and the records behind it. The parts are values as `marshal` writes them.
pub struct Answer {
    parts: Vec<(&'static str, Vec<u8>)>,
    /// What follows the document.
    pub variables: Vec<u8>,
}

/// Makes a value.
pub fn value(write: impl FnOnce(&mut MarshalWriter)) -> Vec<u8> {
    let mut out = MarshalWriter::default();
    write(&mut out);
    out.finish().expect("memory")
}

/// A list of these values.
fn list(values: impl ExactSizeIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut out = value(|out| out.list(values.len()));
    for one in values {
        out.extend(one);
    }
    out
}

fn numbers(numbers: impl ExactSizeIterator<Item = i64>) -> Vec<u8> {
    value(|out| {
        out.list(numbers.len());
        numbers.for_each(|number| out.number(number));
    })
}

/// A place: file, function, line, source.
pub fn place(file: &str, function: &str, line: i64, source: &str) -> Vec<u8> {
    value(|out| {
        out.list(4);
        out.text(file.as_bytes());
        out.text(function.as_bytes());
        out.number(line);
        out.text(source.as_bytes());
    })
}

impl Default for Answer {
    /// An honest answer: one thread, of one frame.
    fn default() -> Answer {
        Answer {
            parts: vec![
                (document::PYTHON, value(|out| out.text(b"2.7.18 (default)"))),
                (
                    document::STACKS,
                    list([numbers([0].into_iter())].into_iter()),
                ),
                (
                    document::THREADS,
                    list([numbers([7, 0].into_iter())].into_iter()),
                ),
                (
                    document::PLACES,
                    list([place("a.py", "f", 3, "x = 1")].into_iter()),
                ),
                (document::MORE, b"{0".to_vec()),
                (document::SUSPENDED, b"N".to_vec()),
                (document::TASKS, value(|out| out.text(b""))),
                (document::HOLDER, value(|out| out.number(0))),
            ],
            variables: Vec::new(),
        }
    }
}

impl Answer {
    /// The same, with another part.
    pub fn with(mut self, part: &str, value: Vec<u8>) -> Answer {
        for (name, present) in &mut self.parts {
            if *name == part {
                *present = value.clone();
            }
        }
        self
    }

    /// The same, with these threads, each with the number of its stack.
    pub fn with_threads(self, threads: impl ExactSizeIterator<Item = (i64, i64)>) -> Answer {
        let threads = threads.map(|(ident, stack)| numbers([ident, stack].into_iter()));
        self.with(document::THREADS, list(threads))
    }

    /// The bytes of the answer.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = [VERSION_LINE, b"{"].concat();
        for (name, part) in &self.parts {
            bytes.extend(value(|out| out.key(name)));
            bytes.extend(part);
        }
        bytes.push(b'0');
        bytes.extend(&self.variables);
        bytes
    }
}

/// A stack of so many frames, of a thread and of so many chains of a generator.
pub fn shared_by_coroutines(frames: usize, chains: usize) -> Vec<u8> {
    let chain = value(|out| {
        out.pairs();
        out.key("library");
        out.text(b"tornado");
        out.key("chain");
        out.list(1);
        out.number(-16);
        out.end();
    });
    let mut suspended = value(|out| {
        out.pairs();
        out.key("coroutines");
        out.pairs();
        out.key("count");
        out.number(1);
        out.key("left_out");
        out.number(0);
        out.key("suspended");
        out.list(chains);
    });
    for _ in 0..chains {
        suspended.extend(&chain);
    }
    suspended.extend(b"00");
    Answer::default()
        .with(
            "stacks",
            list([numbers(vec![0; frames].into_iter())].into_iter()),
        )
        .with_threads([(-16, 0), (7, 0)].into_iter())
        .with("suspended", suspended)
        .bytes()
}

/// A stack of so many frames, of so many threads.
pub fn shared_by_threads(threads: usize, frames: usize) -> Vec<u8> {
    Answer::default()
        .with(
            "stacks",
            list([numbers(vec![0; frames].into_iter())].into_iter()),
        )
        .with_threads((0..threads).map(|ident| (ident as i64, 0)))
        .bytes()
}

/// So many threads, each with a stack of so many frames, of 1,000 places.
pub fn own_stacks(threads: usize, frames: usize) -> Vec<u8> {
    let stack =
        |thread: usize| numbers((0..frames).map(move |at| ((thread * 7 + at) % 1000) as i64));
    let places = (0..1000_i32).map(|line| {
        place(
            "/usr/lib/app/module.py",
            "function",
            line.into(),
            "return f(x)",
        )
    });
    Answer::default()
        .with("stacks", list((0..threads).map(stack)))
        .with_threads((0..threads).map(|ident| (ident as i64, ident as i64)))
        .with("places", list(places))
        .bytes()
}

/// Answers that have very many of one thing, each as small as it can be.
pub fn of_many() -> Vec<Vec<u8>> {
    let threads =
        |count: i32| Answer::default().with_threads((0..count).map(|ident| (ident.into(), 0)));
    let text = [0; 4];
    let local = [b"L", &text[..], &text].concat();
    // Behind a frame and its first variable.
    let records = |letters: &[&[u8]], count: usize| {
        let mut variables = vec![Record::Thread.letter()];
        variables.extend(7_u64.to_ne_bytes());
        variables.push(Record::Frame.letter());
        variables.extend(&local);
        variables.extend(letters.concat().repeat(count));
        let answer = Answer {
            variables,
            ..Answer::default()
        };
        answer.bytes()
    };
    let small_place = place("", "", 1, "");
    let long = "\u{0}".repeat(9000);
    let long_place = place(&long, &long, 1, &long);
    let waiting = value(|out| {
        out.pairs();
        for ident in 0..50_000 {
            out.number(ident);
            out.pairs();
            out.key("name");
            out.text(b"a thread");
            out.key("wait");
            out.pairs();
            out.key("for");
            out.text(b"lock");
            out.key("id");
            out.number(5);
            out.end();
            out.key("holds");
            out.list(1);
            out.list(3);
            out.number(5);
            out.text(b"a.py");
            out.number(1);
            out.end();
        }
        out.end();
    });
    let mut tasks = String::new();
    for ident in 0..20_000 {
        tasks.push_str(&format!(
            "{ident} 1 232 0x3 0x0\t3 e anon_inode:[eventpoll]\n"
        ));
    }
    let many_descriptors = format!("7 1 7 0x0{}\n", "\t5 r /".repeat(2_000_000));
    vec![
        threads(2_000_000).bytes(),
        // The same thread.
        Answer::default()
            .with_threads((0..2_000_000_i32).map(|_| (7, 0)))
            .bytes(),
        Answer::default()
            .with("places", list(vec![small_place; 2_000_000].into_iter()))
            .bytes(),
        Answer::default()
            .with("places", list(vec![long_place; 1_000].into_iter()))
            .bytes(),
        Answer::default()
            .with(
                "stacks",
                list(vec![b"[\0\0\0\0".to_vec(); 4_000_000].into_iter()),
            )
            .bytes(),
        threads(50_000).with("more", waiting).bytes(),
        threads(20_000)
            .with("tasks", value(|out| out.text(tasks.as_bytes())))
            .bytes(),
        Answer::default()
            .with("tasks", value(|out| out.text(many_descriptors.as_bytes())))
            .bytes(),
        Answer::default()
            .with(
                "tasks",
                value(|out| out.text(&b"7 1 x\n".repeat(5_000_000))),
            )
            .bytes(),
        records(&[b"F"], 60_000_000),
        records(&[b"L", &text, &text], 6_000_000),
        records(
            &[b"L", &text, &text, b"A", &text, &text, b"R", &[0; 8]],
            2_000_000,
        ),
        records(
            &[b"L", &4_u32.to_ne_bytes(), b"\xff\0\xff\0", &text],
            4_000_000,
        ),
        records(&[b"A", &text, &text], 5_000_000),
        records(&[b"r", &[0; 8], &text], 4_000_000),
    ]
}
