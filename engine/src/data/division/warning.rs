//! What is allowed but should be known: sides without positives, and what lies on both sides.

use std::collections::BTreeSet;
use std::fmt;

use super::SampleTable;
use crate::folds::Division;

/// A side of a division.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Trained on.
    Train,
    /// Validated on.
    Val,
    /// Held out.
    Test,
}

/// Something about a division that makes its scores say less than they seem to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FoldWarning {
    /// No sample of this side has a positive pixel.
    NoPositives {
        /// The side.
        side: Side,
        /// Its samples, all of them empty.
        samples: usize,
    },
    /// Regions with samples on both sides.
    SharedRegions {
        /// The two sides.
        sides: (Side, Side),
        /// The regions, sorted.
        regions: Vec<String>,
    },
    /// Sample ids with samples on both sides.
    SharedSampleIds {
        /// The two sides.
        sides: (Side, Side),
        /// The ids, sorted.
        sample_ids: Vec<String>,
    },
}

/// What should be known of a division, sides without positives first.
///
/// Where train and validation are the same rows (fold method none), what they share is not listed.
#[must_use]
pub fn warnings(table: &SampleTable, division: &Division) -> Vec<FoldWarning> {
    let sides = [(Side::Train, &division.train), (Side::Val, &division.val), (Side::Test, &division.test)];
    let mut found = Vec::new();
    for (side, rows) in sides {
        if !rows.is_empty() && rows.iter().all(|&row| table.empty[row]) {
            found.push(FoldWarning::NoPositives { side, samples: rows.len() });
        }
    }
    for (first, second) in [(0, 1), (0, 2), (1, 2)] {
        let ((a, a_rows), (b, b_rows)) = (sides[first], sides[second]);
        if a_rows == b_rows {
            continue;
        }
        let regions = shared(a_rows, b_rows, &table.region);
        if !regions.is_empty() {
            found.push(FoldWarning::SharedRegions { sides: (a, b), regions });
        }
        let sample_ids = shared(a_rows, b_rows, &table.sample_id);
        if !sample_ids.is_empty() {
            found.push(FoldWarning::SharedSampleIds { sides: (a, b), sample_ids });
        }
    }
    found
}

fn shared(a: &[usize], b: &[usize], column: &[String]) -> Vec<String> {
    let names = |rows: &[usize]| rows.iter().map(|&row| column[row].as_str()).collect::<BTreeSet<_>>();
    names(a).intersection(&names(b)).map(|&name| name.to_owned()).collect()
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Val => "validation",
            Self::Test => "test",
        })
    }
}

impl fmt::Display for FoldWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPositives { side, samples } => {
                write!(f, "none of the {samples} {side} samples has a positive pixel")
            }
            Self::SharedRegions { sides: (a, b), regions } => {
                write!(f, "{} in both {a} and {b}: {}", counted(regions, "region"), few(regions))
            }
            Self::SharedSampleIds { sides: (a, b), sample_ids } => {
                write!(f, "{} in both {a} and {b}: {}", counted(sample_ids, "sample id"), few(sample_ids))
            }
        }
    }
}

fn counted(names: &[String], noun: &str) -> String {
    format!("{} {noun}{}", names.len(), if names.len() == 1 { " is" } else { "s are" })
}

/// The first names, and how many more there are.
fn few(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}
