//! Everything that depends on the interpreter's version: its C API and the layout of its objects.
//!
//! Enters: the loaded objects of the process, and a thread that holds the GIL. Leaves: the API as
//! [`api::Python`], the right to use it as [`gil::Gil`], objects as [`object::Object`] and
//! [`object::Owned`], and what is in frames, code, threads and dictionaries.
//!
//! CPython's offsets are written down nowhere else. The boot compares frames, code, types and dictionaries
//! with the table, by live objects, before any object is read by it. Nothing here knows of requests or
//! answers. `unsafe` belongs here: what the other folders need becomes a safe function.
//!
//! Read `gil`, `object`, `glue` and `fields` first: they are what the other folders use.

pub mod api;
pub mod callback;
pub mod collector;
pub mod copies;
pub mod deque;
pub mod dict;
pub mod fields;
pub mod find;
pub mod frame_fields;
pub mod gil;
pub mod gil_semaphore;
pub mod glue;
pub mod guarded_frame;
pub mod layout;
pub mod layout_check;
pub mod numbers;
pub mod object;
pub mod object_fields;
pub mod set;
pub mod slots;
pub mod standard_types;
pub mod structure;
pub mod thread_states;
