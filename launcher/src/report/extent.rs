//! How much of a state the full format shows. JSON documents are always whole.

use crate::options::extent::ExtentOptions;
use crate::state::thread::Thread;

/// What the user wants to see of a state.
#[derive(Clone, Debug, Default)]
pub struct Extent {
    /// Each thread and process by itself, with all frames, also where many are alike.
    pub each: bool,
    /// These threads alone: names, identifiers or TIDs. All, if there are none.
    pub threads: Vec<String>,
    /// So many innermost frames of each stack alone.
    pub innermost: Option<usize>,
    /// The frames of the program's own code alone.
    pub only_own: bool,
    /// Objects without their attributes.
    pub no_attributes: bool,
}

impl From<ExtentOptions> for Extent {
    fn from(options: ExtentOptions) -> Extent {
        Extent {
            each: options.each,
            threads: options.thread,
            innermost: options.innermost.map(|count| count as usize),
            only_own: options.only_own,
            no_attributes: options.no_attributes,
        }
    }
}

impl Extent {
    /// Whether a thread is to be shown.
    pub fn shows(&self, thread: &Thread) -> bool {
        let number = thread.task.as_ref().map(|task| i64::from(task.number));
        let is_meant = |meant: &String| {
            let is_number = meant.parse().is_ok_and(|meant: i128| {
                let ident = (thread.ident != 0).then_some(i128::from(thread.ident));
                ident == Some(meant) || number.map(i128::from) == Some(meant)
            });
            is_number || thread.name.as_ref() == Some(meant)
        };
        self.threads.is_empty() || self.threads.iter().any(is_meant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::thread::Task;

    #[test]
    fn threads_are_meant_by_name_or_number() {
        let thread = Thread {
            ident: u64::MAX,
            name: Some("a b".to_owned()),
            task: Some(Task {
                number: 17,
                call: None,
                runs: false,
                seconds: None,
            }),
            ..Thread::default()
        };
        let shows = |meant: &[&str]| {
            let threads = meant.iter().map(|&one| one.to_owned()).collect();
            let extent = Extent {
                threads,
                ..Extent::default()
            };
            extent.shows(&thread)
        };
        assert!(shows(&[]) && shows(&["17"]) && shows(&["x", "a b"]));
        assert!(shows(&["18446744073709551615"]));
        assert!(!shows(&["a"]) && !shows(&["1"]) && !shows(&["-1"]) && !shows(&["0"]));
    }
}
