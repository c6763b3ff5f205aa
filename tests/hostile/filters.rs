//! Filters of system calls: a program under one never notices the agent, and the answer says what is missing.
