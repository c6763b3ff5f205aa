//! Who has the other end of what a thread waits for: the pipe that it reads, the socket that it writes to. And who holds
//! the lock that it waits for.

use serde::{Deserialize, Serialize};

/// The processes that have the other end of a pipe or a socket, or hold the lock on a file.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct OtherEnd {
    /// Other processes than the one that waits, at most [`MOST_PROCESSES`].
    pub processes: Vec<OtherProcess>,
    /// How many more there are.
    pub more: u64,
    /// Whether the process that waits has it too.
    pub own: bool,
    /// Whether all processes could be looked at: if so, nobody else has it.
    pub complete: bool,
}

/// How many processes are named.
pub const MOST_PROCESSES: usize = 8;

/// A process that has the other end.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct OtherProcess {
    /// Its PID, as the command sees it.
    pub pid: i32,
    /// Its command line, without secrets; `None` if it has ended meanwhile.
    pub command: Option<String>,
    /// Its descriptors of the other end, or of the file.
    pub descriptors: Vec<i32>,
    /// Whether a thread of it is known to wait for the same, on this end.
    pub waits_too: bool,
}

impl OtherEnd {
    /// The memory that it takes, in bytes, beside itself.
    pub(crate) fn size(&self) -> usize {
        let processes = self.processes.iter();
        let sizes = processes.map(|one| {
            let command = one.command.as_ref().map_or(0, String::len);
            size_of::<OtherProcess>() + command + 4 * one.descriptors.len()
        });
        sizes.sum()
    }

    /// Who has it, in words that follow what it is. `purpose` is what it has to be open for, `writing` or
    /// `reading`; a socket's ends have no purpose, and are open for both.
    pub(crate) fn words(&self, purpose: Option<&str>) -> String {
        let by_themselves = self.complete && self.more == 0;
        let all_wait = by_themselves && self.processes.iter().all(|one| one.waits_too);
        let mut words = match (purpose, self.processes.is_empty() || all_wait) {
            (Some(purpose), true) => format!(", which nobody else has open for {purpose}"),
            (Some(purpose), false) => format!(", open for {purpose} in {}", self.names(self.own)),
            (None, true) => ", whose other end nobody else has open".to_owned(),
            (None, false) => format!(", whose other end is open in {}", self.names(self.own)),
        };
        match (&self.processes[..], self.complete) {
            ([], false) => words.push_str(", as far as can be seen"),
            (_, false) => words.push_str(", and perhaps in processes that cannot be looked at"),
            ([], true) => {}
            (many, true) if all_wait => {
                let wait = if many.len() == 1 { "waits" } else { "wait" };
                let what = match purpose {
                    Some("reading") => "room in",
                    _ => "data on",
                };
                words.push_str(&format!(
                    " except {}, which {wait} for {what} it too",
                    self.names(false)
                ));
            }
            _ => {}
        }
        words
    }

    /// The same of those who hold a lock, in words that follow what it is.
    pub(crate) fn words_of_holders(&self) -> String {
        match (&self.processes[..], self.own) {
            ([], true) => ", which this process holds itself".to_owned(),
            ([], false) => ", held by a process that is gone or not known".to_owned(),
            (_, own) => format!(", held by {}", self.names(own)),
        }
    }

    /// The processes, and the one that waits if it belongs there.
    fn names(&self, own: bool) -> String {
        let mut names: Vec<String> = self.processes.iter().map(OtherProcess::name).collect();
        if self.more > 0 {
            names.push(format!("{} more", self.more));
        }
        if own {
            names.push("this process itself".to_owned());
        }
        let last = names.pop().unwrap_or_default();
        match &names[..] {
            [] => last,
            names => format!("{} and {last}", names.join(", ")),
        }
    }
}

impl OtherProcess {
    fn name(&self) -> String {
        let mut words = format!("PID {}", self.pid);
        if let Some(command) = &self.command {
            words.push_str(&format!(" ({command})"));
        }
        if let Some(stream) = self.descriptors.iter().find_map(|&one| stream(one)) {
            words.push_str(&format!(", as its {stream}"));
        }
        words
    }
}

/// What a program calls this descriptor, if it is one of the first three.
pub(crate) fn stream(number: i32) -> Option<&'static str> {
    Some(match number {
        0 => "standard input",
        1 => "standard output",
        2 => "standard error",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, descriptor: i32) -> OtherProcess {
        OtherProcess {
            pid,
            command: Some("sleep 900".to_owned()),
            descriptors: vec![descriptor],
            waits_too: false,
        }
    }

    #[test]
    fn says_who_has_the_other_end() {
        let nobody = OtherEnd {
            complete: true,
            own: true,
            ..OtherEnd::default()
        };
        let mut unknown = nobody.clone();
        unknown.complete = false;
        let one = OtherEnd {
            processes: vec![process(7, 1)],
            own: false,
            ..nobody.clone()
        };
        let mut many = one.clone();
        many.processes.push(process(8, 5));
        many.more = 3;
        many.own = true;
        let mut partly = one.clone();
        partly.complete = false;
        let mut too = one.clone();
        too.processes[0].waits_too = true;
        too.processes[0].descriptors = vec![4];
        for (end, words) in [
            (&nobody, "which nobody else has open for writing"),
            (
                &unknown,
                "which nobody else has open for writing, as far as can be seen",
            ),
            (
                &one,
                "open for writing in PID 7 (sleep 900), as its standard output",
            ),
            (
                &many,
                "open for writing in PID 7 (sleep 900), as its standard output, PID 8 (sleep 900), 3 more and this process itself",
            ),
            (
                &partly,
                "open for writing in PID 7 (sleep 900), as its standard output, and perhaps in \
                 processes that cannot be looked at",
            ),
            (
                &too,
                "which nobody else has open for writing except PID 7 (sleep 900), which waits for \
                 data on it too",
            ),
        ] {
            assert_eq!(end.words(Some("writing")), format!(", {words}"));
        }
        assert_eq!(nobody.words(None), ", whose other end nobody else has open");
    }
}
