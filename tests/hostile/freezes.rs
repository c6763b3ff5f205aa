//! No question holds the program up for longer than 150 ms.
