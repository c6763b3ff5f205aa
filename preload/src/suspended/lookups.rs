//! Functions by which the Python texts look at frames and objects. They run no code of the program's and
//! change nothing in a frame. (`frame.f_locals` would copy a function's variables into a dictionary that the
//! program may have got from `locals()`.)
//!
//! On the worker, under the GIL, where the boot has found objects laid out as `cpython/layout` has them.

use crate::agent::failure::Failure;
use crate::agent::hold;
use crate::cpython::api::Methods;
use crate::cpython::callback::method;
use crate::cpython::copies::Copies;
use crate::cpython::dict;
use crate::cpython::fields::Fields;
use crate::cpython::gil::{Access, Gil};
use crate::cpython::glue::List;
use crate::cpython::object::{Frame, Object, Owned};
use crate::inspect::attributes::held;
use crate::inspect::objects::Objects;
use crate::inspect::pending_call::PendingCalls;
use crate::script::namespace;

static METHODS: Methods<6> = Methods([
    method!(c"_item", item, 2),
    method!(c"_attributes", attributes),
    method!(c"_variables", variables),
    method!(c"_called", called),
    method!(c"_entered", entered),
    method!(c"_links", links),
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

/// The most objects of `with` blocks of one stack that are listed, and the most frames that are looked at.
const MOST_ENTERED: usize = 100;
const MOST_FRAMES: usize = 10_000;

/// `_entered(frames)`: see `lookups.py`.
fn entered<'gil>(gil: &mut Gil<'gil>, list: Object<'gil>) -> Option<Owned<'gil>> {
    let objects = Objects::known(gil)?;
    let mut found: Vec<(Object, Object, Frame)> = Vec::new();
    let mut enough = true;
    for given in gil.list_items(list) {
        let first = found.len();
        for frame in objects.frames(objects.as_frame(given)).take(MOST_FRAMES) {
            if !hold::spend(5) || found.len() - first >= MOST_ENTERED {
                break;
            }
            if objects.blocks(frame) == 0 {
                continue;
            }
            objects.exits(frame, &mut |exit| {
                enough &= found.try_reserve(1).is_ok();
                if let Some(owner) = objects.owner(exit).filter(|_| enough) {
                    found.push((given, owner, frame));
                }
            });
        }
    }
    if !enough {
        return gil.no_memory();
    }
    let mut entered = List::new(gil);
    for (given, owner, frame) in found {
        let code = objects.code(frame);
        let line = gil.new_int(objects.line(code, objects.position(frame)))?;
        entered.push([given, owner, objects.names(code)[0], line.object()]);
    }
    entered.finish()
}

/// A list with more items is not looked into.
const MOST_LINKS: usize = 10_000;

/// `_links(things)`: see `lookups.py`.
fn links<'gil>(gil: &mut Gil<'gil>, list: Object<'gil>) -> Option<Owned<'gil>> {
    let objects = Objects::known(gil)?;
    let mut found: Vec<(Object, Object)> = Vec::new();
    let mut enough = true;
    for thing in gil.list_items(list) {
        objects.referents(thing, &mut |held| {
            if objects.is(held, objects.PyList_Type) && gil.list_size(held) <= MOST_LINKS {
                for link in gil.list_items(held).take_while(|_| hold::spend(5)) {
                    let Some(function) = objects.as_c_function(link) else {
                        continue;
                    };
                    enough &= found.try_reserve(1).is_ok();
                    let owner = objects.c_function_owner(function);
                    if let Some(owner) = owner.filter(|_| enough)
                        && objects.c_function_name(function) == b"switch"
                    {
                        found.push((thing, owner));
                    }
                }
            }
            hold::spend(5)
        });
    }
    if !enough {
        return gil.no_memory();
    }
    let mut links = List::new(gil);
    for (thing, owner) in found {
        links.push([thing, owner]);
    }
    links.finish()
}

/// `_called(frame)`: what a frame is calling, as (`id` of the object, name of the attribute), if that is known; else
/// `None`. It is looked at in copies, as where a frame is says only what it has begun last.
fn called<'gil>(gil: &mut Gil<'gil>, frame: Object<'gil>) -> Option<Owned<'gil>> {
    let objects = Objects::known(gil)?;
    let Some(frame) = objects.as_frame(frame) else {
        return gil.bad_argument();
    };
    let copies = Copies::default();
    let access = Access::to_copies(gil.python(), &copies);
    let copied = Objects::of(&access)?;
    match PendingCalls::new(copied).of(frame).called {
        Some((Some(object), name)) => {
            gil.new_tuple([gil.new_int(object.address() as i64), gil.new_str(name)])
        }
        _ => Some(gil.own(gil.none())),
    }
}
