//! Memory of the commands, whatever an agent answers and a process shows of itself.
