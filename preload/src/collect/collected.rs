//! What the snippet's `_collect` has returned, and what of it is looked at without the GIL.

use crate::cpython::gil::Gil;
use crate::cpython::object::Object;
use crate::files::sources::{Lines, Place, SearchPath};
use crate::inspect::objects::Objects;

/// What was taken down of all threads.
pub struct Collected {
    /// The places whose lines of source are wanted, file by file; fewer, where there is no
    /// memory. The names of files stay where they are in the interpreter's objects: they never
    /// change, and live as long as what the snippet made, also while the GIL is not held.
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
    /// Of what the snippet made, the number of the question, and the values;
    /// `facts` where it is facts that are wanted.
    ///
    /// # Safety
    /// The object is kept for as long as this lives, also where the GIL is not held.
    pub unsafe fn of(
        gil: &Gil,
        made: Object,
        facts: bool,
        (question, values): (u64, Vec<u8>),
    ) -> Collected {
        // SAFETY: it is kept for as long as what is taken of it: the names of files, which never change.
        let made: Object<'static> = unsafe { Object::existing(made.as_ptr()) };
        Collected {
            places: places(gil, made),
            path: search_path(gil, made),
            idents: facts.then(|| idents(gil, made)),
            question,
            values,
        }
    }
}

/// See [`Collected::idents`]: as many as there is memory for.
fn idents(gil: &Gil, collected: Object) -> Vec<usize> {
    let mut idents = Vec::new();
    if let Some(threads) = gil.tuple_item(collected, 0)
        && let Some(objects) = Objects::known(gil)
        && idents.try_reserve_exact(gil.list_size(threads)).is_ok()
    {
        for thread in gil.list_items(threads) {
            let ident = objects.number(gil.tuple_item(thread, 0));
            // Below zero are no threads.
            if ident > 0 {
                idents.push(ident as usize);
            }
        }
    }
    gil.clear_exception();
    idents
}

/// See [`Collected::places`].
fn places(gil: &Gil, collected: Object<'static>) -> Vec<Place<'static>> {
    let mut places = Vec::new();
    if let Some(list) = gil.tuple_item(collected, 1)
        && let Some(order) = gil.tuple_item(collected, 2)
        && places.try_reserve_exact(gil.list_size(order)).is_ok()
    {
        for index in gil.list_items(order) {
            // SAFETY: an `int` of ours.
            let index = unsafe { (gil.PyInt_AsLong)(index.as_ptr()) } as usize;
            places.extend(place(gil, list, index));
        }
    }
    gil.clear_exception();
    places
}

fn place(gil: &Gil, list: Object<'static>, index: usize) -> Option<Place<'static>> {
    let place = gil.list_item(list, index)?;
    // SAFETY: what the snippet made is kept, and nobody else knows of it.
    let place: Object<'static> = unsafe { Object::existing(place.as_ptr()) };
    let file = gil.bytes(gil.tuple_item(place, 0)?)?;
    let [line, origin] = [gil.tuple_item(place, 2)?, gil.tuple_item(place, 3)?];
    // SAFETY: an `int` of ours; and a dictionary of ours, or `None`.
    let (line, has_loader) = unsafe {
        let has_loader = (gil.PyObject_IsTrue)(origin.as_ptr()) != 0;
        ((gil.PyInt_AsLong)(line.as_ptr()), has_loader)
    };
    Some(Place {
        file,
        line,
        index,
        has_loader,
    })
}

/// A copy of what was taken down of `sys.path`.
fn search_path(gil: &Gil, collected: Object) -> SearchPath {
    let mut path = SearchPath::new(gil.is_2_6);
    if let Some(folders) = gil.tuple_item(collected, 3) {
        for folder in gil.list_items(folders) {
            if let Some(folder) = gil.bytes(folder) {
                path.add(folder);
            }
        }
    }
    gil.clear_exception();
    path
}

/// What was found by reading.
#[derive(Default)]
pub struct Found {
    /// Lines of source.
    pub lines: Lines,
    /// See [`tasks::of`]; empty where no facts are wanted.
    pub tasks: Vec<u8>,
}
