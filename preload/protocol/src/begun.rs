//! How an agent has begun in a program that was running already: what [`BEGIN_FUNCTION`](crate::names::BEGIN_FUNCTION)
//! returns to whoever had the library loaded.

/// The outcomes. As in [`crate::names`], a number that is in use never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Begun {
    /// The agent's thread is there.
    Parked = 1,
    /// The program has no GIL yet: its main thread makes it, and starts the agent's thread, when it next runs Python
    /// code.
    Armed = 2,
    /// Another copy of the library was there already, and has the agent.
    Elder = 3,
    /// There is no interpreter that the agent can work with.
    NoInterpreter = 4,
    /// The agent's thread could not be started.
    NoThread = 5,
    /// The agent itself is at fault.
    Failed = 6,
}

impl Begun {
    /// The outcome with this number.
    pub fn from_number(number: i32) -> Option<Begun> {
        let all = [
            Begun::Parked,
            Begun::Armed,
            Begun::Elder,
            Begun::NoInterpreter,
            Begun::NoThread,
            Begun::Failed,
        ];
        all.into_iter().find(|one| *one as i32 == number)
    }
}
