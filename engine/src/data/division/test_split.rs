//! The step before the folds: the held-out test set.

use std::collections::BTreeSet;

use super::{DivisionError, SampleTable};
use crate::folds::mt19937::RandomState;
use crate::folds::nearest::nearest;
use crate::folds::{FoldError, SPLIT_SEED};
use crate::segmentation::settings::TestSplit;

/// Seeds tried until a random test set has a positive sample.
const SEEDS_TRIED: u32 = 100;

/// Divides `rows` into those to train and validate on, and those held out.
///
/// A random split draws the train rows (in drawn order, as pandas' `sample(frac=1 - fraction, random_state=42)`) and
/// holds out the others in table order; where no sample held out is positive, it tries the next seed, 100 in all.
/// The other splits keep the order of `rows`.
///
/// # Errors
/// [`DivisionError`] if a region or sample id is not there, the fraction is none, or one side is left empty.
///
/// # Sources
/// pandas 3.1, `NDFrame.sample`: `round(frac * n)` rows, half to even.
pub fn split_test(
    table: &SampleTable,
    rows: &[usize],
    split: &TestSplit,
) -> Result<(Vec<usize>, Vec<usize>), DivisionError> {
    table.check_rows(rows)?;
    let (train, test): (Vec<usize>, Vec<usize>) = match split {
        TestSplit::Random(fraction) => random(table, rows, *fraction)?,
        TestSplit::Region(regions) => {
            let unknown = |region: String, nearest| DivisionError::UnknownRegion { region, nearest };
            known(regions, rows, &table.region, unknown)?;
            rows.iter().partition(|&&row| !regions.contains(&table.region[row]))
        }
        TestSplit::Sample(ids) => {
            let unknown = |sample_id: String, nearest| DivisionError::UnknownSampleId { sample_id, nearest };
            known(ids, rows, &table.sample_id, unknown)?;
            let ids: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
            rows.iter().partition(|&&row| !ids.contains(table.sample_id[row].as_str()))
        }
    };
    if test.is_empty() {
        return Err(DivisionError::EmptyTest { samples: rows.len() });
    }
    if train.is_empty() {
        let cause = "the test split holds out every sample".to_owned();
        return Err(FoldError::EmptyTrain { cause }.into());
    }
    Ok((train, test))
}

/// Refuses a name that none of the rows bears.
fn known(
    wanted: &[String],
    rows: &[usize],
    column: &[String],
    unknown: impl Fn(String, Option<String>) -> DivisionError,
) -> Result<(), DivisionError> {
    let there: BTreeSet<&str> = rows.iter().map(|&row| column[row].as_str()).collect();
    match wanted.iter().find(|name| !there.contains(name.as_str())) {
        Some(name) => Err(unknown(name.clone(), nearest(name, there).map(str::to_owned))),
        None => Ok(()),
    }
}

fn random(
    table: &SampleTable,
    rows: &[usize],
    fraction: f64,
) -> Result<(Vec<usize>, Vec<usize>), DivisionError> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(DivisionError::FractionOutOfRange { fraction });
    }
    let train_len = train_len(rows.len(), fraction);
    if train_len == rows.len() {
        return Err(DivisionError::EmptyTest { samples: rows.len() });
    }
    let last_seed = SPLIT_SEED + SEEDS_TRIED - 1;
    for seed in SPLIT_SEED..=last_seed {
        let drawn = RandomState::new(seed).choice(rows.len(), train_len);
        let mut held_out = vec![true; rows.len()];
        for &position in &drawn {
            held_out[position] = false;
        }
        let test: Vec<usize> =
            rows.iter().zip(held_out).filter(|&(_, out)| out).map(|(&row, _)| row).collect();
        if test.iter().any(|&row| !table.empty[row]) {
            return Ok((drawn.into_iter().map(|position| rows[position]).collect(), test));
        }
    }
    Err(DivisionError::NoPositiveTestSample { fraction, first_seed: SPLIT_SEED, last_seed })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a count, times a fraction of one"
)]
fn train_len(rows: usize, test_fraction: f64) -> usize {
    ((1.0 - test_fraction) * rows as f64).round_ties_even() as usize
}
