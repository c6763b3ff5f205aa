//! What is printed of a hostile process: no control characters, no forged headings, no secrets.
