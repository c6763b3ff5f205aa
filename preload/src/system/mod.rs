//! The kernel and the C library, as the agent needs them.
//!
//! Enters: numbers and addresses. Leaves: memory, waits, files of `/proc`, loaded objects. Nothing here
//! knows Python, or any room above. Where a function says "any thread", it takes no lock and allocates
//! nothing, and has to stay so.

pub mod aside;
pub mod bounded_bytes;
pub mod c_library;
pub mod credentials;
pub mod descriptor_table;
pub mod environment;
pub mod filter;
pub mod futex;
pub mod hash;
pub mod identity;
pub mod kernel;
pub mod loaded_objects;
pub mod memory;
pub mod memory_budget;
pub mod proc_file;
pub mod reserve;
pub mod rights;
pub mod shut_in;
pub mod signals;
pub mod thread_struct;
#[cfg_attr(any(test, miri), allow(dead_code))]
pub mod unwinder;
pub mod way_out;
