//! Names and numbers that both sides know: functions, threads, variables of the environment, sections.

/// The C function that answers: `const char *sleeper_agent_state(void)`.
pub const STATE_FUNCTION: &str = "sleeper_agent_state";

/// The C function that makes the agent begin in a program that was running already: `int sleeper_agent_begin(int)`. It
/// returns a number of [`crate::begun::Begun`].
pub const BEGIN_FUNCTION: &str = "sleeper_agent_begin";

/// Name (`comm`, at most 15 bytes) of the thread that the agent parks in its process. It sleeps, and hears both
/// a debugger and a command's signal. Debuggers call functions on this one, as it holds nothing.
pub const PARKED_THREAD: &str = "sleeper-agent";

/// Name of a thread that answers a question. Debuggers must not call functions on it.
pub const ANSWERER_THREAD: &str = "sleeper-answer";

/// Name of the thread that takes the GIL for an answer. Debuggers must not call functions on it.
pub const WORKER_THREAD: &str = "sleeper-worker";

/// Name of the thread that reads files. Debuggers must not call functions on it.
pub const READER_THREAD: &str = "sleeper-reader";

/// Name of the thread that a signal woke in earlier versions of the library, where another thread was parked.
pub const FORMER_WAKER_THREAD: &str = "sleeper-waker";

/// Begins the heading of a thread that runs no Python code, where none does. Its number follows, the kernel's.
pub const OTHER_HEADING: &str = "### TID ";

/// Why there are no stacks: the interpreter is idle, as in a program that embeds it.
pub const NOBODY_RUNS_PYTHON: &str = "no thread is running Python code at the moment";

/// Begins the reason why there are no stacks, where they were to be read from memory and it had none.
pub const NO_FRAMES: &str = "no Python frames were found in memory; ";

/// The answer of an agent that leaves, as it was told to.
pub const LEAVES: &str = "the agent leaves this program";

/// The answer of an agent that has left.
pub const HAS_LEFT: &str =
    "the agent has left this program (sa-load --unload); sa-load brings it in again";

/// The names of all threads of the agent.
pub const AGENT_THREADS: [&str; 4] = [PARKED_THREAD, ANSWERER_THREAD, WORKER_THREAD, READER_THREAD];

/// A thread that sleeps does not block this signal, as `/proc/PID/task/TID/status` shows: another thread of the
/// agent's wakes it so. Awake, it blocks it. (It is the C library's signal for `pthread_cancel`, which nobody calls
/// on the agent's threads.)
pub const NUDGE: i32 = 32;

/// Environment variable: the number of the real-time signal that wakes the parked thread, for programs
/// that use [`SIGNAL`] themselves. While the thread waits for it, it is the only real-time signal that this
/// thread does not block, as its status shows. While a question by signal is being answered, it waits for none,
/// and there is another thread with one of the names [`AGENT_THREADS`].
pub const SIGNAL_VARIABLE: &str = "SLEEPER_AGENT_SIGNAL";

/// The signal, if [`SIGNAL_VARIABLE`] is not set.
pub const SIGNAL: i32 = 58;

/// Environment variable: with `off` no signal wakes the agent, and gdb is the only way in.
pub const WAKE_VARIABLE: &str = "SLEEPER_AGENT_WAKE";

/// `si_code` of a signal that a command sends; its value says where the command listens (see
/// [`crate::message`]). Codes below zero are free for programs (sigaction(2)), and libc sends none with
/// this number.
pub const WAKE_CODE: i32 = -0x5341;

/// The section of the library that holds its [`Bell`](crate::bell::Bell), and nothing else.
pub const BELL_SECTION: &str = ".sleeper_agent";

/// [`Bell::magic`](crate::bell::Bell::magic) of a library that is loaded and bound. The digit is the
/// version of [`Bell`](crate::bell::Bell).
pub const BELL_MAGIC: [u8; 8] = *b"SLEEPER4";

/// The section of the library that holds [`VERSION_TEXT`].
pub const VERSION_SECTION: &str = ".sleeper_version";

/// What the commands must have in common with the library, in its file: the versions of the bell, of an answer's
/// header, of messages, and of a state.
pub const VERSION_TEXT: [u8; 48] = {
    let message = [b'0' + crate::message::VERSION as u8];
    let parts: [&[u8]; 4] = [
        &BELL_MAGIC,
        &ANSWER_MAGIC,
        &message,
        crate::state::VERSION_LINE,
    ];
    let mut text = [0; 48];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let mut byte = 0;
        while byte < parts[part].len() {
            text[at] = parts[part][byte];
            at += 1;
            byte += 1;
        }
        part += 1;
    }
    text
};

/// How many detours there are.
pub const DETOURS: usize = 8;

/// The distance from one detour to the next, in bytes.
pub const DETOUR_SIZE: u64 = 64;

/// Where a debugger enters a detour, in bytes from its beginning. (The kernel sets the program counter
/// of a thread back by two bytes to restart its system call. Such a thread enters at the beginning.)
pub const DETOUR_ENTRY: u64 = 2;

/// Environment variable: how many seconds (a decimal number from 0.1 to 60) a request waits for the GIL
/// before it is answered without it.
pub const DEADLINE_VARIABLE: &str = "SLEEPER_AGENT_DEADLINE";

/// The deadline if [`DEADLINE_VARIABLE`] is not set, in seconds.
pub const DEADLINE_SECONDS: f64 = 3.0;

/// The longest deadline that [`DEADLINE_VARIABLE`] can set, in seconds.
pub const DEADLINE_LONGEST_SECONDS: f64 = 60.0;

/// Environment variable: the PID of the only process that gets an agent (`sa-run --no-children`). In all
/// others the library stays dormant, and takes this variable and itself out of the environment.
pub const ONLY_PID_VARIABLE: &str = "SLEEPER_AGENT_ONLY_PID";

/// Begins the stack of each thread in the plain format. An answer without such a line is one line that
/// says why there is no state.
pub const THREAD_HEADING: &str = "### Thread ";

/// Begins an answer that was read from memory, without the GIL; the reason follows.
pub const WALK_HEADING: &str = "### Read from memory, without the GIL: ";

/// First bytes of an [`AnswerHeader`](crate::answer::AnswerHeader). The digit is its version.
pub const ANSWER_MAGIC: [u8; 8] = *b"SLEEPER3";
