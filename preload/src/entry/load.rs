//! Load: the constructor, before `main`, in every process that inherits LD_PRELOAD.
//!
//! In a process that is not CPython it is a symbol look-up or two. In one that is, it looks up the
//! rest of the C API and leaves one pending call behind; the interpreter makes that call on its
//! main thread once it runs (see `boot.rs`).

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
use crate::system::loaded_objects;
use protocol::names::ONLY_PID_VARIABLE;

// A weak reference, which the loader resolves while it binds this library: in a process without
// Python it is null. To ask `dlsym` for what is not there takes as long as all the rest of the
// constructor, for the sake of an error message.
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
    /// `Py_GetVersion`, if it is among the process's global names.
    safe static sleeper_agent_version_function: *const ();
}

/// Runs on the thread that loads the library: before `main` in a preloaded process, inside
/// `import` in one that imports it. It may hold the loader's locks, which are recursive.
#[cfg_attr(not(miri), ctor::ctor(unsafe))]
#[cfg_attr(miri, allow(dead_code))]
fn load() {
    // No panic may leave: there is nobody to catch it.
    let _ = std::panic::catch_unwind(|| {
        let program = Library::this();
        let find = |name: &'static CStr| {
            // SAFETY: only the address is taken; it is used as what the symbol is.
            unsafe { program.get::<*const ()>(name.to_bytes_with_nul()) }
                .ok()
                .map(|symbol| *symbol as usize)
        };
        // In the program's own scope there is the one that was preloaded, if one was.
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
        // Before `main` the environment is ours to change; in an import it is not.
        if preloaded.is_some() && !may_stay() {
            return;
        }
        if sleeper_agent_version_function.is_null() {
            // Not CPython; or one whose names are not global, which is found when asked for.
            return;
        }
        request::read_deadline();
        match find::find(&find) {
            Interpreter::Usable(python) => boot::arm(python),
            Interpreter::Unusable(what) => {
                let _ = UNUSABLE.set(what);
            }
            Interpreter::Absent => {}
        }
    });
}

/// `sa-run --no-children`: in any process but the one meant, takes the library out of the
/// environment, so that the programs started from there are without it altogether. Returns
/// whether this process may have an agent.
///
/// The process meant keeps it, as it may be a wrapper that has yet to become (exec) the
/// program, and as the program may exec itself.
///
/// Before `main` only: no other thread reads the environment yet.
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
    // SAFETY: single-threaded: a constructor, before `main`.
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

/// The path that this library was loaded by.
fn own_path() -> Option<&'static CStr> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: dladdr fills in `info` for an address of ours; the name belongs to the loader's
    // entry for this library, which is never unloaded (-z nodelete).
    unsafe {
        let own = load_address as fn() as *const libc::c_void;
        if libc::dladdr(own, info.as_mut_ptr()) == 0 {
            return None;
        }
        let name = info.assume_init().dli_fname;
        (!name.is_null()).then(|| CStr::from_ptr(name))
    }
}

/// Stands for this library's place in memory.
fn load_address() {}
