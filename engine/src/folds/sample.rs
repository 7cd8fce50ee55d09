//! Some of the rows.

use super::mt19937::RandomState;
use super::{FoldError, SPLIT_SEED};

/// Draws `n` of `n_rows` rows: pandas' `sample(n, random_state=42)`.
///
/// The rows come in drawn order, as pandas leaves them; the folds made of them depend on it.
///
/// # Errors
/// [`FoldError::SubsampleOutOfRange`] for none, or more than there are.
pub fn subsample(n_rows: usize, n: usize) -> Result<Vec<usize>, FoldError> {
    if n == 0 || n > n_rows {
        return Err(FoldError::SubsampleOutOfRange { wanted: n, rows: n_rows });
    }
    Ok(RandomState::new(SPLIT_SEED).choice(n_rows, n))
}
