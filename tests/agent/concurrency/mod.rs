//! What happens to the program, or to whoever asks, while it is being asked: others ask too, debuggers
//! come and go, the program is stopped, ends or becomes another.

mod company;
mod meanwhile;
