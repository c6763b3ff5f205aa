//! What the agent leaves as it was: everything that the program could notice, asleep, while it answers,
//! and after thousands of answers.

mod endurance;
mod unharmed;
