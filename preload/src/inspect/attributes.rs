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
    let local = match fields.gil() {
        Some(gil) => LOCAL.get(gil),
        None => LOCAL.get_copied(),
    };
    // SAFETY: only a type is kept.
    let local = local.map(|local| unsafe { Type::assume(local) });
    match (local, fields.gil()) {
        (Some(local), _) => fields.derives(fields.type_of(object), local),
        (None, Some(_)) => false,
        (None, None) => is_named_local(fields, object),
    }
}

/// The same without the GIL, where it has not been found before: by the names of its classes.
fn is_named_local<'g>(fields: Fields<'g>, object: Object<'g>) -> bool {
    const MOST_BASES: usize = 100;
    let bases = std::iter::successors(Some(fields.type_of(object)), |&class| {
        fields.type_base(class)
    });
    let mut bases = bases.take(MOST_BASES);
    bases.any(|class| fields.type_name(class) == b"thread._local")
}

/// The dictionary that holds an object's own attributes; `None` if it has none, or one of a derived class.
/// Neither the object nor its class is asked.
pub fn own<'g>(fields: Fields<'g>, object: Object<'g>) -> Option<Dict<'g>> {
    let dictionary = match fields.old_attributes(object) {
        Some(attributes) => attributes,
        None => fields.attributes_of(object)?,
    };
    let dictionary = fields.as_dict(dictionary)?;
    (!is_local(fields, object)).then_some(dictionary)
}

/// The same; and for a class of the old style what the class itself holds, as [`own`] gives it for a class
/// of the new one.
pub fn held<'g>(fields: Fields<'g>, object: Object<'g>) -> Option<Dict<'g>> {
    match fields.old_class(object) {
        Some(class) => fields.as_dict(class.dict),
        None => own(fields, object),
    }
}
