//! The state: what the library writes of every thread, and the commands make the formats `full` and
//! `json` of. The plain format is text, and not described here.
//!
//! The file is long because it is one format, which has to be read in one place.
//!
//! An answer that is a state is, one behind the other:
//!
//! 1. [`VERSION_LINE`];
//! 2. the document: a dictionary, as CPython's `marshal` writes it (version 0; see
//!    [`crate::marshal`]);
//! 3. the variables: [`Record`]s, where they were asked for.
//!
//! Change the number in [`VERSION_LINE`] whenever the meaning of anything here changes: a command then
//! says that library and command are of different versions, instead of showing something wrong.
//!
//! # The document
//!
//! A key that has nothing to say is left out, unless it says otherwise here. Addresses are `id()` of
//! objects; identifiers are those of `thread.get_ident()`. Text is a `str` or a `unicode`.
//!
//! * [`document`] has the keys of the whole:
//!   * `python`: `sys.version`.
//!   * `stacks`: a list of stacks. A stack is a list of indices of `places`, outermost frame first;
//!     where frames were left out, it has `None` and then their number. A number below zero says that it
//!     begins there: at least so many frames, negated, are missing for lack of time, up to the outermost one.
//!     Threads whose stacks are equal share one.
//!   * `threads`: a list of `[identifier, index of its stack]`. Numbers below zero are no threads, but
//!     suspended greenlets and generators: their addresses, negated.
//!   * `places`: a list of `[file, function, line, text of that line or None]`.
//!   * `more`: by identifier, a dictionary of each thread with the keys of [`thread`].
//!   * `suspended`: a dictionary with the keys of [`suspended`], or `None` if it was not asked for.
//!   * `tasks`: what the kernel says of the threads, as text: see [below](#tasks).
//!   * `native`: native stacks of threads, as bytes: see [below](#native-stacks). (Older libraries have none.)
//!   * `holder`: the identifier of the thread that held the GIL when it was asked for, or 0.
//!   * `cut`: a list of [`CutPart`]s: the parts for which the time was too short that the answer may hold the
//!     program up. (Older libraries have none, and no `late`.)
//!   * `late`: a list of the numbers that stacks have in `threads`: those whose variables are not whole for
//!     that reason, in some frame, from there on outwards.
//!   * `process_locks`: the locks and semaphores of the module multiprocessing, a list of `[address, address of the
//!     semaphore, kind, most, value, count, owner]`: kind and most (the largest value) as its type in C has them; count,
//!     how often this process has acquired it, less how often it has released it; owner, the identifier of its thread
//!     that has acquired it last. (Older libraries have none.)
//! * `wait` of a thread is a dictionary with the keys of [`wait`]; its `for` is a [`WaitKind`].
//! * [`suspended`] has two dictionaries. Each is `None` where what it would describe cannot be found,
//!   and empty where the program has imported none of the libraries.
//!   * `greenlets` has the keys of [`greenlets`]. A [`greenlet`]'s `wait` has the keys of
//!     [`greenlet_wait`]; its `for` is a [`GreenletWaitKind`].
//!   * `coroutines` has the keys of [`coroutines`]. A [`chain`]'s `wait` has the keys of
//!     [`coroutine_wait`]; its `for` is a [`CoroutineWaitKind`].
//!
//! What stands under `suspended` is written by Python texts that the library carries
//! (`preload/src/suspended/*.py`). They cannot use these constants; a test beside them compares.
//!
//! # Tasks
//!
//! Lines, each ended by a line end. The first one, where the GIL's address is known, is [`GIL`], a
//! space, and the address of the futex that threads wait for the GIL on, in hexadecimal with `0x`. Then
//! a line for each thread:
//!
//! `IDENTIFIER TID SYSCALL`, where SYSCALL is the text of `/proc/PID/task/TID/syscall`
//! (proc_pid_syscall(5)): [`RUNNING`]; or `-1` of a thread that is blocked outside of system calls; or
//! a call's number and, in hexadecimal, its six arguments, the stack pointer and the program counter.
//!
//! Behind that stands for each descriptor that the call waits for, after a tab, `DESCRIPTOR WAYS LINK`:
//! its number, the letters of its [`Way`]s, and where `/proc/PID/fd/DESCRIPTOR` links to. A control
//! character in LINK is a backslash and three octal digits. Last comes, after a tab, [`MORE`] and how
//! many descriptors are left out, if any are.
//!
//! # Native stacks
//!
//! Records, one behind the other. Each begins with a line, ended by a line end:
//!
//! `IDENTIFIER TID WORDS STACK SYSCALL`, where the identifier is 0 for a thread that runs no Python, WORDS and STACK
//! are numbers of bytes, and SYSCALL is as in [`document::TASKS`]. So many bytes follow: those at the address that a
//! thread in futex(2) waits on, and those of its stack, from the stack pointer on; either may be missing.
//!
//! # Variables
//!
//! Records follow each other without anything between them. A record is its letter and its fields; a
//! number is eight bytes, a text is four bytes of length and as many bytes as that says, both in the
//! machine's own byte order.

/// How a state begins: an answer that begins otherwise is text.
pub const VERSION_LINE: &[u8] = b"SLEEPER FACTS 2\n";

/// How a state of any version begins.
pub const VERSION_LINE_START: &[u8] = b"SLEEPER FACTS ";

/// Begins the first line of [`document::TASKS`], if the GIL's address is known.
pub const GIL: &str = "gil";

/// What the kernel has for a thread that runs, in place of its system call (fs/proc/base.c,
/// `proc_pid_syscall`).
pub const RUNNING: &str = "running";

/// Stands before the number of descriptors that are left out.
pub const MORE: char = '+';

/// Defines the keys of a dictionary: a module with a constant for each, and all of them.
macro_rules! keys {
    ($(#[$doc:meta])* $module:ident { $($(#[$of:meta])* $constant:ident = $key:literal;)+ }) => {
        $(#[$doc])*
        pub mod $module {
            $($(#[$of])* pub const $constant: &str = $key;)+

            /// All keys of this dictionary.
            pub const ALL: &[&str] = &[$($constant),+];
        }
    };
}

/// Defines an enum whose values stand in the document as words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$of])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word that stands for it.
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $word),+
                }
            }

            /// What this word stands for; `None` if it is none of these.
            pub fn from_name(name: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}

/// Defines an enum whose values stand in text as letters.
macro_rules! letters {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $letter:literal,)+ }) => {
        $(#[$doc])*
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$of])* $variant = $letter,)+
        }

        impl $name {
            /// The letter that stands for it.
            pub const fn letter(self) -> u8 {
                self as u8
            }

            /// What this letter stands for; `None` if it is none of these.
            pub const fn from_letter(letter: u8) -> Option<$name> {
                match letter {
                    $($letter => Some($name::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

keys! {
    /// The keys of the whole document: see the top of this file. All are always there.
    document {
        /// `sys.version`.
        PYTHON = "python";
        /// The stacks, each once.
        STACKS = "stacks";
        /// The threads, and what else has a stack.
        THREADS = "threads";
        /// The places that frames are at, each once.
        PLACES = "places";
        /// By identifier, what else is known of threads ([`super::thread`]).
        MORE = "more";
        /// Greenlets and generators ([`super::suspended`]), or `None`.
        SUSPENDED = "suspended";
        /// What the kernel says of threads, as text.
        TASKS = "tasks";
        /// Native stacks, as bytes.
        NATIVE = "native";
        /// The identifier of the thread that held the GIL, or 0.
        HOLDER = "holder";
        /// Which parts are not whole, as the time for the answer was used up: a list of
        /// [`CutPart`](super::CutPart).
        CUT = "cut";
        /// The stacks whose variables are not whole for that reason: a list of their numbers in `threads`.
        LATE = "late";
        /// Why all of it was read from memory, without the GIL: text; empty if it was not.
        FROM_MEMORY = "from_memory";
        /// The locks and semaphores of multiprocessing. (Older libraries have none.)
        PROCESS_LOCKS = "process_locks";
    }
}

keys! {
    /// The keys of a thread in [`document::MORE`].
    thread {
        /// What the module `threading` calls it: text. Not there if `threading` does not know it, as
        /// the next two.
        NAME = "name";
        /// Whether the program ends without waiting for it.
        DAEMON = "daemon";
        /// Whether it is the main thread.
        MAIN = "main";
        /// What it waits for, as its innermost frames show ([`super::wait`]).
        WAIT = "wait";
        /// The locks that it holds: a list of `[address, file, line, whether that is certain]`, where the line is
        /// the one that the frame is at that has acquired it. Certain are those of `with` blocks, and of a `try`
        /// statement whose end releases what was acquired before it.
        HOLDS = "holds";
        /// The addresses of plain locks that other threads wait for and that it has in a variable.
        HAS = "has";
        /// Where no thread holds the lock that it waits for: what is suspended and holds it, a list of
        /// [`super::suspended_holder`].
        SUSPENDED = "suspended";
    }
}

keys! {
    /// The keys of what a thread waits for. All but the first two belong to some kinds only.
    wait {
        /// A [`WaitKind`](super::WaitKind). Always there.
        FOR = "for";
        /// The address of the object.
        ID = "id";
        /// The identifier of the thread that has it.
        OWNER = "owner";
        /// Where the owner is no thread any more: a [`GoneKind`](super::GoneKind).
        GONE = "gone";
        /// A lock that is an attribute of an object: the name of the attribute, the name of the object's class,
        /// and its address.
        PART = "part";
        /// See [`PART`].
        WHOLE = "whole";
        /// See [`PART`].
        WHOLE_ID = "whole_id";
        /// A plain lock: the address of the futex that a thread waits on for it.
        FUTEX = "futex";
        /// Whether it is so only if the thread is seen to wait on that futex, or to sleep.
        LIKELY = "likely";
        /// Whether the wait has a timeout, where that is known.
        LIMITED = "limited";
        /// The name of the thread whose end is waited for: text.
        NAME = "name";
        /// The identifier of that thread.
        JOINED = "joined";
        /// How often an RLock is acquired.
        COUNT = "count";
        /// The value of a semaphore.
        VALUE = "value";
        /// The number of items in a queue.
        SIZE = "size";
        /// The most items that a queue takes; 0: any number.
        MOST = "most";
        /// How long a sleep is in all, or a wait with a timeout at most.
        MILLISECONDS = "milliseconds";
        /// How long a wait with a timeout has lasted, in milliseconds, if that is known.
        WAITED = "waited";
        /// How long it may still last, likewise.
        LEFT = "left";
    }
}

keys! {
    /// The keys of something suspended that holds a lock for a `with` block. All are always there.
    suspended_holder {
        /// The address of its frame.
        FRAME = "frame";
        /// Whether it is a generator, and no greenlet.
        GENERATOR = "generator";
        /// The identifier of the thread whose loop drives a generator, or 0.
        THREAD = "thread";
        /// The name of the function.
        FUNCTION = "function";
        /// The file.
        FILE = "file";
        /// The line that it is suspended at.
        LINE = "line";
    }
}

words! {
    /// What a thread waits for.
    WaitKind {
        /// A plain lock (`thread.LockType`).
        Lock = "lock",
        /// A `threading.RLock`.
        RLock = "rlock",
        /// A `threading.Condition`.
        Condition = "condition",
        /// A `threading.Event`.
        Event = "event",
        /// A `threading.Semaphore`.
        Semaphore = "semaphore",
        /// The end of a `threading.Thread`.
        Thread = "thread",
        /// An item from a `Queue.Queue`.
        QueueGet = "queue_get",
        /// Room in a `Queue.Queue`.
        QueuePut = "queue_put",
        /// Until all items of a `Queue.Queue` are done.
        QueueJoin = "queue_join",
        /// The end of a `time.sleep`.
        Sleep = "sleep",
        /// The import lock.
        Import = "import",

        // The library writes none of the following. They are what the command concludes from
        // `tasks` and `native`, and stand here because both share one list in its JSON document.
        /// The GIL.
        Gil = "gil",
        /// The end of a child process.
        Child = "child",
        /// Data on one descriptor.
        Read = "read",
        /// Room to write to one descriptor.
        Write = "write",
        /// A connection to one listening socket.
        Accept = "accept",
        /// The connection of one socket.
        Connect = "connect",
        /// Any of several descriptors, or anything else on one.
        Poll = "poll",
        /// Any descriptor that an epoll watches.
        Epoll = "epoll",
        /// A lock on a file.
        FileLock = "file_lock",
        /// A mutex of C's (`pthread_mutex_t`).
        Mutex = "mutex",
        /// A read-write lock of C's.
        RwLock = "rwlock",
        /// A condition variable of C's.
        CCondition = "c_condition",
        /// A semaphore of C's.
        CSemaphore = "c_semaphore",
        /// A `multiprocessing.Lock`.
        ProcessLock = "process_lock",
        /// A `multiprocessing.RLock`.
        ProcessRLock = "process_rlock",
        /// A semaphore of multiprocessing.
        ProcessSemaphore = "process_semaphore",
    }
}

words! {
    /// Why the owner of an RLock is no thread any more.
    GoneKind {
        /// It has ended.
        Ended = "ended",
        /// A fork has left it behind, in the parent.
        Fork = "fork",
        /// Very likely it has ended: another thread has its identifier now, whose frames do not have the lock.
        Replaced = "replaced",
    }
}

keys! {
    /// The keys of what is suspended, [`document::SUSPENDED`].
    suspended {
        /// Greenlets ([`super::greenlets`]), or `None`.
        GREENLETS = "greenlets";
        /// Generators that Tornado or Twisted drives ([`super::coroutines`]), or `None`.
        COROUTINES = "coroutines";
    }
}

keys! {
    /// The keys of a program's greenlets.
    greenlets {
        /// By address, negated: the suspended ones ([`super::greenlet`]). Their stacks stand under
        /// the same numbers in [`document::THREADS`](super::document::THREADS).
        STACKS = "stacks";
        /// By identifier of the thread: its current one. The stack is the thread's.
        CURRENT = "current";
        /// By identifier of the thread, or 0: how many have not begun.
        NOT_STARTED = "not_started";
        /// How many more there are than the library looks at.
        LEFT_OUT = "left_out";
    }
}

keys! {
    /// The keys of a greenlet.
    greenlet {
        /// Its address.
        ID = "id";
        /// The identifier of its thread, or 0.
        THREAD = "thread";
        /// The address of its parent, or 0.
        PARENT = "parent";
        /// Whether it is known to be suspended.
        SUSPENDED = "suspended";
        /// The name of its class: text or `None`.
        KIND = "kind";
        /// The name that it was given: text or `None`.
        NAME = "name";
        /// The name of the function that it runs: text or `None`.
        RUNS = "runs";
        /// What it waits for ([`super::greenlet_wait`]).
        WAIT = "wait";
        /// What it holds for `with` blocks and may be a lock: a list of `[address, file, line]`, where the
        /// line is the one in that block that it is at.
        HOLDS = "holds";
    }
}

keys! {
    /// The keys of what a greenlet waits for. All but the first one belong to some kinds only.
    greenlet_wait {
        /// A [`GreenletWaitKind`](super::GreenletWaitKind). Always there.
        FOR = "for";
        /// The address of the object.
        ID = "id";
        /// The file descriptor.
        FD = "fd";
        /// The address of the greenlet that has an RLock.
        OWNER = "owner";
        /// How often an RLock is acquired.
        COUNT = "count";
        /// Whether the wait has a timeout: only there if it has.
        LIMITED = "limited";
        /// Whether it waits until there is something to read there.
        READ = "read";
        /// Whether it waits until something can be written there.
        WRITE = "write";
        /// The value of a semaphore.
        VALUE = "value";
        /// The number of items in a queue.
        SIZE = "size";
        /// The most items that a queue takes; 0: any number.
        MOST = "most";
        /// How long a sleep is in all.
        MILLISECONDS = "milliseconds";
    }
}

words! {
    /// What a greenlet waits for.
    GreenletWaitKind {
        /// To be run by its hub.
        Turn = "turn",
        /// The end of a sleep.
        Sleep = "sleep",
        /// A timer.
        Timer = "timer",
        /// A file descriptor.
        Io = "io",
        /// The end of a child process.
        Child = "child",
        /// A signal.
        Signal = "signal",
        /// An event of gevent or eventlet.
        Event = "event",
        /// A `gevent.event.AsyncResult`.
        Result = "result",
        /// A semaphore of gevent or eventlet.
        Semaphore = "semaphore",
        /// A lock of gevent or eventlet, which is a semaphore.
        Lock = "lock",
        /// A `threading.RLock` or a `gevent.lock.RLock`.
        RLock = "rlock",
        /// An item from a queue of gevent or eventlet.
        QueueGet = "queue_get",
        /// Room in a queue of gevent or eventlet.
        QueuePut = "queue_put",
        /// The other end of a `gevent.queue.Channel`.
        Channel = "channel",
        /// The end of a greenlet.
        Greenlet = "greenlet",
    }
}

keys! {
    /// The keys of the suspended generators that Tornado or Twisted drives. All are there, or none.
    coroutines {
        /// How many suspended generators stand in the chains.
        COUNT = "count";
        /// How many more there are.
        LEFT_OUT = "left_out";
        /// A list of chains ([`super::chain`]).
        SUSPENDED = "suspended";
    }
}

keys! {
    /// The keys of a chain: generators of which each waits for the next one. All are always there.
    chain {
        /// A [`CoroutineLibrary`](super::CoroutineLibrary).
        LIBRARY = "library";
        /// The name of the outermost generator's function: text or `None`.
        NAME = "name";
        /// A list of the generators' addresses, negated, outermost first. Their frames stand under
        /// these numbers in [`document::THREADS`](super::document::THREADS).
        CHAIN = "chain";
        /// What the innermost one waits for ([`super::coroutine_wait`]), or `None`.
        WAIT = "wait";
    }
}

words! {
    /// The library that drives a generator.
    CoroutineLibrary {
        /// Tornado, with `tornado.gen`.
        Tornado = "tornado",
        /// Twisted, with `inlineCallbacks`.
        Twisted = "twisted",
    }
}

keys! {
    /// The keys of what a generator waits for. All but the first one belong to some kinds only.
    coroutine_wait {
        /// A [`CoroutineWaitKind`](super::CoroutineWaitKind). Always there.
        FOR = "for";
        /// The name of the object's class: text or `None`.
        CLASS = "class";
        /// The address of the object.
        ID = "id";
        /// The time until a timer goes off, or the wait is given up.
        MILLISECONDS = "milliseconds";
        /// How long ago a timer should have gone off.
        OVERDUE = "overdue";
    }
}

words! {
    /// What a generator waits for.
    CoroutineWaitKind {
        /// To be run by its loop.
        Turn = "turn",
        /// A timer.
        Timeout = "timeout",
        /// A future of Tornado's, of which it is not known who will fulfil it.
        Future = "future",
        /// A Deferred of Twisted's, likewise.
        Deferred = "deferred",
        /// A `tornado.locks.Event`.
        Event = "event",
        /// A `tornado.locks.Condition`.
        Condition = "condition",
        /// A semaphore of Tornado's or Twisted's.
        Semaphore = "semaphore",
        /// A `DeferredLock`.
        Lock = "lock",
        /// An item from a queue of Tornado's or Twisted's.
        QueueGet = "queue_get",
        /// Room in a queue of Tornado's.
        QueuePut = "queue_put",
        /// Data on a stream of Tornado's.
        Read = "read",
        /// A stream of Tornado's to be written to.
        Write = "write",
        /// The connection of a stream of Tornado's.
        Connect = "connect",
        /// A generator that runs.
        Running = "running",
    }
}

words! {
    /// A part of an answer that may be cut for lack of time.
    CutPart {
        /// The list of threads.
        Threads = "threads",
        /// Some stacks.
        Stacks = "stacks",
        /// What threads wait for and which locks they hold.
        Waits = "waits",
        /// Variables.
        Variables = "variables",
        /// Greenlets and generators.
        Suspended = "suspended",
    }
}

letters! {
    /// In which way a system call waits for a descriptor.
    Way {
        /// Until there is something to read.
        Read = b'r',
        /// Until something can be written.
        Write = b'w',
        /// Until there is something urgent (`POLLPRI`).
        Urgent = b'p',
        /// Until there is a connection to accept.
        Accept = b'a',
        /// Until it is connected.
        Connect = b'c',
        /// Until something happens that the epoll watches which this descriptor is.
        Epoll = b'e',
        /// Until it may lock the file.
        Lock = b'l',
    }
}

letters! {
    /// What a record of the variables is: its letter, and the fields behind it.
    Record {
        /// A stack: the number that it has in [`document::THREADS`], in two's complement: a thread's
        /// identifier, or the negated address of a greenlet or generator. Its frames follow, innermost
        /// first, without the agent's own.
        Thread = b'T',
        /// A frame: no fields. Its variables follow.
        Frame = b'F',
        /// A local variable of that frame: its name and its value, both text. Its attributes follow.
        Local = b'L',
        /// A global variable that the frame's code uses: likewise.
        Global = b'G',
        /// An attribute of the variable's value: its name and its value, both text.
        Attribute = b'A',
        /// How many attributes of the variable's value are left out, a number.
        AttributesLeftOut = b'N',
        /// The variable's value is still to come, as a [`Record::Repr`] with this number.
        ReprFollows = b'R',
        /// The value, text, of all variables for which a [`Record::ReprFollows`] announced this
        /// number, which stands before it.
        Repr = b'r',
        /// Not everything found room: no fields. The last record.
        Cut = b'E',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_and_letter_stands_for_one_thing() {
        for &kind in WaitKind::ALL {
            assert_eq!(WaitKind::from_name(kind.name()), Some(kind));
        }
        for &kind in GreenletWaitKind::ALL {
            assert_eq!(GreenletWaitKind::from_name(kind.name()), Some(kind));
        }
        for &kind in CoroutineWaitKind::ALL {
            assert_eq!(CoroutineWaitKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(WaitKind::from_name("what is this"), None);
        assert_eq!(Record::from_letter(b'r'), Some(Record::Repr));
        assert_eq!(Record::from_letter(b'?'), None);
        assert_eq!(Way::from_letter(Way::Urgent.letter()), Some(Way::Urgent));
    }

    #[test]
    fn a_key_stands_once_in_its_dictionary() {
        for keys in [
            document::ALL,
            thread::ALL,
            wait::ALL,
            suspended_holder::ALL,
            suspended::ALL,
            greenlets::ALL,
            greenlet::ALL,
            greenlet_wait::ALL,
            coroutines::ALL,
            chain::ALL,
            coroutine_wait::ALL,
        ] {
            for (index, key) in keys.iter().enumerate() {
                assert!(!keys[..index].contains(key), "{key}");
            }
        }
    }

    #[test]
    fn the_version_line_begins_as_that_of_any_version() {
        assert!(VERSION_LINE.starts_with(VERSION_LINE_START) && VERSION_LINE.ends_with(b"\n"));
    }
}
