//! Planned trials, and how many of them are left.

use libtest_mimic::{Arguments, Failed, Trial};
use std::sync::{Arc, Condvar, Mutex};
use tests::trials;

/// A planned trial, or a trial that cannot run here and whose name says why.
pub struct Planned {
    name: String,
    work: Option<Work>,
}

/// The function of a trial.
type Work = Box<dyn FnOnce() -> Result<(), Failed> + Send>;

impl Planned {
    /// A trial with this function.
    pub fn new(
        name: String,
        work: impl FnOnce() -> Result<(), Failed> + Send + 'static,
    ) -> Planned {
        let work: Option<Work> = Some(Box::new(work));
        Planned { name, work }
    }

    /// A trial that is never run and whose name says why.
    pub fn ignored(name: String) -> Planned {
        Planned { name, work: None }
    }

    /// Makes it a trial of the runner. A trial that runs is counted until it is done.
    pub fn trial(self, arguments: &Arguments, left: &Arc<Left>) -> Trial {
        let Some(work) = self.work else {
            return trials::ignored(self.name);
        };
        let probe = Trial::test(&self.name, || Ok(()));
        if !arguments.is_filtered_out(&probe) {
            left.change(1);
        }
        let left = Arc::clone(left);
        let name = self.name.clone();
        Trial::test(self.name, move || {
            let result = trials::catch(work);
            left.change(-1);
            // The runner says it at the end, which may be hours away, or never come.
            if let Some(why) = result.as_ref().err().and_then(|error| error.message()) {
                eprintln!("{name}: {why}");
            }
            result
        })
    }
}

/// How many trials are not done yet.
#[derive(Default)]
pub struct Left(Mutex<isize>, Condvar);

impl Left {
    fn change(&self, by: isize) {
        *self.0.lock().unwrap() += by;
        self.1.notify_all();
    }

    /// Waits until all other trials are done.
    pub fn wait_until_last(&self) {
        let others = self.0.lock().unwrap();
        drop(self.1.wait_while(others, |left| *left > 1).unwrap());
    }
}
