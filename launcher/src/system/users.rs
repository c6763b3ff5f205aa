//! Users' names.
//!
//! The C library's own look-up loads modules that belong to the machine (NSS), and these need the C library
//! that they were built for: a static command that calls it ends in an abort on an older system. So
//! `/etc/passwd` is read, and `getent`, the machine's own program, is asked for the others.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use crate::system::proc_file;

/// The file with the users that the machine itself knows (passwd(5)).
const FILE: &str = "/etc/passwd";

/// The most bytes that are read of it: 50,000 users.
const LONGEST_FILE: usize = 4 << 20;

/// Where `getent` is (getent(1), a part of the C library).
const GETENT: [&str; 2] = ["/usr/bin/getent", "/bin/getent"];

/// The longest time that `getent` has. It may ask a server.
const LONGEST_ASKING: Duration = Duration::from_secs(1);

/// The longest time that a killed `getent` takes to end.
const DYING: Duration = Duration::from_millis(200);

/// `getent` is asked for at most so many users at once,
const MOST_ASKED: usize = 1000;

/// and so many bytes of its answer are read.
const LONGEST_ANSWER: u64 = 256 << 10;

/// What is known by now.
static KNOWN: Mutex<Known> = Mutex::new(Known {
    names: BTreeMap::new(),
    getent_is_late: false,
});

struct Known {
    /// `None` for a user who has no name.
    names: BTreeMap<u32, Option<String>>,
    /// It was late once. So it is not asked again.
    getent_is_late: bool,
}

/// A user's name for messages: `daemon`, or `user 1234` if the number has no name.
pub fn name(user: u32) -> String {
    look_up(&[user]);
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let name = known.names.get(&user).cloned().flatten();
    name.unwrap_or_else(|| format!("user {user}"))
}

/// Looks the names of these users up, all at once: [`name`] then knows them.
pub fn look_up(users: &[u32]) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let unknown = |known: &Known| -> Vec<u32> {
        let all = users.iter().copied();
        let mut missing: Vec<u32> = all.filter(|user| !known.names.contains_key(user)).collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    };
    let missing = unknown(&known);
    if missing.is_empty() {
        return;
    }
    let text = proc_file::read(FILE, LONGEST_FILE).unwrap_or_default();
    known.add(&text.bytes, &missing);
    let missing = unknown(&known);
    for some in missing.chunks(MOST_ASKED) {
        if known.getent_is_late {
            break;
        }
        match ask(&GETENT.map(Path::new), some, LONGEST_ASKING) {
            Some(answer) => known.add(&answer, some),
            None => known.getent_is_late = true,
        }
    }
    for user in missing {
        known.names.entry(user).or_insert(None);
    }
}

impl Known {
    /// Adds the names of the users that are asked for, from lines `NAME:PASSWORD:NUMBER:…`. Of several names for
    /// a number the first counts.
    fn add(&mut self, text: &[u8], asked: &[u32]) {
        for line in text.split(|byte| *byte == b'\n') {
            if let Some((name, user)) = parse(line)
                && asked.binary_search(&user).is_ok()
            {
                self.names.entry(user).or_insert(Some(name));
            }
        }
    }
}

/// The name and the number in a line of passwd(5). Lines that begin with `+` or `-` name nobody (nsswitch.conf(5),
/// `compat`).
fn parse(line: &[u8]) -> Option<(String, u32)> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next()?;
    let number = str::from_utf8(fields.nth(1)?).ok()?;
    let is_name = !name.is_empty() && !b"+-#".contains(&name[0]);
    is_name.then_some((
        String::from_utf8_lossy(name).into_owned(),
        number.parse().ok()?,
    ))
}

/// What the first of these programs that can be started says of users; empty if there is none. `None` if it was
/// not done in time, and was killed.
fn ask(programs: &[&Path], users: &[u32], time: Duration) -> Option<Vec<u8>> {
    let until = Instant::now() + time;
    let start = |program: &&Path| {
        Command::new(program)
            .arg("passwd")
            .args(users.iter().map(u32::to_string))
            // Nothing that this command was started with reaches the modules that it loads.
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()
    };
    let Some(mut child) = programs.iter().find_map(start) else {
        return Some(Vec::new());
    };
    let answer = hear(&mut child, until);
    if answer.is_none() || !ends_until(&mut child, until) {
        let _ = child.kill();
        ends_until(&mut child, Instant::now() + DYING);
    }
    answer
}

/// Reads to the end of what a child says; `None` if the end does not come in time.
fn hear(child: &mut Child, until: Instant) -> Option<Vec<u8>> {
    let mut output = child.stdout.take()?.take(LONGEST_ANSWER);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let time = left.try_into().ok()?;
        match poll(
            &mut [PollFd::new(output.get_ref(), PollFlags::IN)],
            Some(&time),
        ) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return None,
        }
        match output.read(&mut piece).ok()? {
            0 => return Some(answer),
            count => answer.extend_from_slice(&piece[..count]),
        }
    }
}

fn ends_until(child: &mut Child, until: Instant) -> bool {
    loop {
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        thread::sleep(Duration::from_micros(200));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    #[test]
    fn names_users() {
        assert_eq!(name(0), "root");
        assert_eq!(name(3_999_999_999), "user 3999999999");
        look_up(&[0, 3_999_999_998, 0]);
        assert_eq!(name(3_999_999_998), "user 3999999998");
    }

    #[test]
    fn reads_lines() {
        let mut known = Known {
            names: BTreeMap::new(),
            getent_is_late: false,
        };
        let text = b"root:x:0:0::/root:/bin/sh\n+a:x:7:\n#b:x:7:\n:x:7:\nc:x:8\n\nd:x:-7:\ne:x\nf:x:7:\ng:x:7:\nh\xff:x:9:0";
        known.add(text, &[0, 7, 9]);
        let names: Vec<_> = known
            .names
            .iter()
            .map(|(user, name)| (*user, name.as_deref().unwrap_or("")))
            .collect();
        assert_eq!(names, [(0, "root"), (7, "f"), (9, "h\u{fffd}")]);
    }

    /// A program in place of `getent`. A separate process writes it: if we had the file open for writing, a
    /// child that another test starts would briefly have it open too, and the kernel runs no file that is open
    /// for writing ("Text file busy").
    fn script(name: &str, text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("sleeper-{name}-{}", std::process::id()));
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" >"$2" && chmod 755 "$2""#;
        let written = Command::new("/bin/sh")
            .args(["-c", write, "sh", text])
            .arg(&path)
            .status();
        assert!(written.is_ok_and(|status| status.success()));
        path
    }

    #[test]
    fn asks_a_program_and_does_not_wait_for_ever() {
        let long = Duration::from_secs(20);
        let missing = Path::new("/no/such/getent");
        assert_eq!(ask(&[missing], &[7], long), Some(Vec::new()));
        let says = script("getent-says", "echo \"$# $* $PATH $HOME\"");
        let said = ask(&[missing, &says], &[7, 8], long).expect("it answers");
        assert_eq!(said, b"3 passwd 7 8 /usr/bin:/bin \n");
        let begun = Instant::now();
        let hangs = script("getent-hangs", "exec sleep 60");
        assert_eq!(ask(&[&hangs], &[7], Duration::from_millis(50)), None);
        // It says something without an end.
        let raves = script("getent-raves", "while :; do echo a:b:7; done");
        let raved = ask(&[&raves], &[7], Duration::from_millis(500));
        assert!(raved.is_none_or(|text| text.len() as u64 == LONGEST_ANSWER));
        assert!(begun.elapsed() < Duration::from_secs(20));
        for path in [says, hangs, raves] {
            fs::remove_file(path).expect("just written");
        }
    }
}
