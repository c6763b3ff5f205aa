//! What the snippet's `_collect` has returned, and what of it is looked at without the GIL.

use crate::cpython::api::{PyObject, Python};
use crate::cpython::glue::bytes;
use crate::files::sources::{Lines, Place, SearchPath};
use crate::inspect::objects::Objects;

/// What was taken down of all threads.
pub struct Collected {
    /// What the snippet made; the reference is ours.
    pub object: *mut PyObject,
    /// The places whose lines of source are wanted, file by file; fewer, where there is no
    /// memory. The names of files stay where they are in the interpreter's objects: they never
    /// change, and live as long as the object above, also while the GIL is not held.
    pub places: Vec<Place<'static>>,
    /// Where their files are looked for.
    pub path: SearchPath,
    /// The identifiers of the threads, where it is facts that are wanted.
    pub idents: Option<Vec<usize>>,
    /// `Question::number` of what was asked for.
    pub question: u64,
    /// The values of variables, where they are wanted: see `values.rs`.
    pub values: Vec<u8>,
}

impl Collected {
    /// Of this object, whose reference it takes over, the number of the question, and the values;
    /// `objects` where it is facts that are wanted.
    ///
    /// # Safety
    /// As for `snippet::collect`; the object is what the snippet made.
    pub unsafe fn of(
        python: &Python,
        object: *mut PyObject,
        objects: Option<Objects>,
        (question, values): (u64, Vec<u8>),
    ) -> Collected {
        // SAFETY: the caller's.
        unsafe {
            Collected {
                object,
                places: places(python, object),
                path: search_path(python, object),
                idents: objects.map(|objects| idents(objects, object)),
                question,
                values,
            }
        }
    }
}

/// See [`Collected::idents`]: as many as there is memory for.
///
/// # Safety
/// As for `snippet::collect`; `collected` is what the snippet made.
unsafe fn idents(objects: Objects, collected: *mut PyObject) -> Vec<usize> {
    let python = objects.python;
    let mut idents = Vec::new();
    // SAFETY: the caller's; all that is got here is borrowed from `collected`.
    unsafe {
        let threads = (python.PyTuple_GetItem)(collected, 0);
        let count = (python.PyList_Size)(threads);
        if idents.try_reserve_exact(count.max(0) as usize).is_ok() {
            for position in 0..count {
                let thread = (python.PyList_GetItem)(threads, position);
                let ident = objects.number((python.PyTuple_GetItem)(thread, 0));
                // Below zero are no threads.
                if ident > 0 {
                    idents.push(ident as usize);
                }
            }
        }
        (python.PyErr_Clear)();
    }
    idents
}

/// See [`Collected::places`].
///
/// # Safety
/// As for `snippet::collect`; `collected` outlives what is returned.
unsafe fn places(python: &Python, collected: *mut PyObject) -> Vec<Place<'static>> {
    let mut places = Vec::new();
    // SAFETY: the caller's; all that is got here is borrowed from `collected`, a tuple of lists of
    // tuples that nobody else knows of.
    unsafe {
        let list = (python.PyTuple_GetItem)(collected, 1);
        let order = (python.PyTuple_GetItem)(collected, 2);
        let count = (python.PyList_Size)(order);
        if places.try_reserve_exact(count.max(0) as usize).is_ok() {
            for position in 0..count {
                let index = (python.PyInt_AsLong)((python.PyList_GetItem)(order, position));
                let place = (python.PyList_GetItem)(list, index as isize);
                if let Some(file) = bytes(python, (python.PyTuple_GetItem)(place, 0)) {
                    places.push(Place {
                        file,
                        line: (python.PyInt_AsLong)((python.PyTuple_GetItem)(place, 2)),
                        index: index as usize,
                        has_loader: (python.PyObject_IsTrue)((python.PyTuple_GetItem)(place, 3))
                            != 0,
                    });
                }
            }
        }
        (python.PyErr_Clear)();
    }
    places
}

/// A copy of what was taken down of `sys.path`.
///
/// # Safety
/// As for `snippet::collect`; `collected` is what the snippet made.
unsafe fn search_path(python: &Python, collected: *mut PyObject) -> SearchPath {
    // SAFETY: the caller's; what is got here of `collected` is borrowed from it, and a list of `str`
    // that nobody else knows of.
    unsafe {
        let mut path = SearchPath::new(python.is_2_6);
        let folders = (python.PyTuple_GetItem)(collected, 3);
        for position in 0..(python.PyList_Size)(folders) {
            if let Some(folder) = bytes(python, (python.PyList_GetItem)(folders, position)) {
                path.add(folder);
            }
        }
        (python.PyErr_Clear)();
        path
    }
}

/// What was found by reading.
#[derive(Default)]
pub struct Found {
    /// Lines of source.
    pub lines: Lines,
    /// See [`tasks::of`]; empty where no facts are wanted.
    pub tasks: Vec<u8>,
}
