//! Files that a process chooses: what the commands open of them, and for how long.
