//! The library's linker flags.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Once loaded, the library stays: the agent's threads and the interpreter's lists point into it.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // The library calls its own functions, even if another copy of it was loaded before.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-Bsymbolic");
    // The loader binds every symbol at load: an interrupted thread that asks must never enter the loader,
    // which takes locks.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,now");
    // RELRO would cost every process that inherits the library a mapping and a system call, to
    // write-protect tables that hold addresses of libc only.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,norelro");
}
