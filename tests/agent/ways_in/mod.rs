//! How a question gets into a program: through gdb and a thread of the program (`detour`), or by a
//! signal without a debugger (`wake`, `peers`). How the library gets into a program that was started without it
//! (`load`) and out again (`unload`), and how the stacks are read where it cannot (`outside`).

mod detour;
mod load;
mod outside;
mod peers;
mod unload;
mod wake;
