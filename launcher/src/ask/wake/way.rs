//! The way in by a signal: it wakes the agent's sleeping thread, and a thread that this one starts connects to a
//! socket of ours and answers there. This takes the right to send the process a signal, and no other.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::ask::wake::listener::Listener;
use crate::ask::wake::sleeper::{Posture, Sleeper};
use crate::find::no_agent;
use crate::find::target::{self, Alive};
use crate::state::budget::AnswerBytes;
use crate::system::process::{Process, ticks, uptime};
use crate::system::{interrupt, signal};
use crate::trouble::{self, Trouble};
use protocol::message::{HEADER, Header, Kind, LONGEST_ANSWER, answer_length};
use protocol::names::{FORMER_WAKER_THREAD, PARKED_THREAD, SIGNAL_VARIABLE, WAKE_VARIABLE};
use protocol::question::Question;

/// Asks by a wake-up signal.
pub struct ThroughWake {
    /// The question.
    pub question: Question,
    /// When to give up on an agent that does not come.
    pub connected_until: Instant,
    /// When to give up on its answer.
    pub until: Instant,
    /// Whether to report every step on standard error.
    pub verbose: bool,
}

/// The longest time from the signal to the connection.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// A debugger that holds the thread for longer than this is no other command's.
const LONGEST_HOLD: Duration = Duration::from_millis(500);

/// How often to look whether a signal asks us to stop, and whether the process is still there.
const GLANCE: Duration = Duration::from_millis(100);

/// The same, for a process that takes long.
const LONGEST_GLANCE: Duration = Duration::from_millis(300);

/// How long strangers may crowd at a socket before the agent is called to another.
const LONGEST_CROWD: Duration = Duration::from_millis(700);

/// The longest pause between two looks at which signal the thread waits for.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

impl ThroughWake {
    /// Brings the agent's answer.
    pub fn fetch(&self, target: &Alive) -> Result<AnswerBytes, Trouble> {
        let began = Instant::now();
        let until = self.connected_until.min(began + LONGEST_SLEEP);
        let process = target.process;
        let thread = sleeping_thread(process)?;
        let mut line = loop {
            if let Some(line) = connected(target, thread, until)? {
                break line;
            }
        };
        let heard = Instant::now();
        let text = converse(&mut line, self.question, target, thread, self.until)?;
        if self.verbose {
            let _ = writeln!(
                io::stderr(),
                "sleeper_agent_activate: {process}: its agent was awake after {:.1} ms, and had \
                 answered after {:.1} ms more",
                (heard - began).as_secs_f64() * 1e3,
                heard.elapsed().as_secs_f64() * 1e3,
            );
        }
        Ok(text)
    }
}

/// The agent's sleeping thread. In a child that was just forked it shows itself after a while.
fn sleeping_thread(process: Process) -> Result<i32, Trouble> {
    let begun = Instant::now();
    loop {
        let thread = process.thread_named(PARKED_THREAD);
        if let Some(thread) = thread.map_err(|_| target::exited())? {
            return Ok(thread);
        }
        let started = process.started().map_err(|_| target::exited())?;
        let is_young = uptime().saturating_sub(ticks(started)) < YOUNG;
        if !is_young || begun.elapsed() > LONGEST_CHILDHOOD {
            return Err(no_agent::why_not_started(process).unwrap_or_else(|| no_waker(process)));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A process that is younger may have an agent whose thread does not show itself yet.
const YOUNG: Duration = Duration::from_secs(1);

/// How long it is waited for.
const LONGEST_CHILDHOOD: Duration = Duration::from_millis(100);

/// Wakes the agent, and waits for its connection; `None` if it should be tried again: if the agent does not wait any
/// more for the signal that it waited for, or if so many strangers have come in its place that it may have found no
/// room. They need to find the next name too.
fn connected(target: &Alive, thread: i32, until: Instant) -> Result<Option<UnixStream>, Trouble> {
    let process = target.process;
    // Everybody can see the socket, so it is opened as late as possible.
    let number = signal_of(target, thread, until)?;
    let listener = Listener::open(process, thread).map_err(|error| {
        Trouble::new(
            format!("this command cannot listen for its answer ({error})"),
            "ask --via gdb",
        )
    })?;
    let mut sleeper = Sleeper::new(process, thread);
    if sleeper.look() != Posture::Awaits(number) {
        return Ok(None);
    }
    // Last of all: a child of ours may have opened the socket, and the process may have held that up, or the look.
    // Another one may have its number by now, to which the signal could be the end.
    wait_for(
        target,
        until,
        "this command cannot listen for its answer in time",
    )?;
    signal::wake(process, thread, number, listener.token).map_err(|error| {
        match error.raw_os_error() {
            Some(libc::ESRCH) => target::exited(),
            _ => Trouble::new(
                format!("the kernel does not let us wake it ({error})"),
                format!(
                    "run `sudo sleeper_agent_activate --via wake {}`",
                    process.pid
                ),
            ),
        }
    })?;
    let signalled = Instant::now();
    let mut crowd = 0;
    loop {
        wait_for(target, until, "its agent did not hear the signal")?;
        let left = until.saturating_duration_since(Instant::now());
        let (line, strangers) = listener.accept(process, glance_after(signalled).min(left));
        if line.is_some() {
            return Ok(line);
        }
        match sleeper.look() {
            Posture::Gone => return Err(target::without_its_thread(process)),
            // Meanwhile the program waits for that signal itself, or a filter keeps the agent from answering.
            Posture::Deaf => return Err(no_waker(process)),
            Posture::Awaits(_) | Posture::Busy | Posture::Held => {}
        }
        crowd += strangers;
        if crowd > 0 && signalled.elapsed() > LONGEST_CROWD {
            return Ok(None);
        }
    }
}

/// The time until the next look at whether there is a point in waiting: longer for an agent that takes long,
/// as hundreds may be waited for.
fn glance_after(begun: Instant) -> Duration {
    (begun.elapsed() / 8).clamp(GLANCE, LONGEST_GLANCE)
}

/// Said of an agent that waits for no signal all the time.
const OTHERS: &str = "its agent has others to answer";

/// The trouble of an agent that has started, and that no signal wakes.
fn no_waker(process: Process) -> Trouble {
    if process
        .thread_named(FORMER_WAKER_THREAD)
        .is_ok_and(|thread| thread.is_some())
    {
        return trouble::of_another_version();
    }
    if no_agent::is_filtered(process) {
        return Trouble::new(
            "its agent cannot be woken: its program is under a filter of system calls (seccomp), which may \
             refuse what that takes",
            "ask --via gdb",
        );
    }
    Trouble::new(
        "its agent has no thread that waits for a wake-up signal",
        format!(
            "ask --via gdb; next time start it without {WAKE_VARIABLE}=off, and with a signal in \
             {SIGNAL_VARIABLE} that the program itself does not use"
        ),
    )
}

/// The signal that the agent's sleeping thread waits for. While the agent answers other commands it waits for none.
fn signal_of(target: &Alive, thread: i32, until: Instant) -> Result<i32, Trouble> {
    let mut sleeper = Sleeper::new(target.process, thread);
    let mut held_since = None;
    let mut pause = Duration::from_millis(1);
    let begun = Instant::now();
    loop {
        let posture = sleeper.look();
        match posture {
            Posture::Awaits(signal) => return Ok(signal),
            Posture::Deaf => return Err(no_waker(target.process)),
            Posture::Gone => {
                target.still_runs()?;
                return Err(target::replaced());
            }
            Posture::Held | Posture::Busy => {}
        }
        held_since = (posture == Posture::Held).then(|| held_since.unwrap_or_else(Instant::now));
        if held_since.is_some_and(|since: Instant| since.elapsed() > LONGEST_HOLD) {
            return Err(Trouble::new(
                "a debugger holds its agent",
                "let the program go on, or end that debugger, and ask again",
            ));
        }
        wait_for(target, until, OTHERS)?;
        std::thread::sleep(pause);
        pause = (begun.elapsed() / 32).clamp(pause, LONGEST_PAUSE);
    }
}

/// Fails if there is no point in waiting any longer.
fn wait_for(target: &Alive, until: Instant, late: &str) -> Result<(), Trouble> {
    if interrupt::asked_to_stop().is_some() {
        return Err(trouble::not_waited_for());
    }
    target.still_runs()?;
    if Instant::now() > until {
        return Err(Trouble::new(
            late,
            "ask again, or look at the process by other means (`ps`, `gdb -p`)",
        ));
    }
    Ok(())
}

/// Why the agent broke off. Its process may be ending or becoming another program, which takes a moment
/// to show.
fn broken_off(target: &Alive, thread: i32, error: &io::Error) -> Trouble {
    let until = Instant::now() + Duration::from_millis(200);
    while Instant::now() < until {
        if let Err(trouble) = target.still_runs() {
            return trouble;
        }
        if !target.process.path(&format!("task/{thread}")).exists() {
            return target::without_its_thread(target.process);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Trouble::new(
        format!("its agent broke off ({error})"),
        "only its own user and root may ask it, and only root if it guards its memory",
    )
}

/// Sends the question, and receives the answer.
fn converse(
    line: &mut UnixStream,
    question: Question,
    target: &Alive,
    thread: i32,
    until: Instant,
) -> Result<AnswerBytes, Trouble> {
    let lost = |error: io::Error| broken_off(target, thread, &error);
    let words = question.words();
    let words = words.as_bytes();
    let header = Header::new(Kind::Question, words.len() as u64).bytes();
    line.set_write_timeout(Some(GLANCE)).map_err(lost)?;
    line.write_all(&[&header, words].concat()).map_err(lost)?;
    line.set_read_timeout(Some(GLANCE)).map_err(lost)?;
    let glance = || wait_for(target, until, "its agent gave no answer in time");
    hear(line, until, glance).map_err(|unheard| match unheard {
        Unheard::Lost(error) => lost(error),
        Unheard::Of(trouble) => trouble,
    })
}

/// Why no answer came.
#[derive(Debug)]
pub enum Unheard {
    /// The connection broke.
    Lost(io::Error),
    /// Another trouble.
    Of(Trouble),
}

/// Receives an answer, as much of it as there is memory for by `until`. Calls `glance` now and then, which may
/// end the wait.
pub fn hear(
    line: &mut impl Read,
    until: Instant,
    mut glance: impl FnMut() -> Result<(), Trouble>,
) -> Result<AnswerBytes, Unheard> {
    let mut header = [0; HEADER];
    read_whole(line, &mut header, &mut glance)?;
    let length =
        answer_length(&header).ok_or_else(|| Unheard::Of(trouble::of_another_version()))?;
    if length >= LONGEST_ANSWER {
        return Err(Unheard::Of(trouble::answer_too_long(length)));
    }
    AnswerBytes::announced(length, until).read(|_, piece, memory| {
        let mut glance = || match memory.has_lost_turn() {
            true => Err(trouble::too_slow()),
            false => glance(),
        };
        read_whole(line, piece, &mut glance)
    })
}

/// Fills `bytes`, and calls `glance` now and then.
fn read_whole(
    line: &mut impl Read,
    bytes: &mut [u8],
    glance: &mut impl FnMut() -> Result<(), Trouble>,
) -> Result<(), Unheard> {
    let mut done = 0;
    let mut glanced = Instant::now();
    while done < bytes.len() {
        match line.read(&mut bytes[done..]) {
            Ok(0) => return Err(Unheard::Lost(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => {
                done += count;
                // Also if the agent sends a byte now and then.
                if glanced.elapsed() > GLANCE {
                    glanced = Instant::now();
                    glance().map_err(Unheard::Of)?;
                }
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                glance().map_err(Unheard::Of)?;
            }
            Err(error) => return Err(Unheard::Lost(error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    /// What we receive from an agent that sends this and hangs up.
    fn heard(words: &[u8]) -> Result<Vec<u8>, String> {
        let (mut line, mut agent) = UnixStream::pair().expect("a pair");
        agent.write_all(words).expect("there is room");
        drop(agent);
        let heard = hear(&mut line, Instant::now(), || Ok(())).map(|answer| answer.to_vec());
        heard.map_err(|unheard| match unheard {
            Unheard::Lost(error) => error.kind().to_string(),
            Unheard::Of(trouble) => trouble.to_string(),
        })
    }

    #[test]
    fn hears_an_answer_and_nothing_else() {
        let answer = |length| Header::new(Kind::Answer, length);
        let text = vec![b'x'; 100_000];
        let whole = [&answer(text.len() as u64).bytes()[..], &text].concat();
        assert_eq!(heard(&whole), Ok(text));
        assert_eq!(heard(&answer(0).bytes()), Ok(Vec::new()));
        // Many bytes that are only announced; half a header; nothing.
        for words in [&answer(LONGEST_ANSWER - 1).bytes()[..], &whole[..10], &[]] {
            assert_eq!(heard(words), Err("unexpected end of file".to_owned()));
        }
        // A library of another version: a newer one, or one that does not know the question.
        let newer = Header {
            version: protocol::message::VERSION + 1,
            ..answer(1)
        };
        let unknown = Header::new(Kind::NotUnderstood, 0);
        for length in [LONGEST_ANSWER, 1 << 40] {
            let said = heard(&answer(length).bytes()).expect_err("too long");
            assert!(
                said.contains("answers of 64 MB or more are not read"),
                "{said}"
            );
        }
        for header in [newer, unknown] {
            let said = heard(&header.bytes()).expect_err("no answer");
            assert!(
                said.contains("of another version than this command"),
                "{said}"
            );
        }
    }

    #[test]
    fn glances_while_a_slow_agent_answers() {
        let (mut line, _agent) = UnixStream::pair().expect("a pair");
        line.set_nonblocking(true).expect("it may not block");
        let mut glances = 0;
        let unheard = hear(&mut line, Instant::now(), || {
            glances += 1;
            match glances {
                5 => Err(Trouble::plain("late")),
                _ => Ok(()),
            }
        });
        assert!(matches!(unheard, Err(Unheard::Of(trouble)) if trouble.what() == "late"));
    }
}
