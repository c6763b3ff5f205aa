//! Asking one process, whatever the way in.

use crate::agent::Agent;
use crate::answer::Answer;
use crate::checks::{self, Target};
use crate::trouble::Trouble;

/// A way to reach the agent of a process.
pub trait WayIn {
    /// Has the agent answer, and brings its text. Leaves the process as it was.
    fn fetch(&mut self, target: &Target) -> Result<Vec<u8>, Trouble>;
}

/// Asks the agent of a process that has been found fit to be asked.
pub fn ask(target: &Target, way: &mut dyn WayIn) -> Result<Answer, Trouble> {
    way.fetch(target)
        .map(Answer::from_text)
        .map_err(|trouble| vanished(target).unwrap_or(trouble))
}

/// Whether the process has ended or become another program meanwhile, which then explains
/// whatever went wrong.
pub fn vanished(target: &Target) -> Option<Trouble> {
    let alive = target
        .process
        .status()
        .is_ok_and(|status| !status.has_ended())
        && target.process.started().ok() == Some(target.started);
    if !alive {
        return Some(checks::exited());
    }
    match Agent::find(target.process) {
        // It may have booted meanwhile, but a booted one keeps its thread.
        Ok(Some(agent))
            if agent.state_function == target.agent.state_function
                && (target.agent.parked_thread.is_none()
                    || agent.parked_thread == target.agent.parked_thread) =>
        {
            None
        }
        // One that is ending gives its memory back first.
        Ok(_) if std::fs::read(target.process.path("maps")).is_ok_and(|maps| maps.is_empty()) => {
            Some(checks::exited())
        }
        Ok(_) => Some(Trouble::new(
            "it replaced its program (exec) while it was being asked",
            "ask again for the state of the new one",
        )),
        Err(_) => Some(checks::exited()),
    }
}
