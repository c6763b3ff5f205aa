//! Evaluation of the benchmarks' measurements.

/// The median.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Whether a goal is met, as a word; a missed goal stands out.
pub fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
