//! What the benchmarks make of the numbers that they have measured.

/// The value in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Whether a goal is met, in a word that stands out where it is not.
pub fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
