//! How a question gets into a program: through gdb and a thread of the program (`detour`), or by a
//! signal without a debugger (`wake`, `peers`).

mod detour;
mod peers;
mod wake;
