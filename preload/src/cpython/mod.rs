//! Everything that depends on the interpreter's version: its C API and the layout of its objects.
//!
//! Enters: the loaded objects of the process. Leaves: the API as [`api::Python`], and the fields of
//! frames, code, threads and dictionaries. Each layout is checked against a live object before it is used.

pub mod api;
pub mod dict;
pub mod fields;
pub mod find;
pub mod frame_fields;
pub mod gil;
pub mod glue;
pub mod guarded_frame;
pub mod layout;
pub mod layout_check;
pub mod thread_states;
