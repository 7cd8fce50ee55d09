//! JSON as W&B reads it: numbers that are not finite are bare words, which `serde_json` can not write.

use std::time::{SystemTime, UNIX_EPOCH};

/// A number, in the shortest text that reads back as the same; `NaN`, `Infinity` and `-Infinity` where it is not finite.
pub(super) fn number(value: f64) -> String {
    match value {
        nan if nan.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        // `{:?}` turns to exponents where `{}` would write hundreds of zeros.
        finite => format!("{finite:?}"),
    }
}

/// A moment in seconds since 1970.
pub(super) fn unix_secs(at: SystemTime) -> f64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn finite_numbers_read_back_as_the_same_and_others_are_bare_words() {
        for value in [0.0, -0.0, 0.1, 1.0 / 3.0, 1e300, 5e-324, f64::MAX, 123_456_789.0] {
            let read: f64 = serde_json::from_str(&number(value)).unwrap();
            assert_eq!(read.to_bits(), value.to_bits(), "{value}");
        }
        let others = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(number);
        assert_eq!(others, ["NaN", "Infinity", "-Infinity"]);
    }

    #[test]
    fn moments_before_1970_are_negative() {
        assert_eq!(unix_secs(UNIX_EPOCH + Duration::from_millis(1500)).to_bits(), 1.5_f64.to_bits());
        assert_eq!(unix_secs(UNIX_EPOCH - Duration::from_secs(2)).to_bits(), (-2.0_f64).to_bits());
    }
}
