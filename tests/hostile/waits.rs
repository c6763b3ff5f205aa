//! Waits of the commands: each has an end, and Ctrl-C ends them all.
