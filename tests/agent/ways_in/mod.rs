//! How a question gets into a program: through gdb and a thread of the program (`detour`), or by a
//! signal without a debugger (`wake`, `peers`). How the library gets into a program that was started without it
//! (`load`).

mod detour;
mod load;
mod peers;
mod wake;
