//! Processes that keep others from asking: locks, floods, agents that never answer.
