//! Linker flags of the library.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Other threads and the interpreter's own lists point into it: once loaded, it stays.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // Its own functions are its own, also where another copy of it was loaded before.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-Bsymbolic");
    // Every symbol is bound at load: a question asked on an interrupted thread must never
    // enter the loader, which takes locks.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,now");
    // To have the loader take write permission from a part of it costs every process that inherits
    // the library a mapping and a system call, for tables that hold addresses of libc's only.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,norelro");
}
