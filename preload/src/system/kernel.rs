//! What old kernels lack, by the names that it has here.
//!
//! A library that is built with the feature `old_kernel` uses names and numbers that no kernel has. A test runs
//! it: a filter of system calls does not make a kernel old, as the agent looks whether it is under one.

use std::ffi::c_long;

/// Added to the numbers of system calls.
const OFF: c_long = if cfg!(feature = "old_kernel") {
    1000
} else {
    0
};

/// close_range(2), since Linux 5.9.
pub const CLOSE_RANGE: c_long = libc::SYS_close_range + OFF;

/// process_vm_readv(2), since Linux 3.2.
pub const PROCESS_VM_READV: c_long = libc::SYS_process_vm_readv + OFF;

/// statx(2), since Linux 4.11.
pub const STATX: c_long = libc::SYS_statx + OFF;

/// The folder of the calling thread, since Linux 3.17.
pub const THREAD_SELF: &str = match cfg!(feature = "old_kernel") {
    true => "/proc/no-thread-self",
    false => "/proc/thread-self",
};
