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

/// Name (`comm`) of the thread that reads source files. Never call on this one either.
pub const READER_THREAD: &str = "sleeper-reader";

/// Name (`comm`) of the thread that is woken by a signal. Never call on this one either.
pub const WAKER_THREAD: &str = "sleeper-waker";

/// The names of all threads of the agent's.
pub const AGENT_THREADS: [&str; 4] = [PARKED_THREAD, WORKER_THREAD, READER_THREAD, WAKER_THREAD];

/// Environment variable: the number of the signal that the waker waits for, a real-time signal. A
/// program that uses [`SIGNAL`] itself gives it another. While the waker waits it is the only such
/// signal that this thread does not block, as `/proc/PID/task/TID/status` shows.
pub const SIGNAL_VARIABLE: &str = "SLEEPER_AGENT_SIGNAL";

/// The signal where [`SIGNAL_VARIABLE`] names none.
pub const SIGNAL: i32 = 58;

/// Environment variable: `off` leaves gdb as the only way in.
pub const WAKE_VARIABLE: &str = "SLEEPER_AGENT_WAKE";

/// `si_code` of a signal that a command has sent; whose value says where it listens (see
/// `message.rs`). Numbers below zero are the users' own (sigaction(2)); none that libc sends is it.
pub const WAKE_CODE: i32 = -0x5341;

/// The library's section that holds its [`Bell`], and nothing else.
pub const BELL_SECTION: &str = ".sleeper_agent";

/// [`Bell::magic`] of a library that has been loaded and bound. Change it whenever [`Bell`] or the
/// meaning of its fields changes.
pub const BELL_MAGIC: [u8; 8] = *b"SLEEPER4";

/// How many detours there are.
pub const DETOURS: usize = 8;

/// How far one detour is from the next, in bytes.
pub const DETOUR_SIZE: u64 = 64;

/// Where a detour is entered, from its beginning, in bytes. (At its very beginning it is entered
/// by threads whose program counter the kernel sets back, to make a system call again.)
pub const DETOUR_ENTRY: u64 = 2;

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

/// How an answer begins that was read from memory, without the GIL; the reason follows.
pub const WALK_HEADING: &str = "### Read from memory, without the GIL: ";

/// First eight bytes of [`AnswerHeader`].
pub const ANSWER_MAGIC: [u8; 8] = *b"SLEEPER3";
