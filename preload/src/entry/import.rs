//! The optional import: the same library as the extension module `_sleeper_agent_activation`.

use std::ptr;

use crate::agent::{bell, page};
use crate::ask::request::answer_with;
use crate::cpython::api::{API_VERSION, METH_NOARGS, MethodDefinition, Methods, PyObject};
use crate::cpython::find::{self, Interpreter};
use crate::entry::{boot, elder};
use protocol::question::Words;

static METHODS: Methods<2> = Methods([
    MethodDefinition {
        name: c"sleeper_agent_state".as_ptr(),
        function: Some(state),
        flags: METH_NOARGS,
        doc: c"sleeper_agent_state() -> str\n\nEvery thread's stack, as a debugger would get it."
            .as_ptr(),
    },
    MethodDefinition {
        name: ptr::null(),
        function: None,
        flags: 0,
        doc: ptr::null(),
    },
]);

/// The module's init function (Python/importdl.c): on the importing thread, holding the GIL.
///
/// In a program that was started under the agent, it only adds the Python function. In any other, the
/// agent boots here: an importing thread is between two bytecodes.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn init_sleeper_agent_activation() {
    let python = match find::found() {
        Some(python) => python,
        None => match find::find_late() {
            Interpreter::Usable(python) => python,
            // Without a usable C API the agent cannot raise; `import` itself then says that the module was
            // not initialised properly.
            _ => return,
        },
    };
    // SAFETY: the interpreter calls an init function on a thread that holds the GIL, between two
    // bytecodes. The tables are static. The module object is borrowed: `sys.modules` owns it.
    unsafe {
        (python.init_module)(
            c"_sleeper_agent_activation".as_ptr(),
            METHODS.0.as_ptr().cast_mut(),
            c"The sleeper agent's library, loaded by import.".as_ptr(),
            ptr::null_mut(),
            API_VERSION,
        );
        if !elder::look() {
            bell::come_back();
            boot::boot(ptr::null_mut());
        }
    }
}

/// `_sleeper_agent_activation.sleeper_agent_state()`.
///
/// It lets go of the GIL while it asks, as the worker needs the GIL for the answer.
unsafe extern "C-unwind" fn state(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let Some(python) = find::found() else {
        return ptr::null_mut();
    };
    // SAFETY: the interpreter calls this on a thread that holds the GIL with its thread state, and gets it
    // back so. The thread may allocate, and copies the text while it holds the desk.
    unsafe {
        let thread = (python.PyEval_SaveThread)();
        let copy = answer_with(&Words::default(), boot::program_asks(), |text| {
            page::copy(text)
        });
        (python.PyEval_RestoreThread)(thread);
        match copy {
            Some(text) => {
                (python.PyString_FromStringAndSize)(text.as_ptr().cast(), text.len() as isize)
            }
            None => (python.PyErr_NoMemory)(),
        }
    }
}
