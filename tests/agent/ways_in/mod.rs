//! How a question gets into a program: through gdb by way of a thread of the program's own (`detour`), and
//! by a signal without a debugger (`wake`, `peers`).

mod detour;
mod peers;
mod wake;
