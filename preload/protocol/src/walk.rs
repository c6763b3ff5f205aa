//! How stacks are written that were read from memory without the GIL: by the library, and by the command from outside.

/// A stack ends at this depth, so that a torn one ends.
pub const MOST_FRAMES: usize = 200_000;

/// How many frames of a stack are shown: its innermost ones, and, if it is deeper, its outermost ones
/// ([`OUTERMOST_SHOWN`]).
pub const INNERMOST_SHOWN: usize = 512;

/// How many outermost frames of a deeper stack are shown.
pub const OUTERMOST_SHOWN: usize = 256;

/// Longer names of functions and files are cut, in bytes.
pub const LONGEST_NAME: usize = 1024;

/// Stands where there was no time for more threads.
pub const CUT: &str = "\n\n... cut here: reading memory takes too long ...\n";

/// Stands where the list of threads was torn.
pub const TORN_LIST: &str = "\n\n... the list of threads could not be followed to its end ...\n";

/// What is wrong with a stack that is deeper than [`MOST_FRAMES`].
pub const TOO_MANY: &str = "too many frames to be a stack";

/// What is wrong with a stack whose frames come back to one of them.
pub const CIRCLE: &str = "frames that go in a circle";

/// What is wrong with a stack that leads to what is no frame.
pub const UNREADABLE: &str = "frames that could not be read";

/// Stands in place of one frame.
pub const UNREADABLE_FRAME: &str = "  ... a frame that could not be read ...\n";
