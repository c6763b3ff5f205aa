//! What happens to the program or to the asking command during a question: other commands ask too,
//! debuggers come and go, the program is stopped, ends or executes another program.

mod company;
mod meanwhile;
