//! The namespace in which our Python text runs.

use std::ffi::CStr;

use crate::agent::failure::Failure;
use crate::cpython::api::MethodDefinition;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Object, Owned};
use crate::script::raised::raised;

/// Puts an object into a namespace. `None` stands for an object that could not be made, and has left an
/// exception set.
pub fn put_in<'gil>(
    gil: &mut Gil<'gil>,
    namespace: Object,
    name: &CStr,
    object: Option<Owned<'gil>>,
) -> Result<(), Failure> {
    let put = |object: Owned| gil.set_item_named(namespace, name, object.object());
    object.and_then(put).ok_or_else(|| raised(gil))
}

/// Puts functions of the library's own into a namespace, under their names.
pub fn put_methods(
    gil: &mut Gil,
    namespace: Object,
    methods: &'static [MethodDefinition],
) -> Result<(), Failure> {
    for method in methods {
        let function = gil.new_function(method);
        // SAFETY: it is a C string, which stands still.
        let name = unsafe { CStr::from_ptr(method.name) };
        put_in(gil, namespace, name, function)?;
    }
    Ok(())
}
