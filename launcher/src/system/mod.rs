//! The kernel's interfaces: processes, memory maps, ELF files, sockets, signals.
//!
//! Enters: PIDs and paths. Leaves: plain values. Nothing here knows of agents or of Python, beyond the
//! names and numbers in `protocol`. Everything `unsafe` in the commands is here, behind safe functions;
//! system calls that rustix has go through rustix.

pub mod bounded_file;
pub mod bpf;
pub mod child;
pub mod cpu_share;
pub mod elf;
pub mod epoll;
pub mod exec;
pub mod file_locks;
pub mod idle_times;
pub mod interrupt;
pub mod mapped_file;
pub mod maps;
pub mod memory;
pub mod memory_file;
pub mod name_service;
pub mod named_file;
pub mod namespace;
pub mod open_files;
pub mod own_limits;
pub mod path_search;
pub mod peer;
pub mod permission;
pub mod proc_file;
pub mod process;
pub mod random;
pub mod scheduling;
pub mod signal;
pub mod sockets;
pub mod standard_output;
pub mod supervisor;
pub mod thread_status;
pub mod tracee;
pub mod turn;
pub mod unix_peers;
pub mod users;
pub mod within_root;
