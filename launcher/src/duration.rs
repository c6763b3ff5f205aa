//! Durations in words.

/// A duration with the two units that matter.
pub fn duration(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0 if seconds < 0.0005 => "0 s".to_owned(),
        0 if seconds < 0.0995 => format!("{:.0} ms", seconds * 1e3),
        ..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {} min", whole / 3600, whole / 60 % 60),
        _ => format!("{} d {} h", whole / 86_400, whole / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn names_two_units() {
        for (seconds, words) in [
            (0.0, "0 s"),
            (0.0006, "1 ms"),
            (0.02, "20 ms"),
            (0.0999, "0.1 s"),
            (0.16, "0.2 s"),
            (59.0, "59.0 s"),
            (61.9, "1 min 1 s"),
            (7384.0, "2 h 3 min"),
            (90_000.0, "1 d 1 h"),
        ] {
            assert_eq!(duration(seconds), words);
        }
    }
}
