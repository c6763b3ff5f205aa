//! One gdb, driven over pipes: commands in, records out.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::ask::gdb::lines::{Lines, Next};
use crate::ask::gdb::mi::{self, Record};
use crate::printable::Printable;
use crate::system::{child, interrupt};

/// A running gdb.
pub struct Gdb {
    child: Child,
    commands: Option<ChildStdin>,
    lines: Lines,
    token: u64,
    last_words: String,
    chatter: bool,
    told_to_wait: bool,
}

/// Why gdb gave no result for a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// gdb refused it, with this message.
    Refused(String),
    /// It took too long.
    Late,
    /// We were asked to stop.
    Interrupted,
    /// gdb has ended; its last words.
    Ended(String),
}

/// What ends the wait for a result.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The time to give up.
    pub until: Instant,
    /// Whether to give up at once when a signal asks us to stop. Otherwise gdb has a moment left, to let
    /// the program go unharmed.
    pub interruptible: bool,
}

impl Patience {
    /// When to give up, once a signal has asked us to stop.
    fn until_now(&self) -> Instant {
        match interrupt::asked_to_stop_at() {
            Some(at) => self.until.min(at + LETTING_GO),
            None => self.until,
        }
    }
}

/// How often to look whether a signal asks us to stop.
const GLANCE: Duration = Duration::from_millis(50);

/// The longest time that gdb has to let the program go when a signal asks us to stop.
const LETTING_GO: Duration = Duration::from_millis(300);

/// The longest time for each of gdb's ways to end.
const ENDING: Duration = Duration::from_secs(2);

/// The same, at the end of the question's time.
const ENDING_LATE: Duration = Duration::from_millis(150);

/// What gdb finds in its environment, besides the `PATH` it was found by. Whatever else there is may be meant
/// for the program or its Python, or have been kept by `sudo`: it would change or break gdb and the Python
/// that is built into it, or have them load files that are not this user's.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("LC_ALL", "C"),
    ("TERM", "dumb"),
    // No folder of the user's, and nothing below it.
    ("HOME", "/dev/null"),
    // Neither `usercustomize.py` nor anything else below the user's own site-packages (site, CPython).
    ("PYTHONNOUSERSITE", "1"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
];

impl Gdb {
    /// Starts gdb so that it executes nothing but what we send: no init files, nothing from the
    /// working directory, no terminal, and no Python modules (its data directory is a place
    /// where none can be, which also halves the time it takes to start).
    pub fn start(program: &Path, chatter: bool) -> io::Result<Gdb> {
        let (output, theirs) = io::pipe()?;
        let mut command = Command::new(program);
        command
            .args(["-nx", "-nh", "-q", "--data-directory=/dev/null"])
            .arg("--interpreter=mi")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(theirs.try_clone()?)
            .stderr(theirs);
        command.env_clear().envs(ENVIRONMENT);
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        child::shield(&mut command);
        let mut child = command.spawn()?;
        drop(command);
        let commands = child.stdin.take();
        Ok(Gdb {
            child,
            commands,
            lines: Lines::new(output),
            token: 0,
            last_words: String::new(),
            chatter,
            told_to_wait: false,
        })
    }

    /// The PID of gdb.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until gdb takes commands.
    pub fn ready(&mut self, patience: Patience) -> Result<(), Failure> {
        loop {
            if self.next(patience)? == Record::Prompt {
                return Ok(());
            }
        }
    }

    /// Sends commands as people type them. Some may not exist in this gdb, so its complaints are ignored.
    pub fn type_in(&mut self, commands: &[&str], patience: Patience) -> Result<(), Failure> {
        let chatter = std::mem::replace(&mut self.chatter, false);
        let mut last = None;
        for command in commands {
            last = Some(self.send(&format!("-interpreter-exec console \"{command}\""))?);
        }
        let result = match last {
            Some(token) => self.result_of(token, patience),
            None => Ok(String::new()),
        };
        self.chatter = chatter;
        match result {
            Ok(_) | Err(Failure::Refused(_)) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Sends one MI command and waits for its result.
    pub fn command(&mut self, command: &str, patience: Patience) -> Result<String, Failure> {
        let token = self.send(command)?;
        self.result_of(token, patience)
    }

    /// Sends one MI command; [`Gdb::result_of`] takes the token.
    pub fn send(&mut self, command: &str) -> Result<u64, Failure> {
        self.token += 1;
        let line = format!("{}{command}\n", self.token);
        if self.chatter {
            eprint_line("gdb: > ", command);
        }
        let sent = match self.commands.as_mut() {
            Some(pipe) => pipe.write_all(line.as_bytes()).and_then(|()| pipe.flush()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        match sent {
            Ok(()) => Ok(self.token),
            Err(_) => {
                // It has ended. Read its last words.
                let patience = Patience {
                    until: Instant::now() + Duration::from_secs(1),
                    interruptible: false,
                };
                while self.next(patience).is_ok() {}
                Err(Failure::Ended(self.last_words.clone()))
            }
        }
    }

    /// Waits for the result of the command with this token.
    pub fn result_of(&mut self, wanted: u64, patience: Patience) -> Result<String, Failure> {
        loop {
            if let Record::Result {
                token,
                class,
                fields,
            } = self.next(patience)?
                && token == Some(wanted)
            {
                return if class == "error" {
                    let message = mi::field(&fields, "msg").unwrap_or(fields);
                    Err(Failure::Refused(message))
                } else {
                    Ok(fields)
                };
            }
        }
    }

    fn next(&mut self, patience: Patience) -> Result<Record, Failure> {
        loop {
            if interrupt::asked_to_stop().is_some() {
                if patience.interruptible {
                    return Err(Failure::Interrupted);
                }
                if !self.told_to_wait {
                    self.told_to_wait = true;
                    eprint_line(
                        "sleeper_agent_activate: ",
                        "stopping as soon as the program can be let go unharmed",
                    );
                }
            }
            let left = patience
                .until_now()
                .saturating_duration_since(Instant::now());
            match self.lines.next(left.min(GLANCE)) {
                Next::Line(line) => {
                    let record = mi::parse(&line);
                    self.hear(&record);
                    return Ok(record);
                }
                Next::Nothing if left.is_zero() => return Err(Failure::Late),
                // A killed gdb may leave a child behind that holds its output open.
                Next::Nothing if self.has_ended() => {
                    return Err(Failure::Ended(self.last_words.clone()));
                }
                Next::Nothing => {}
                Next::End => return Err(Failure::Ended(self.last_words.clone())),
            }
        }
    }

    fn hear(&mut self, record: &Record) {
        let said = match record {
            Record::Prompt => return,
            Record::Text(text) | Record::News(text) => text.trim_end(),
            Record::Other(text) => {
                if !text.trim().is_empty() {
                    self.last_words = text.trim().to_owned();
                }
                text.trim_end()
            }
            Record::Result { class, fields, .. } => {
                if self.chatter {
                    eprint_line("gdb: ", &format!("^{class} {fields}"));
                }
                return;
            }
        };
        if self.chatter {
            for line in said.lines() {
                eprint_line("gdb: ", line);
            }
        }
    }

    /// Ends gdb: by its exit command, if `in_order`; else by closing its input, which makes it detach;
    /// at last by SIGKILL, upon which the kernel detaches it. That takes at most half a second from `until`
    /// on, or once a signal asks us to stop.
    pub fn end(mut self, in_order: bool, until: Instant) {
        let time = || match interrupt::asked_to_stop() {
            Some(_) => ENDING_LATE,
            None => {
                let left = until.saturating_duration_since(Instant::now());
                left.clamp(ENDING_LATE, ENDING)
            }
        };
        if in_order && self.send("-gdb-exit").is_ok() && self.ends_within(time()) {
            return;
        }
        self.commands = None;
        if !self.ends_within(time()) {
            let _ = self.child.kill();
            self.ends_within(ENDING_LATE);
        }
    }

    /// Whether gdb has ended. A gdb that is killed while it probes the kernel's features leaves a stopped
    /// child in its process group for ever, so we end that group.
    fn has_ended(&mut self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if let Some(pid) = Pid::from_raw(self.child.id() as i32)
            && matches!(waitid(WaitId::Pid(pid), options), Ok(Some(_)))
        {
            // gdb is not reaped yet, so the number is still its own and its group's.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn ends_within(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if self.has_ended() {
                return true;
            }
            // It must not wait until somebody reads its last words.
            self.lines.discard(Duration::from_millis(1));
        }
        false
    }
}

fn eprint_line(prefix: &str, line: &str) {
    // If nobody can read the line, nothing is left to do.
    let _ = writeln!(io::stderr(), "{prefix}{}", Printable(line));
}

#[cfg(test)]
mod tests {
    use super::*;
    fn soon(seconds: u64) -> Patience {
        Patience {
            until: Instant::now() + Duration::from_secs(seconds),
            interruptible: false,
        }
    }

    #[test]
    fn a_program_that_is_no_gdb_has_ended() {
        let mut gdb = Gdb::start(Path::new("/bin/true"), false).expect("it starts");
        assert!(matches!(gdb.ready(soon(10)), Err(Failure::Ended(_))));
        gdb.end(true, Instant::now());
    }

    #[test]
    fn a_gdb_that_says_nothing_is_late() {
        let mut gdb = Gdb::start(Path::new("/bin/cat"), false).expect("it starts");
        let patience = Patience {
            until: Instant::now() + Duration::from_millis(60),
            interruptible: false,
        };
        // `cat` fails on gdb's options, or waits: in no case is it ready.
        assert!(gdb.ready(patience).is_err());
        gdb.end(false, Instant::now());
    }
}
