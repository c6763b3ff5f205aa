//! The agent changes nothing that the program could notice: asleep, while it answers, and after
//! thousands of answers.

mod endurance;
mod unharmed;
