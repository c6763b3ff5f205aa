//! Load: the constructor, which runs before `main` in every process that inherits LD_PRELOAD.
//!
//! In a process that is not CPython it makes a symbol look-up or two and returns. In CPython it looks up
//! the C API and queues one pending call, which the interpreter makes on its main thread once it runs
//! (`entry/boot.rs`).

use core::arch::global_asm;
use std::env;
use std::ffi::{CStr, OsStr};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::Ordering;

use crate::agent::stage::{self, StateFunction};
use crate::agent::{bell, panics};
use crate::ask::request;
use crate::cpython::find::{self, Interpreter, UNUSABLE};
use crate::cpython::thread_states;
use crate::entry::call::sleeper_agent_state;
use crate::entry::{boot, detour, elder};
use crate::system::c_library::Loaded;
use crate::system::{environment, filter, loaded_objects, memory};
use protocol::names::ONLY_PID_VARIABLE;

// A weak reference, which the loader resolves while it binds this library: it is null in a process
// without Python. A `dlsym` that fails would take as long as all the rest of the constructor, as it
// makes up an error message.
global_asm!(
    ".pushsection .data.rel.ro.sleeper_agent,\"aw\",@progbits",
    ".p2align 3",
    ".hidden sleeper_agent_version_function",
    ".globl sleeper_agent_version_function",
    "sleeper_agent_version_function:",
    ".weak Py_GetVersion",
    ".quad Py_GetVersion",
    ".popsection",
);

unsafe extern "C" {
    /// `Py_GetVersion`, if it is among the process's global symbols; else null.
    safe static sleeper_agent_version_function: *const ();
}

/// The constructor, on the thread that loads the library: before `main` in a preloaded process, inside
/// `import` in one that imports it. The thread may hold the loader's locks, which are recursive.
#[cfg_attr(not(miri), ctor::ctor(unsafe))]
#[cfg_attr(miri, allow(dead_code))]
fn load() {
    bell::hang(detour::address());
    // Most processes are not CPython, and go no further. In them each page that this touches would cost as much
    // as all that it does.
    if sleeper_agent_version_function.is_null()
        && environment::value_now(ONLY_PID_VARIABLE).is_none()
    {
        // Or its symbols are not global: then it is looked for at the first question.
        return;
    }
    // The loader, which calls this, cannot catch a panic.
    let _ = panics::caught(|| match memory::as_the_loader(look_around) {
        Some(Interpreter::Usable(python)) => {
            filter::learn();
            boot::arm(python);
        }
        Some(Interpreter::Unusable(what)) => {
            let _ = UNUSABLE.set(what);
            if find::lacks_threads() {
                complain(what);
            }
        }
        Some(Interpreter::Absent) | None => {}
    });
}

/// Looks for an interpreter, in a process that may have an agent; `None` in others.
fn look_around() -> Option<Interpreter> {
    // Everything below is found in it.
    loaded_objects::find_list();
    let program = Loaded::program();
    let find = |name: &'static CStr| match &program {
        Some(program) => program.address_of(name),
        None => loaded_objects::address_of(name),
    };
    // The environment may be changed before `main`, but not in an import: an imported copy is not among the
    // program's global symbols. Without a loader's functions nothing can be imported.
    let is_preloaded = program.as_ref().is_none_or(|program| {
        let own = sleeper_agent_state as StateFunction as usize;
        program.address_of(c"sleeper_agent_state") == Some(own)
    });
    if elder::look() || is_preloaded && !may_stay() {
        return None;
    }
    if sleeper_agent_version_function.is_null() {
        return None;
    }
    let found = find::find(&find, &find);
    if let Interpreter::Usable(python) = found
        && python.initialized()
        && !thread_states::this_thread_holds_gil(python)
    {
        // A command has had this thread started, beside the program's.
        environment::leave_to_the_program();
    }
    request::read_deadline();
    Some(found)
}

/// Whether this process may have an agent (`sa-run --no-children`). In any process but the chosen one,
/// it takes the library out of the environment, so that programs started from there do not load it.
///
/// The chosen process keeps the environment: it may be a wrapper that has yet to become (exec) the
/// program, and the program may exec itself.
///
/// Before `main` only, when no other thread reads the environment.
fn may_stay() -> bool {
    let only = environment::value_now(ONLY_PID_VARIABLE);
    let Some(only) = only.and_then(|pid| pid.text().parse::<i32>().ok()) else {
        return true;
    };
    stage::ONLY_PID.store(only, Ordering::Relaxed);
    if !stage::is_left_alone() {
        return true;
    }
    // SAFETY: in the constructor, before `main`, this is the process's only thread.
    unsafe {
        env::remove_var(ONLY_PID_VARIABLE);
        if let (Some(list), Some(own)) = (env::var_os("LD_PRELOAD"), loaded_objects::own_path()) {
            let rest: Vec<&[u8]> = list
                .as_bytes()
                .split(|&byte| byte == b':' || byte == b' ')
                .filter(|&entry| entry != own.to_bytes())
                .collect();
            let rest = rest.join(&b':');
            if rest.is_empty() {
                env::remove_var("LD_PRELOAD");
            } else {
                env::set_var("LD_PRELOAD", OsStr::from_bytes(&rest));
            }
        }
    }
    false
}

/// Says on standard error why this Python program has no agent. In a program that has no threads, or in one
/// whose C library is an unknown one: nobody would think of asking it.
fn complain(what: &str) {
    let mut line = [0; 256];
    let mut rest = &mut line[..];
    let _ = writeln!(
        rest,
        "libsleeper.so: {what}, so process {} runs without an agent; \
         to be rid of this line, start it without LD_PRELOAD",
        std::process::id()
    );
    let left = rest.len();
    let length = line.len() - left;
    // SAFETY: the kernel reads the line only, a local.
    unsafe { libc::write(2, line.as_ptr().cast(), length) };
}
