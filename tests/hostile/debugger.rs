//! What gdb must not load or run: files of the user's and of the target's.
