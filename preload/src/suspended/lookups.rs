//! What `greenlets.py` looks at frames and objects with: functions that run none of the program's code,
//! and change nothing in a frame. (`frame.f_locals` copies a function's variables into a dictionary
//! that the program may have got from `locals()`.)
//!
//! On the worker, under the GIL, where the boot has found the layout of frames to be as it is known.

use crate::agent::failure::Failure;
use crate::cpython::api::Methods;
use crate::cpython::callback::method;
use crate::cpython::dict;
use crate::cpython::fields::Fields;
use crate::cpython::gil::Gil;
use crate::cpython::glue::List;
use crate::cpython::object::{Object, Owned};
use crate::inspect::attributes::held;
use crate::inspect::objects::Objects;
use crate::inspect::pending_call::PendingCalls;
use crate::script::namespace;

static METHODS: Methods<4> = Methods([
    method!(c"_item", item, 2),
    method!(c"_attributes", attributes),
    method!(c"_variables", variables),
    method!(c"_called", called),
]);

/// Puts the functions into a namespace.
pub fn put_in(gil: &mut Gil, namespace: Object) -> Result<(), Failure> {
    namespace::put_methods(gil, namespace, &METHODS.0)
}

/// `_attributes(object)`: the dictionary that holds an object's own attributes (of a class of either style,
/// what it holds itself), or `None`, also if that is of a class with ideas of its own, or with keys that are
/// not all `str`; without asking the object or its class.
fn attributes<'gil>(gil: &mut Gil<'gil>, object: Object<'gil>) -> Option<Owned<'gil>> {
    let dictionary = Fields::known(gil).and_then(|fields| {
        held(fields, object).filter(|&dictionary| dict::has_names_only(fields, dictionary))
    });
    Some(match dictionary {
        Some(dictionary) => gil.own(*dictionary),
        None => gil.own(gil.none()),
    })
}

/// `_variables(frame)`: a function's local variables, as (name, value).
fn variables<'gil>(gil: &mut Gil<'gil>, frame: Object<'gil>) -> Option<Owned<'gil>> {
    let fields = Fields::known(gil)?;
    let Some(frame) = fields.as_frame(frame) else {
        return gil.bad_argument();
    };
    let mut list = List::new(gil);
    fields.variables(frame, &mut |name, value| list.push([name, value]));
    list.finish()
}

/// `_item(dictionary, name)`: what a dictionary has under a `str`, as a tuple of one, or `None`, also if
/// this is something else; without asking the classes of its keys.
fn item<'gil>(gil: &mut Gil<'gil>, [dictionary, name]: [Object<'gil>; 2]) -> Option<Owned<'gil>> {
    match dict::value(Fields::known(gil)?, dictionary, name) {
        Some(item) => gil.new_tuple([Some(gil.own(item))]),
        None => Some(gil.own(gil.none())),
    }
}

/// `_called(frame)`: what a frame is calling, as far as its code names it plainly, as (object, name of
/// its attribute); or `None`.
fn called<'gil>(gil: &mut Gil<'gil>, frame: Object<'gil>) -> Option<Owned<'gil>> {
    let objects = Objects::known(gil)?;
    let Some(frame) = objects.as_frame(frame) else {
        return gil.bad_argument();
    };
    match PendingCalls::new(objects).of(frame).called {
        Some((Some(object), name)) => gil.new_tuple([Some(gil.own(object)), gil.new_str(name)]),
        _ => Some(gil.own(gil.none())),
    }
}
