//! Attributes of objects, found without running any code of the program's.

use crate::cpython::fields::Fields;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Dict, Kept, Object, Owned, Type};

/// `thread._local`, once it has been found.
static LOCAL: Kept = Kept::nothing();

/// Keeps `thread._local`, so that objects of it are known; `None` where the program has no threads. What
/// is no type, but has been put in its place, is not kept.
pub fn keep_local<'gil>(gil: &mut Gil<'gil>, local: Option<Owned<'gil>>) {
    let is_type = |local: &Owned| {
        Fields::known(gil).is_some_and(|fields| fields.as_type(local.object()).is_some())
    };
    let local = local.filter(is_type);
    LOCAL.put(gil, local);
}

/// Whether it is kept.
pub fn knows_local() -> bool {
    !LOCAL.is_empty()
}

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    LOCAL.forget();
}

/// Whether this is a `threading.local`. Such an object has a dictionary for each thread, and in its own
/// field that of the thread which used it last (2.6, Modules/threadmodule.c).
fn is_local<'g>(fields: Fields<'g>, object: Object<'g>) -> bool {
    let Some(local) = LOCAL.get(fields.gil()) else {
        return false;
    };
    // SAFETY: only a type is kept.
    let local = unsafe { Type::assume(local) };
    fields.derives(fields.type_of(object), local)
}

/// The dictionary that holds an object's own attributes; `None` if it has none, or one of a derived class.
/// Neither the object nor its class is asked.
pub fn own<'g>(fields: Fields<'g>, object: Object<'g>) -> Option<Dict<'g>> {
    // SAFETY: it computes where the field stands from the sizes in the object's type, and runs no code
    // (Objects/object.c, 2.6 and 2.7). The field is a pointer to an object, or null, and the object keeps
    // what is in it.
    let dictionary = unsafe {
        let place = (fields._PyObject_GetDictPtr)(object.as_ptr());
        if is_local(fields, object) {
            None
        } else if place.is_null() {
            fields.old_attributes(object)
        } else {
            Object::borrowed(place.read())
        }
    };
    fields.as_dict(dictionary?)
}

/// The same; and for a class of the old style what the class itself holds, as [`own`] gives it for a class
/// of the new one.
pub fn held<'g>(fields: Fields<'g>, object: Object<'g>) -> Option<Dict<'g>> {
    match fields.old_class(object) {
        Some(class) => fields.as_dict(class.dict),
        None => own(fields, object),
    }
}
