//! How often cases do what is left to chance, and when: more often in the full form.

/// Environment variable: `full` has ten times as many rounds, and says what they came to.
const TORTURE: &str = "SLEEPER_TORTURE";

/// Whether this is the full form.
pub fn full() -> bool {
    std::env::var(TORTURE).is_ok_and(|value| value == "full")
}

/// So many rounds, or ten times as many.
pub fn times(rounds: usize) -> usize {
    if full() { 10 * rounds } else { rounds }
}

/// Moments spread evenly over a span, whatever their number, and no two alike.
pub fn spread(round: usize) -> f64 {
    (round as f64 * 0.618_034) % 1.0
}
