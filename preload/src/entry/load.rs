//! Load: the constructor, which runs before `main` in every process that inherits LD_PRELOAD.
//!
//! In a process that is not CPython it makes a symbol look-up or two and returns. In CPython it looks up
//! the C API and queues one pending call, which the interpreter makes on its main thread once it runs
//! (`entry/boot.rs`).

use core::arch::global_asm;
use libloading::os::unix::Library;
use std::env;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::Ordering;

use crate::agent::bell;
use crate::agent::stage::{ELDER, ONLY_PID, StateFunction, elder, is_left_alone};
use crate::ask::request;
use crate::cpython::find::{self, Interpreter, UNUSABLE};
use crate::entry::call::sleeper_agent_state;
use crate::entry::{boot, detour};
use crate::system::{filter, loaded_objects};
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
    // The loader, which calls this, cannot catch a panic.
    let _ = std::panic::catch_unwind(|| {
        let program = Library::this();
        let find = |name: &'static CStr| {
            // SAFETY: only the symbol's address is taken. Its users cast it to the type that the symbol has
            // in every version.
            unsafe { program.get::<*const ()>(name.to_bytes_with_nul()) }
                .ok()
                .map(|symbol| *symbol as usize)
        };
        // The global scope has a copy of the library that was preloaded. A copy loaded by an import is
        // found in the loader's list.
        let own = sleeper_agent_state as StateFunction as usize;
        let preloaded = find(c"sleeper_agent_state");
        let first = preloaded.or_else(|| {
            loaded_objects::object_defining(c"sleeper_agent_state")?
                .address_of(c"sleeper_agent_state")
        });
        if let Some(elder) = first
            && elder != own
        {
            ELDER.store(elder as *mut (), Ordering::Release);
        }
        bell::hang(detour::address());
        if self::elder().is_some() {
            return;
        }
        // The environment may be changed before `main`, but not in an import.
        if preloaded.is_some() && !may_stay() {
            return;
        }
        if sleeper_agent_version_function.is_null() {
            // Not CPython, or its symbols are not global: then it is looked for at the first question.
            return;
        }
        request::read_deadline();
        match find::find(&find) {
            Interpreter::Usable(python) => {
                filter::learn();
                boot::arm(python);
            }
            Interpreter::Unusable(what) => {
                let _ = UNUSABLE.set(what);
            }
            Interpreter::Absent => {}
        }
    });
}

/// Whether this process may have an agent (`sa-run --no-children`). In any process but the chosen one,
/// it takes the library out of the environment, so that programs started from there do not load it.
///
/// The chosen process keeps the environment: it may be a wrapper that has yet to become (exec) the
/// program, and the program may exec itself.
///
/// Before `main` only, when no other thread reads the environment.
fn may_stay() -> bool {
    let only = env::var_os(ONLY_PID_VARIABLE);
    let only = only.as_ref().and_then(|pid| pid.to_str());
    let Some(only) = only.and_then(|pid| pid.parse::<i32>().ok()) else {
        return true;
    };
    ONLY_PID.store(only, Ordering::Relaxed);
    if !is_left_alone() {
        return true;
    }
    // SAFETY: in the constructor, before `main`, this is the process's only thread.
    unsafe {
        env::remove_var(ONLY_PID_VARIABLE);
        if let (Some(list), Some(own)) = (env::var_os("LD_PRELOAD"), own_path()) {
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

/// The path by which this library was loaded.
fn own_path() -> Option<&'static CStr> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: `dladdr` fills in `info`, a local for which zeros are valid. The name belongs to the
    // loader's entry for this library, which is never unloaded (-z nodelete). The loader's locks that
    // `dladdr` takes are recursive.
    unsafe {
        let own = load_address as fn() as *const libc::c_void;
        if libc::dladdr(own, info.as_mut_ptr()) == 0 {
            return None;
        }
        let name = info.assume_init().dli_fname;
        (!name.is_null()).then(|| CStr::from_ptr(name))
    }
}

/// An address in this library, for `dladdr`.
fn load_address() {}
