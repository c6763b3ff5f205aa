//! Functions by which the Python texts look at frames and objects. They run no code of the program's and
//! change nothing in a frame. (`frame.f_locals` would copy a function's variables into a dictionary that the
//! program may have got from `locals()`.)
//!
//! On the worker, under the GIL, where the boot has found objects laid out as `cpython/layout` has them.

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

/// `_attributes(object)`: the dictionary of an object's own attributes; of a class of either style, the
/// class's own. `None` if there is none, or it is of a derived class, or not all of its keys are `str`.
/// Neither the object nor its class is asked.
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

/// `_item(dictionary, name)`: `(value,)` if a dictionary has this name, a `str`; else `None`, also if it is
/// not a dictionary. The classes of its keys are not asked.
fn item<'gil>(gil: &mut Gil<'gil>, [dictionary, name]: [Object<'gil>; 2]) -> Option<Owned<'gil>> {
    match dict::value(Fields::known(gil)?, dictionary, name) {
        Some(item) => gil.new_tuple([Some(gil.own(item))]),
        None => Some(gil.own(gil.none())),
    }
}

/// `_called(frame)`: what a frame is calling, as (object, name of the attribute), if its code names it
/// plainly; else `None`.
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
