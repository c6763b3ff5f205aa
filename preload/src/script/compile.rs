//! Compiles Python text that the library carries, once in an interpreter's life.

use std::ffi::CStr;
use std::ptr;

use crate::agent::failure::Failure;
use crate::cpython::api::Py_file_input;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Kept, Object, Owned};
use crate::script::namespace::put_in;
use crate::script::raised::raised;
use crate::script::{builtins, imports};

/// Compiles a text (NUL-terminated; and its name) in a namespace of its own that no module list knows,
/// with these modules, has `add` put something there, and keeps some of its functions: all of them, or
/// none.
pub fn compile(
    gil: &mut Gil,
    text: (&'static str, &CStr),
    modules: &[&CStr],
    add: impl FnOnce(&mut Gil, Object) -> Result<(), Failure>,
    functions: &[(&CStr, &Kept)],
) -> Result<(), Failure> {
    let namespace = gil.new_dict().ok_or_else(|| raised(gil))?;
    let mut result =
        run(gil, text, modules, namespace.object()).and_then(|()| add(gil, namespace.object()));
    for (name, place) in functions {
        if result.is_ok() {
            let function = gil.item_named(namespace.object(), name);
            match function.map(|function| gil.own(function)) {
                Some(function) => place.put(gil, Some(function)),
                None => result = Err(raised(gil)),
            }
        }
    }
    if result.is_err() {
        for (_, place) in functions {
            place.put(gil, None);
        }
        // What has been defined already holds on to the namespace, and the namespace to it.
        // SAFETY: it is a dictionary.
        unsafe { (gil.PyDict_Clear)(namespace.as_ptr()) };
    }
    result
}

/// Puts built-in names and modules into a namespace, and runs the text there.
fn run(
    gil: &mut Gil,
    (text, name): (&'static str, &CStr),
    modules: &[&CStr],
    namespace: Object,
) -> Result<(), Failure> {
    // The interpreter's own dictionary: with any other, Python 2 runs code restricted.
    // SAFETY: what the interpreter keeps is borrowed, and the namespace takes a reference of its own.
    unsafe {
        let builtins = (gil.PyEval_GetBuiltins)();
        (gil.PyDict_SetItemString)(namespace.as_ptr(), c"__builtins__".as_ptr(), builtins);
    }
    let own_name = gil.new_str(b"_sleeper_agent_carried");
    put_in(gil, namespace, c"__name__", own_name)?;
    builtins::put_in(gil, namespace)?;
    for name in modules {
        let module = imports::module(gil, name, Some(namespace))?;
        put_in(gil, namespace, name, Some(module))?;
    }
    // SAFETY: the text is NUL-terminated, as is its name; no flags. The references are new. The text runs
    // nothing but its own definitions.
    let done = unsafe {
        let (text, flags) = (text.as_ptr().cast(), ptr::null_mut());
        let code = (gil.Py_CompileStringFlags)(text, name.as_ptr(), Py_file_input, flags);
        Owned::new(gil, code).and_then(|code| {
            let namespace = namespace.as_ptr();
            let none = (gil.PyEval_EvalCode)(code.as_ptr(), namespace, namespace);
            Owned::new(gil, none)
        })
    };
    done.map(drop).ok_or_else(|| raised(gil))
}
