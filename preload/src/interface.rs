//! What the library and the commands must agree on: the one definition both are built from.
//!
//! The commands include this very file (`#[path]`), so it depends on nothing but `core`.
//! Change [`ANSWER_MAGIC`] whenever [`AnswerHeader`] or the meaning of its fields changes:
//! an older command then says that it cannot read a newer library's answer, instead of
//! printing a wrong one.

/// The C function that answers: `const char *sleeper_agent_state(void)`.
pub const STATE_FUNCTION: &str = "sleeper_agent_state";

/// Name (`comm`) of the thread that the agent parks in a process it has booted in, at most
/// 15 bytes as Linux has it. This is the thread a debugger should call on: it holds nothing.
pub const PARKED_THREAD: &str = "sleeper-agent";

/// Name (`comm`) of the thread that takes the GIL for an answer. Never call on this one.
pub const WORKER_THREAD: &str = "sleeper-worker";

/// The library's section, eight bytes long, that holds [`READY_MAGIC`] once it has been loaded.
/// Until then [`STATE_FUNCTION`] must not be called.
pub const READY_SECTION: &str = ".sleeper_agent";

/// See [`READY_SECTION`].
pub const READY_MAGIC: [u8; 8] = *b"CALLABLE";

/// Environment variable: for how many seconds (a decimal number, 0.1 to 60) a request may
/// wait for the GIL before it is answered without it.
pub const DEADLINE_VARIABLE: &str = "SLEEPER_AGENT_DEADLINE";

/// The deadline where [`DEADLINE_VARIABLE`] sets none, in seconds.
pub const DEADLINE_SECONDS: f64 = 3.0;

/// The longest deadline that [`DEADLINE_VARIABLE`] may set, in seconds.
pub const DEADLINE_LONGEST_SECONDS: f64 = 60.0;

/// Environment variable: the PID that alone gets an agent (`sa-run --no-children`).
/// In every other process the library stays dormant, and takes this variable and itself out of
/// the environment.
pub const ONLY_PID_VARIABLE: &str = "SLEEPER_AGENT_ONLY_PID";

/// How every block of an answer that is a thread's stack begins. An answer without such a
/// line is one line that says why there is no state.
pub const THREAD_HEADING: &str = "### Thread ";

/// First eight bytes of [`AnswerHeader`].
pub const ANSWER_MAGIC: [u8; 8] = *b"SLEEPER1";

/// Stands in memory directly before the text whose address [`STATE_FUNCTION`] returns, so
/// that a reader can fetch the text in one piece.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerHeader {
    /// [`ANSWER_MAGIC`].
    pub magic: [u8; 8],
    /// Length of the text in bytes, without the NUL that ends it.
    pub length: u64,
}
