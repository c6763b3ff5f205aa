//! Functions of the C library that not every C library has, or not in every program.
//!
//! The library is linked against the oldest C library that it serves (`build.rs`), so that it can be loaded
//! everywhere. Three kinds of functions are not there:
//!
//! - Before glibc 2.34 some stood in libraries of their own, libpthread and libdl, which a program may do
//!   without. They are looked up once the process is known to run CPython, which cannot do without them.
//! - Newer functions are looked up too, where one may be faster than the system call (`clock_gettime`), or
//!   replaced by another library; else the system call is made.
//! - The others are system calls, and are made as such.
//!
//! The rest of the library, and Rust's standard library, call all of them by their usual names: the linker
//! finds those names here first. None is ever called where there is none: such a call fails, as it may fail
//! anyway.

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulong, c_void};
use std::mem::{ManuallyDrop, transmute};
use std::sync::atomic::{AtomicUsize, Ordering};

use libloading::os::unix::{Library, RTLD_NOW};

use crate::system::kernel;
use crate::system::loaded_objects;

/// An object that the loader knows, or the program with all its global symbols. It is never closed.
pub struct Loaded(ManuallyDrop<Library>);

impl Loaded {
    /// The program with the objects that it was started with, and those that were added to its global symbols.
    /// `None` in a program without a loader's functions.
    ///
    /// It takes the loader's locks, as all functions of the loader do.
    pub fn program() -> Option<Loaded> {
        has_loader().then(|| Loaded(ManuallyDrop::new(Library::this())))
    }

    /// Loads a library, unless it is loaded. It stays. `None` if that fails.
    ///
    /// # Safety
    /// The library's constructors may run here.
    #[cfg_attr(any(test, miri), allow(dead_code))]
    pub unsafe fn library(name: &str) -> Option<Loaded> {
        if !has_loader() {
            return None;
        }
        // SAFETY: the caller promises that the constructors may run.
        let library = unsafe { Library::open(Some(name), RTLD_NOW) };
        Some(Loaded(ManuallyDrop::new(library.ok()?)))
    }

    /// The address of a symbol; `None` if there is none. Then the loader makes up an error message, which
    /// allocates.
    pub fn address_of(&self, name: &CStr) -> Option<usize> {
        // SAFETY: only the address is taken. Its users cast it to the type that the symbol has in every version.
        let symbol = unsafe { self.0.get::<*const ()>(name.to_bytes_with_nul()) };
        symbol.ok().map(|symbol| *symbol as usize)
    }
}

/// Whether the loader's functions are there. Before glibc 2.34 they stand in libdl.
fn has_loader() -> bool {
    let functions = [
        Function::dlopen,
        Function::dlsym,
        Function::dlerror,
        Function::dlclose,
    ];
    cfg!(any(test, miri))
        || functions.into_iter().all(|function| {
            if address_of(function) != 0 {
                return true;
            }
            let (_, name) = NAMES[function as usize];
            let name = CStr::from_bytes_with_nul(name.as_bytes()).unwrap_or_default();
            let address = loaded_objects::address_of(name).unwrap_or(0);
            FOUND[function as usize].store(address, Ordering::Relaxed);
            address != 0
        })
}

/// Defines functions that are looked up. Each calls what was found, or else does what stands behind `or`.
macro_rules! looked_up {
    ($( $(#[$meta:meta])* $name:ident($($argument:ident: $type:ty),*) -> $result:ty, or $missing:expr; )*) => {
        #[allow(non_camel_case_types, clippy::enum_variant_names)]
        #[derive(Clone, Copy)]
        enum Function { $( $name, )* }

        /// Their names, in the order of [`FOUND`].
        const NAMES: &[(Function, &str)] = &[
            $( (Function::$name, concat!(stringify!($name), "\0")), )*
        ];

        /// Their addresses; 0: not found, or not looked for yet.
        static FOUND: [AtomicUsize; NAMES.len()] = [const { AtomicUsize::new(0) }; NAMES.len()];

        $(
            $(#[$meta])*
            #[allow(dead_code)]
            unsafe extern "C" fn $name($($argument: $type),*) -> $result {
                match FOUND[Function::$name as usize].load(Ordering::Relaxed) {
                    0 => $missing,
                    address => {
                        // SAFETY: the address is that of the C library's function of this name, which has this
                        // prototype in every version. The caller keeps to its contract.
                        unsafe {
                            let function = transmute::<usize, unsafe extern "C" fn($($type),*) -> $result>(address);
                            function($($argument),*)
                        }
                    }
                }
            }
        )*
    };
}

/// `void *(*)(void *)`.
type Start = extern "C" fn(*mut c_void) -> *mut c_void;

/// `void (*)(void)`.
type Handler = Option<unsafe extern "C" fn()>;

looked_up! {
    /// glibc: in libdl before 2.34. The crate libloading calls these four, once they have been found
    /// ([`has_loader`]).
    dlopen(name: *const c_char, flags: c_int) -> *mut c_void,
        or std::ptr::null_mut();
    /// The same.
    dlsym(object: *mut c_void, name: *const c_char) -> *mut c_void,
        or std::ptr::null_mut();
    /// The same.
    dlerror() -> *mut c_char,
        or std::ptr::null_mut();
    /// The same.
    dlclose(object: *mut c_void) -> c_int,
        or -1;
    /// glibc: in libpthread before 2.34.
    pthread_create(thread: *mut libc::pthread_t, attributes: *const libc::pthread_attr_t, start: Start, argument: *mut c_void) -> c_int,
        or libc::ENOSYS;
    /// The same.
    pthread_attr_setstacksize(attributes: *mut libc::pthread_attr_t, size: usize) -> c_int,
        or libc::ENOSYS;
    /// The same.
    pthread_key_create(key: *mut libc::pthread_key_t, destructor: Option<unsafe extern "C" fn(*mut c_void)>) -> c_int,
        or libc::ENOSYS;
    /// The same.
    pthread_key_delete(key: libc::pthread_key_t) -> c_int,
        or libc::ENOSYS;
    /// The same.
    pthread_setspecific(key: libc::pthread_key_t, value: *const c_void) -> c_int,
        or libc::ENOSYS;
    /// glibc alone: what `pthread_atfork` of every version calls (nptl/pthread_atfork.c). Without an object that
    /// it belongs to, the handler stays for good.
    __register_atfork(prepare: Handler, parent: Handler, child: Handler, object: *mut c_void) -> c_int,
        or libc::ENOSYS;
    /// The rest of them. (glibc's stands in a library that is linked into each program.)
    pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> c_int,
        // SAFETY: the caller keeps to the same contract.
        or unsafe { __register_atfork(prepare, parent, child, std::ptr::null_mut()) };
    /// glibc: in libpthread before 2.34.
    sem_timedwait(semaphore: *mut libc::sem_t, until: *const libc::timespec) -> c_int,
        or {
            // SAFETY: the thread's own variable.
            unsafe { *libc::__errno_location() = libc::ENOSYS };
            -1
        };
    /// glibc: in librt before 2.17. Mostly it needs no system call.
    clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int,
        // SAFETY: the caller keeps to the same contract.
        or unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as c_int };
    /// glibc since 2.15.
    process_vm_readv(process: libc::pid_t, to: *const libc::iovec, to_count: c_ulong, from: *const libc::iovec, from_count: c_ulong, flags: c_ulong) -> isize,
        // SAFETY: the caller keeps to the same contract.
        or unsafe { libc::syscall(kernel::PROCESS_VM_READV, process, to, to_count, from, from_count, flags) as isize };
    /// glibc alone; never called.
    gnu_get_libc_version() -> *const c_char,
        or std::ptr::null();
}

/// The ones without which there are no threads, and what an asker is told.
const NEEDED: [(Function, &str); 4] = [
    (
        Function::pthread_create,
        "the C library of this process has no pthread_create",
    ),
    (
        Function::pthread_attr_setstacksize,
        "the C library of this process has no pthread_attr_setstacksize",
    ),
    (
        Function::pthread_key_create,
        "the C library of this process has no pthread_key_create",
    ),
    (
        Function::pthread_setspecific,
        "the C library of this process has no pthread_setspecific",
    ),
];

/// Looks the functions up by `find`, which knows the addresses of symbols. The error says in words what is
/// missing: then the agent can start no thread in this process.
///
/// It allocates nothing, and takes no lock beyond what `find` takes.
pub fn learn(find: &dyn Fn(&'static CStr) -> Option<usize>) -> Result<(), &'static str> {
    for &(function, name) in NAMES {
        if let Function::pthread_atfork = function
            && address_of(Function::__register_atfork) != 0
        {
            continue;
        }
        let name = CStr::from_bytes_with_nul(name.as_bytes()).unwrap_or_default();
        let address = find(name).unwrap_or(0);
        FOUND[function as usize].store(address, Ordering::Relaxed);
    }
    let mut needed = NEEDED.iter();
    match needed.find(|&&(function, _)| address_of(function) == 0) {
        Some(&(_, what)) => Err(what),
        None => Ok(()),
    }
}

fn address_of(function: Function) -> usize {
    FOUND[function as usize].load(Ordering::Relaxed)
}

/// Whether this is glibc, as far as the agent has looked. What it knows of the C library's own structures is
/// known of glibc alone.
pub fn is_glibc() -> bool {
    cfg!(any(test, miri)) || address_of(Function::gnu_get_libc_version) != 0
}

/// Functions that stand in for the C library's: it has none, or none that is old enough.
#[cfg_attr(any(test, miri), allow(dead_code))]
mod calls {
    use super::*;

    /// Rust's standard library looks for newer functions by it, in all objects, and does without those that it
    /// does not find: it gets none, as in a program without libdl.
    pub unsafe extern "C" fn dlsym(object: *mut c_void, name: *const c_char) -> *mut c_void {
        match object.is_null() {
            true => std::ptr::null_mut(),
            // SAFETY: the caller keeps to the contract of `dlsym`.
            false => unsafe { super::dlsym(object, name) },
        }
    }

    /// glibc since 2.30.
    pub unsafe extern "C" fn gettid() -> c_int {
        // SAFETY: it touches no memory.
        unsafe { libc::syscall(libc::SYS_gettid) as c_int }
    }

    /// A function of this name: glibc since 2.33. The kernel's structure is that of the C library
    /// (sysdeps/unix/sysv/linux/x86/bits/struct_stat.h).
    pub unsafe extern "C" fn stat(path: *const c_char, status: *mut libc::stat) -> c_int {
        // SAFETY: the caller keeps to the contract of `stat`.
        unsafe { libc::syscall(libc::SYS_stat, path, status) as c_int }
    }

    /// The same.
    pub unsafe extern "C" fn fstat(file: c_int, status: *mut libc::stat) -> c_int {
        // SAFETY: the caller keeps to the contract of `fstat`.
        unsafe { libc::syscall(libc::SYS_fstat, file, status) as c_int }
    }

    /// glibc since 2.28. Rust's standard library does without where it fails.
    pub unsafe extern "C" fn statx(
        folder: c_int,
        path: *const c_char,
        flags: c_int,
        mask: c_uint,
        status: *mut c_void,
    ) -> c_int {
        // SAFETY: the caller keeps to the contract of `statx`.
        unsafe { libc::syscall(kernel::STATX, folder, path, flags, mask, status) as c_int }
    }
}

// The names under which the functions above are called. `memcpy` has a newer version since glibc 2.14; the
// oldest one is slower than `memmove`, which has had one version all along.
#[cfg(not(any(test, miri)))]
core::arch::global_asm!(
    ".macro sleeper_agent_names name, function",
    ".hidden \\name",
    ".globl \\name",
    ".type \\name, @function",
    "\\name:",
    "jmp \\function",
    ".endm",
    ".pushsection .text.sleeper_agent_c_library,\"ax\",@progbits",
    "sleeper_agent_names pthread_create, {pthread_create}",
    "sleeper_agent_names pthread_attr_setstacksize, {pthread_attr_setstacksize}",
    "sleeper_agent_names pthread_key_create, {pthread_key_create}",
    "sleeper_agent_names pthread_key_delete, {pthread_key_delete}",
    "sleeper_agent_names pthread_setspecific, {pthread_setspecific}",
    "sleeper_agent_names pthread_atfork, {pthread_atfork}",
    "sleeper_agent_names sem_timedwait, {sem_timedwait}",
    "sleeper_agent_names clock_gettime, {clock_gettime}",
    "sleeper_agent_names process_vm_readv, {process_vm_readv}",
    "sleeper_agent_names dlopen, {dlopen}",
    "sleeper_agent_names dlsym, {dlsym}",
    "sleeper_agent_names dlerror, {dlerror}",
    "sleeper_agent_names dlclose, {dlclose}",
    "sleeper_agent_names gettid, {gettid}",
    "sleeper_agent_names stat, {stat}",
    "sleeper_agent_names stat64, {stat}",
    "sleeper_agent_names fstat, {fstat}",
    "sleeper_agent_names fstat64, {fstat}",
    // As the standard library declares it.
    ".hidden statx",
    ".weak statx",
    ".type statx, @function",
    "statx:",
    "jmp {statx}",
    ".hidden memcpy",
    ".globl memcpy",
    ".type memcpy, @function",
    "memcpy:",
    "jmp qword ptr [rip + memmove@GOTPCREL]",
    ".popsection",
    pthread_create = sym pthread_create,
    pthread_attr_setstacksize = sym pthread_attr_setstacksize,
    pthread_key_create = sym pthread_key_create,
    pthread_key_delete = sym pthread_key_delete,
    pthread_setspecific = sym pthread_setspecific,
    pthread_atfork = sym pthread_atfork,
    sem_timedwait = sym sem_timedwait,
    clock_gettime = sym clock_gettime,
    process_vm_readv = sym process_vm_readv,
    dlopen = sym dlopen,
    dlsym = sym calls::dlsym,
    dlerror = sym dlerror,
    dlclose = sym dlclose,
    gettid = sym calls::gettid,
    stat = sym calls::stat,
    fstat = sym calls::fstat,
    statx = sym calls::statx,
);
