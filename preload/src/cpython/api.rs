//! The C API of CPython 2.6 and 2.7, looked up in the running process.
//!
//! pyo3-ffi provides the names of the types. Its macros and structs describe Python 3, so nothing here
//! reads through them: reference counts go through the exported functions.

use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::ptr;

pub use pyo3_ffi::{
    METH_NOARGS, METH_O, METH_VARARGS, Py_file_input, Py_ssize_t, PyInterpreterState, PyObject,
    PyThreadState,
};

/// `int (*)(void *)`, as `Py_AddPendingCall` wants it (Include/ceval.h).
pub type PendingCall = unsafe extern "C-unwind" fn(*mut c_void) -> c_int;

/// `PyMethodDef` of Python 2 (Include/methodobject.h).
#[repr(C)]
pub struct MethodDefinition {
    /// The function's name in the module; null ends the table.
    pub name: *const c_char,
    /// The function itself.
    pub function: Option<Function>,
    /// How it is called: `METH_…`.
    pub flags: c_int,
    /// The doc string, or null.
    pub doc: *const c_char,
}

/// `struct _inittab` (Include/import.h): a module that is built into the interpreter.
#[repr(C)]
pub struct BuiltIn {
    /// The module's name; null ends the table.
    pub name: *const c_char,
    /// Makes the module and puts it into `sys.modules`; null for modules that are there from the start.
    pub start: Option<unsafe extern "C-unwind" fn()>,
}

/// `PyCFunction` (Include/methodobject.h): given the object that it is a method of, and its arguments.
pub type Function = unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject) -> *mut PyObject;

/// The definition of a function without a doc string. `name` is a C string in a static.
pub const fn method(name: *const c_char, function: Function, flags: c_int) -> MethodDefinition {
    MethodDefinition {
        name,
        function: Some(function),
        flags,
        doc: ptr::null(),
    }
}

/// Definitions of functions, for a static: CPython 2 keeps pointers to them.
pub struct Methods<const COUNT: usize>(pub [MethodDefinition; COUNT]);
// SAFETY: read by CPython under the GIL, never changed.
unsafe impl<const COUNT: usize> Sync for Methods<COUNT> {}

macro_rules! python_api {
    (
        functions { $( $function:ident : fn($($argument:ty),*) $(-> $result:ty)?; )* }
        data { $( $datum:ident : $type:ty; )* }
    ) => {
        /// Every function and variable of the interpreter that the agent uses, at its address in this
        /// process.
        ///
        /// The functions are "C-unwind", as an interpreter may end a thread inside a call
        /// (`pthread_exit`). Most of them need the GIL: see [`crate::cpython::gil`].
        #[allow(non_snake_case, missing_docs)]
        pub struct Python {
            $( pub $function: unsafe extern "C-unwind" fn($($argument),*) $(-> $result)?, )*
            $( pub $datum: *mut $type, )*
            /// `Py_InitModule4`, under the name that this build exports.
            pub init_module: InitModule,
            /// The address of the type of frames. (The walk compares it with the types of objects.)
            pub frame_type: usize,
            /// The address of the type of code objects.
            pub code_type: usize,
            /// The address of `str`.
            pub string_type: usize,
            /// The address of `dict`.
            pub dict_type: usize,
            /// The address of the type of all instances of old-style classes.
            pub instance_type: usize,
            /// The address of the variable that points to the garbage collector's list of its youngest
            /// objects; 0: this build does not export it.
            pub youngest_objects: usize,
            /// Whether a character of a `unicode` has four bytes; if not, it has two.
            pub has_wide_unicode: bool,
            /// Whether this is CPython 2.6; if not, it is 2.7.
            pub is_2_6: bool,
        }

        impl Python {
            /// How many functions and variables the table below has.
            const COUNT: usize = [$( stringify!($function), )* $( stringify!($datum), )*].len();

            /// Looks everything up; the error is the name of a symbol that is missing.
            pub fn look_up(
                find: &dyn Fn(&'static CStr) -> Option<usize>,
                is_2_6: bool,
            ) -> Result<Self, &'static str> {
                let need = |name: &'static CStr| {
                    find(name).ok_or(name.to_str().unwrap_or("a symbol"))
                };
                // One text and one loop: a call for each name would be code, and an address in a table would
                // be work for the loader in every process.
                let mut names = concat!(
                    $( stringify!($function), "\0", )* $( stringify!($datum), "\0", )*
                ).as_bytes();
                let mut addresses = [0; Self::COUNT];
                for address in &mut addresses {
                    let name = CStr::from_bytes_until_nul(names).unwrap_or_default();
                    *address = need(name)?;
                    names = &names[name.count_bytes() + 1..];
                }
                let mut addresses = addresses.into_iter();
                let mut next = || addresses.next().unwrap_or_default();
                Ok(Self {
                    $( $function: {
                        let address = next();
                        // SAFETY: the symbol is this function of CPython 2 (the caller has checked the
                        // version), whose prototype in Include/*.h is the one in the table below.
                        unsafe { std::mem::transmute::<usize, unsafe extern "C-unwind" fn($($argument),*) $(-> $result)?>(address) }
                    }, )*
                    $( $datum: next() as *mut $type, )*
                    init_module: {
                        // Python 2 names it for the size of Py_ssize_t and for debug builds
                        // (Include/modsupport.h).
                        let address = find(c"Py_InitModule4_64")
                            .or_else(|| find(c"Py_InitModule4TraceRefs_64"))
                            .ok_or("Py_InitModule4_64")?;
                        // SAFETY: the symbol is this function of CPython 2, and `InitModule` its
                        // prototype in Include/modsupport.h.
                        unsafe { std::mem::transmute::<usize, InitModule>(address) }
                    },
                    frame_type: need(c"PyFrame_Type")?,
                    code_type: need(c"PyCode_Type")?,
                    string_type: need(c"PyString_Type")?,
                    dict_type: need(c"PyDict_Type")?,
                    instance_type: need(c"PyInstance_Type")?,
                    // Modules/gcmodule.c. No header for programs has it, so it may be missing.
                    youngest_objects: find(c"_PyGC_generation0").unwrap_or(0),
                    // The functions for `unicode` are named after the size (Include/unicodeobject.h).
                    has_wide_unicode: find(c"PyUnicodeUCS4_FromUnicode").is_some(),
                    is_2_6,
                })
            }
        }
    };
}

/// `Py_InitModule4` (Include/modsupport.h): name, methods, doc, self, API version.
pub type InitModule = unsafe extern "C-unwind" fn(
    *const c_char,
    *mut MethodDefinition,
    *const c_char,
    *mut PyObject,
    c_int,
) -> *mut PyObject;

/// The API version of CPython 2.5 to 2.7 (Include/modsupport.h, PYTHON_API_VERSION).
pub const API_VERSION: c_int = 1013;

python_api! {
    functions {
        Py_AddPendingCall: fn(PendingCall, *mut c_void) -> c_int;
        Py_IsInitialized: fn() -> c_int;
        Py_GetRecursionLimit: fn() -> c_int;
        Py_AtExit: fn(unsafe extern "C" fn()) -> c_int;
        Py_GetArgcArgv: fn(*mut c_int, *mut *mut *mut c_char);
        PyEval_ThreadsInitialized: fn() -> c_int;
        PyEval_InitThreads: fn();
        PyEval_AcquireLock: fn();
        PyEval_ReleaseLock: fn();
        PyEval_SaveThread: fn() -> *mut PyThreadState;
        PyEval_RestoreThread: fn(*mut PyThreadState);
        PyEval_GetBuiltins: fn() -> *mut PyObject;
        PyEval_GetFrame: fn() -> *mut PyObject;
        PyCFunction_NewEx: fn(*mut MethodDefinition, *mut PyObject, *mut PyObject) -> *mut PyObject;
        PyEval_EvalCode: fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;
        PyInterpreterState_Head: fn() -> *mut PyInterpreterState;
        PyInterpreterState_Next: fn(*mut PyInterpreterState) -> *mut PyInterpreterState;
        PyThreadState_New: fn(*mut PyInterpreterState) -> *mut PyThreadState;
        PyThreadState_Clear: fn(*mut PyThreadState);
        PyThreadState_Delete: fn(*mut PyThreadState);
        PyThreadState_Swap: fn(*mut PyThreadState) -> *mut PyThreadState;
        PySys_GetObject: fn(*mut c_char) -> *mut PyObject;
        PySys_SetObject: fn(*mut c_char, *mut PyObject) -> c_int;
        PyImport_GetModuleDict: fn() -> *mut PyObject;
        PyImport_ImportModuleNoBlock: fn(*const c_char) -> *mut PyObject;
        Py_CompileStringFlags: fn(*const c_char, *const c_char, c_int, *mut c_void) -> *mut PyObject;
        PyObject_CallObject: fn(*mut PyObject, *mut PyObject) -> *mut PyObject;
        PyObject_GetAttrString: fn(*mut PyObject, *const c_char) -> *mut PyObject;
        PyObject_Hash: fn(*mut PyObject) -> c_long;
        PyObject_IsTrue: fn(*mut PyObject) -> c_int;
        PyObject_Size: fn(*mut PyObject) -> Py_ssize_t;
        PyObject_Repr: fn(*mut PyObject) -> *mut PyObject;
        PyObject_Str: fn(*mut PyObject) -> *mut PyObject;
        PyDict_New: fn() -> *mut PyObject;
        PyDict_Clear: fn(*mut PyObject);
        PyDict_Copy: fn(*mut PyObject) -> *mut PyObject;
        PyDict_Size: fn(*mut PyObject) -> Py_ssize_t;
        PyDict_Next: fn(*mut PyObject, *mut Py_ssize_t, *mut *mut PyObject, *mut *mut PyObject) -> c_int;
        PyDict_Keys: fn(*mut PyObject) -> *mut PyObject;
        PyDict_GetItem: fn(*mut PyObject, *mut PyObject) -> *mut PyObject;
        PyDict_SetItem: fn(*mut PyObject, *mut PyObject, *mut PyObject) -> c_int;
        PyDict_DelItem: fn(*mut PyObject, *mut PyObject) -> c_int;
        PyDict_GetItemString: fn(*mut PyObject, *const c_char) -> *mut PyObject;
        PyDict_SetItemString: fn(*mut PyObject, *const c_char, *mut PyObject) -> c_int;
        PyList_New: fn(Py_ssize_t) -> *mut PyObject;
        PyList_Append: fn(*mut PyObject, *mut PyObject) -> c_int;
        PyList_SetItem: fn(*mut PyObject, Py_ssize_t, *mut PyObject) -> c_int;
        PyList_Size: fn(*mut PyObject) -> Py_ssize_t;
        PyList_GetItem: fn(*mut PyObject, Py_ssize_t) -> *mut PyObject;
        PySet_New: fn(*mut PyObject) -> *mut PyObject;
        PySet_Add: fn(*mut PyObject, *mut PyObject) -> c_int;
        PySet_Discard: fn(*mut PyObject, *mut PyObject) -> c_int;
        PyInt_FromLong: fn(c_long) -> *mut PyObject;
        PyInt_AsLong: fn(*mut PyObject) -> c_long;
        PyTuple_New: fn(Py_ssize_t) -> *mut PyObject;
        PyTuple_GetItem: fn(*mut PyObject, Py_ssize_t) -> *mut PyObject;
        PyTuple_SetItem: fn(*mut PyObject, Py_ssize_t, *mut PyObject) -> c_int;
        PyString_FromStringAndSize: fn(*const c_char, Py_ssize_t) -> *mut PyObject;
        PyString_AsStringAndSize: fn(*mut PyObject, *mut *mut c_char, *mut Py_ssize_t) -> c_int;
        PyMarshal_WriteObjectToString: fn(*mut PyObject, c_int) -> *mut PyObject;
        PyErr_Fetch: fn(*mut *mut PyObject, *mut *mut PyObject, *mut *mut PyObject);
        PyErr_NormalizeException: fn(*mut *mut PyObject, *mut *mut PyObject, *mut *mut PyObject);
        PyErr_Restore: fn(*mut PyObject, *mut PyObject, *mut PyObject);
        PyErr_GivenExceptionMatches: fn(*mut PyObject, *mut PyObject) -> c_int;
        PyErr_Clear: fn();
        PyErr_BadArgument: fn() -> c_int;
        PyErr_NoMemory: fn() -> *mut PyObject;
        Py_IncRef: fn(*mut PyObject);
        Py_DecRef: fn(*mut PyObject);
    }
    data {
        _PyThreadState_Current: *mut PyThreadState;
        _Py_Ticker: c_int;
        PyImport_Inittab: *mut BuiltIn;
        _Py_NoneStruct: PyObject;
        _Py_TrueStruct: PyObject;
        _Py_ZeroStruct: PyObject;
        PyExc_MemoryError: *mut PyObject;
        PyExc_SystemExit: *mut PyObject;
        PyExc_KeyboardInterrupt: *mut PyObject;
        PyBaseObject_Type: PyObject;
        PyEnum_Type: PyObject;
        PyRange_Type: PyObject;
        PyInt_Type: PyObject;
        PyLong_Type: PyObject;
        PyFloat_Type: PyObject;
        PyBool_Type: PyObject;
        PyUnicode_Type: PyObject;
        PyTuple_Type: PyObject;
        PyList_Type: PyObject;
        PySet_Type: PyObject;
        PyFrozenSet_Type: PyObject;
        PyFunction_Type: PyObject;
        PyCFunction_Type: PyObject;
        PyModule_Type: PyObject;
        PyClass_Type: PyObject;
        PyMethod_Type: PyObject;
        PyType_Type: PyObject;
    }
}

impl Python {
    /// Whether `Py_Initialize` has begun, and `Py_Finalize` has not yet begun to take things apart.
    /// Reads one variable (Python/pythonrun.c, 2.6 and 2.7): any thread, any time.
    pub fn initialized(&self) -> bool {
        // SAFETY: the function only returns a static int.
        unsafe { (self.Py_IsInitialized)() != 0 }
    }

    /// Whether there is a GIL. Reads one variable (Python/ceval.c): any thread, any time.
    pub fn has_gil(&self) -> bool {
        // SAFETY: the function only returns whether a static pointer is null.
        unsafe { (self.PyEval_ThreadsInitialized)() != 0 }
    }

    /// Whether the program is `python` itself: `Py_Main` runs it, and keeps its arguments
    /// (Modules/main.c, 2.6 and 2.7). If not, the program embeds the interpreter.
    pub fn runs_main(&self) -> bool {
        let mut count = 0;
        let mut arguments = ptr::null_mut();
        // SAFETY: the function writes to these two locals and does nothing else.
        unsafe { (self.Py_GetArgcArgv)(&mut count, &mut arguments) };
        count > 0
    }

    /// The thread state that holds the GIL, as an address; 0 if none does. It may be gone by the time
    /// somebody looks at it, so it is only ever read by way of `memory`.
    pub fn current_thread_state(&self) -> usize {
        // SAFETY: the variable lives as long as the interpreter's object is mapped; reading an
        // aligned pointer is atomic on every machine we build for.
        unsafe { self._PyThreadState_Current.read_volatile() as usize }
    }

    /// The main interpreter: the first that was made, which is the last in the list (Python/pystate.c,
    /// `PyInterpreterState_New` puts a new one in front). Null if there is none.
    ///
    /// # Safety
    /// This thread has the GIL's lock, with or without a thread state, so that no interpreter ends
    /// meanwhile.
    pub unsafe fn main_interpreter(&self) -> *mut PyInterpreterState {
        // SAFETY: the list does not change while this thread has the lock.
        unsafe {
            let mut last = (self.PyInterpreterState_Head)();
            while !last.is_null() {
                let next = (self.PyInterpreterState_Next)(last);
                if next.is_null() {
                    break;
                }
                last = next;
            }
            last
        }
    }

    /// What `PyThread_get_thread_ident` returns on this thread: `pthread_self()`
    /// (Python/thread_pthread.h, 2.6 and 2.7).
    pub fn this_thread_ident() -> c_long {
        // SAFETY: reads a register.
        unsafe { libc::pthread_self() as c_long }
    }
}
