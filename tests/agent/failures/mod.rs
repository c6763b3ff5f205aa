//! What goes wrong: the agent lacks what it needs, memory holds nonsense, gdb or the command is killed. Each
//! time there is an answer or one clear line, and the program goes on.

mod corrupt;
mod faults;
mod mortal;
