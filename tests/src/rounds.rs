//! How often and when cases repeat what depends on chance: more often in the full form.

/// Environment variable: `full` runs ten times as many rounds, and prints their outcomes.
const TORTURE: &str = "SLEEPER_TORTURE";

/// Whether this is the full form.
pub fn full() -> bool {
    std::env::var(TORTURE).is_ok_and(|value| value == "full")
}

/// This many rounds, or in the full form ten times as many.
pub fn times(rounds: usize) -> usize {
    if full() { 10 * rounds } else { rounds }
}

/// The moment of a round, from 0 to 1: moments spread evenly, whatever their number, and never repeat.
pub fn spread(round: usize) -> f64 {
    (round as f64 * 0.618_034) % 1.0
}
