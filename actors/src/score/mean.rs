//! The means a score is made of.

/// Sum over count; NaN of nothing.
pub(super) fn arithmetic(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Count over the sum of the reciprocals, for positive values.
pub(super) fn harmonic(values: &[f64]) -> f64 {
    let reciprocals: Vec<f64> = values.iter().map(|value| value.recip()).collect();
    arithmetic(&reciprocals).recip()
}

/// The n-th root of the product, through logarithms so that many small values do not underflow; for positive values.
pub(super) fn geometric(values: &[f64]) -> f64 {
    let logarithms: Vec<f64> = values.iter().map(|value| value.ln()).collect();
    arithmetic(&logarithms).exp()
}

/// The smallest value that is a number; NaN if none is.
pub(super) fn minimum(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::min)
}

/// Standard deviation with n - 1 in the denominator; none of fewer than two values or where one is not finite.
pub(super) fn sample_deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = arithmetic(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt()).filter(|deviation| deviation.is_finite())
}
