//! Gets at a module without waiting for the import lock, and without leaving a trace.

use std::ffi::CStr;

use crate::agent::failure::Failure;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Object, Owned};
use crate::script::raised::raised;

/// What importing linecache and gc may bring along, in a program that has not even `site`.
const OURS: [&[u8]; 17] = [
    b"linecache",
    b"gc",
    b"time",
    b"os",
    b"os.path",
    b"posix",
    b"posixpath",
    b"genericpath",
    b"stat",
    b"errno",
    b"warnings",
    b"types",
    b"UserDict",
    b"_abcoll",
    b"abc",
    b"_weakrefset",
    b"copy_reg",
];

/// In a program that has imported more modules none is imported, as a copy of them is made for that.
const MOST_MODULES: usize = 100_000;

/// Imports a module without waiting for the import lock, and without leaving anything in `sys.modules`
/// that was not there.
///
/// What had to be imported is kept in `keep`, a dictionary, if there is one: a module that is let go of
/// takes its functions' globals with it.
pub fn module<'gil>(
    gil: &mut Gil<'gil>,
    name: &CStr,
    keep: Option<Object>,
) -> Result<Owned<'gil>, Failure> {
    let modules = gil.own(gil.modules().ok_or(Failure::ShuttingDown)?);
    let known = gil.item_named(modules.object(), name);
    if let Some(known) = known.map(|known| gil.own(known)) {
        return Ok(known);
    }
    // There may have been no memory for the name.
    gil.clear_exception();
    // The program stands still meanwhile.
    if gil.dict_size(modules.object()) > MOST_MODULES {
        return Err(Failure::NoModules);
    }
    // SAFETY: it is a dictionary, and the reference is new.
    let before = unsafe { Owned::new(gil, (gil.PyDict_Copy)(modules.as_ptr())) };
    let before = before.ok_or_else(|| raised(gil))?;
    // SAFETY: the name is a C string, and the reference is new. It fails at once if another thread is
    // importing (Python/import.c, 2.6 and 2.7).
    let mut module = unsafe { Owned::new(gil, (gil.PyImport_ImportModuleNoBlock)(name.as_ptr())) };
    if module.is_none() {
        gil.clear_exception();
        module = built_in(gil, modules.object(), name);
    }
    // SAFETY: it is a dictionary, and the reference is new.
    let names = unsafe { Owned::new(gil, (gil.PyDict_Keys)(modules.as_ptr())) };
    if let Some(names) = &names {
        for index in 0..gil.list_size(names.object()) {
            if let Some(name) = gil.list_item(names.object(), index) {
                let name = gil.own(name);
                take_out(gil, modules.object(), before.object(), name.object(), keep);
            }
        }
    }
    gil.clear_exception();
    module.ok_or(Failure::NoModules)
}

/// Takes one of the modules of [`OURS`] out of the program's, if it was not there before.
fn take_out(gil: &mut Gil, modules: Object, before: Object, name: Object, keep: Option<Object>) {
    // SAFETY: these are dictionaries. What is found is borrowed, and gets a reference of ours at once.
    unsafe {
        if gil.bytes(name).is_some_and(|name| OURS.contains(&name))
            && (gil.PyDict_GetItem)(before.as_ptr(), name.as_ptr()).is_null()
            && let module = (gil.PyDict_GetItem)(modules.as_ptr(), name.as_ptr())
            && let Some(module) = Object::borrowed(module).map(|module| gil.own(module))
        {
            if let Some(keep) = keep {
                gil.set_item(keep, name, module.object());
            }
            (gil.PyDict_DelItem)(modules.as_ptr(), name.as_ptr());
        }
    }
}

/// Makes a module that is built into the interpreter, without the import lock, which only keeps others
/// from making it too (Python/import.c, `init_builtin`, 2.6 and 2.7). `None`, maybe with an exception set,
/// if there is none. (Of the modules that are asked for here that is gc.)
///
/// It is not in `sys.modules`.
fn built_in<'gil>(gil: &mut Gil<'gil>, modules: Object, name: &CStr) -> Option<Owned<'gil>> {
    // SAFETY: the table is changed before `Py_Initialize` only, and ends in a null name. What is started
    // holds the GIL all the time, so nobody else comes to know of the module.
    unsafe {
        let mut entry = gil.PyImport_Inittab.read();
        while !entry.is_null() && !(*entry).name.is_null() {
            if CStr::from_ptr((*entry).name) == name
                && let Some(start) = (*entry).start
            {
                start();
                let module = gil.item_named(modules, name)?;
                return Some(gil.own(module));
            }
            entry = entry.add(1);
        }
    }
    None
}
