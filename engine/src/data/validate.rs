//! Looks at everything before hours are spent on it: values, splits, folds, and what leaks between them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rayon::prelude::*;
use serde::Serialize;

use super::division::{FoldWarning, SampleTable, divide, divide_without_folds, warnings};
use super::error::DataError;
use super::folder::DataFolder;
use super::geometry::{Footprint, meeting_pairs};
use crate::folds::Division;
use crate::segmentation::settings::SegmentationSettings;

/// What a folder holds and how it is divided.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The folder.
    pub path: PathBuf,
    /// Bands that were looked at.
    pub bands: Vec<String>,
    /// Height and width of a sample in pixels.
    pub patch: (usize, usize),
    /// Every sample of the folder.
    pub all: PartReport,
    /// What the labels hold.
    pub values: ValueReport,
    /// The held-out test set, if one is set.
    pub test: Option<PartReport>,
    /// Every fold over the rest.
    pub folds: Vec<FoldReport>,
    /// What is allowed but makes scores say less than they seem to.
    pub warnings: Vec<Warning>,
}

/// The two sides of one fold.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FoldReport {
    /// Number of the fold.
    pub fold: u32,
    /// What it trains on.
    pub train: PartReport,
    /// What it validates on.
    pub val: PartReport,
}

/// Some of the samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PartReport {
    /// How many.
    pub samples: usize,
    /// How many with a positive pixel, as the metadata say.
    pub positive: usize,
    /// How many without.
    pub negative: usize,
    /// By region, sorted by name.
    pub regions: Vec<RegionReport>,
    /// Distinct ids, sorted.
    pub sample_ids: Vec<String>,
}

/// The samples of one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RegionReport {
    /// Name of the region.
    pub region: String,
    /// How many samples.
    pub samples: usize,
    /// How many with a positive pixel.
    pub positive: usize,
}

/// What the labels of all samples hold, in pixels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ValueReport {
    /// Labelled 0.
    pub negative: u64,
    /// Labelled 1.
    pub positive: u64,
    /// Labelled 2.
    pub ignored: u64,
    /// Rows whose `empty` says other than their labels.
    pub wrongly_empty: Vec<usize>,
    /// Rows without a pixel that counts.
    pub all_ignored: Vec<usize>,
}

/// Something that should be known before training.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Warning {
    /// The fold it concerns; `None` for the folder or the test split.
    pub fold: Option<u32>,
    /// What it is about.
    pub kind: WarningKind,
    /// The matter in words.
    pub message: String,
}

/// What a [`Warning`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WarningKind {
    /// A side without a positive sample.
    NoPositives,
    /// A region on both sides.
    SharedRegions,
    /// A sample id on both sides.
    SharedSampleIds,
    /// Samples on both sides that overlap or touch on the ground.
    FootprintsMeet,
    /// `empty` in the metadata contradicts the labels.
    EmptyContradicted,
    /// Samples in which every pixel is ignored.
    NothingCounts,
    /// `patch_size` in `config.toml` contradicts the arrays.
    PatchSize,
}

/// Reads every sample, then divides as the settings ask, and reports both.
///
/// # Errors
/// A value that training would refuse, with count and first sample; a division that is not possible.
pub fn validate(folder: &DataFolder, settings: &SegmentationSettings) -> Result<Report, DataError> {
    let values = check_all(folder)?;
    let table = folder.table();
    let impossible = |source| folder.undividable(source);
    let mut found = folder_warnings(folder, &values);

    let held_out = divide_without_folds(table, settings).map_err(impossible)?;
    if !held_out.test.is_empty() {
        // What each fold says of its own two sides is left to the folds.
        let sides = warnings(table, &held_out);
        found.extend(sides.into_iter().filter(concerns_test).map(|warning| fold_warning(None, &warning)));
        let shared = meeting(folder, (&held_out.train, "the other"), (&held_out.test, "test"));
        found.extend(shared.map(|message| Warning {
            fold: None,
            kind: WarningKind::FootprintsMeet,
            message,
        }));
    }

    let total_folds = settings.fold_method.total_folds(settings.total_folds.max(1));
    let mut folds = Vec::with_capacity(total_folds as usize);
    for fold in 0..total_folds {
        let Division { train, val, .. } = divide(table, settings, fold).map_err(impossible)?;
        let sides = Division { train, val, test: Vec::new() };
        let told = warnings(table, &sides);
        found.extend(told.iter().map(|warning| fold_warning(Some(fold), warning)));
        if sides.train != sides.val {
            let shared = meeting(folder, (&sides.train, "train"), (&sides.val, "validation"));
            let kind = WarningKind::FootprintsMeet;
            found.extend(shared.map(|message| Warning { fold: Some(fold), kind, message }));
        }
        let (train, val) = (part(table, &sides.train), part(table, &sides.val));
        folds.push(FoldReport { fold, train, val });
    }

    let (_, height, width) = folder.shape();
    Ok(Report {
        path: folder.path().to_path_buf(),
        bands: folder.bands().to_vec(),
        patch: (height, width),
        all: part(table, &(0..folder.len()).collect::<Vec<_>>()),
        values,
        test: settings.test_split.is_some().then(|| part(table, &held_out.test)),
        folds,
        warnings: found,
    })
}

/// What one sample holds.
struct SampleScan {
    not_finite: u64,
    bad_labels: Option<(u8, u64)>,
    labels: [u64; 3],
}

/// Decodes every sample, many at once, and looks at every value.
///
/// # Errors
/// The first chunk that does not decode; else values of x that are not finite, else labels other than 0, 1, 2,
/// each with how many there are in how many samples and the first of them.
pub fn check_all(folder: &DataFolder) -> Result<ValueReport, DataError> {
    let scans: Vec<Result<SampleScan, DataError>> =
        (0..folder.len()).into_par_iter().map(|row| scan(folder, row)).collect();
    let scans: Vec<SampleScan> = scans.into_iter().collect::<Result<_, _>>()?;

    let counted = || scans.iter().enumerate().filter(|(_, scan)| scan.not_finite > 0);
    if let Some((first, _)) = counted().next() {
        let values = counted().map(|(_, scan)| scan.not_finite).sum();
        return Err(folder.not_finite(values, counted().count() as u64, first));
    }
    let counted = || scans.iter().enumerate().filter_map(|(row, scan)| scan.bad_labels.map(|bad| (row, bad)));
    if let Some((first, (label, _))) = counted().next() {
        let values = counted().map(|(_, (_, values))| values).sum();
        return Err(folder.bad_labels(values, counted().count() as u64, label, first));
    }

    let mut report = ValueReport::default();
    for (row, SampleScan { labels: [negative, positive, ignored], .. }) in scans.into_iter().enumerate() {
        report.negative += negative;
        report.positive += positive;
        report.ignored += ignored;
        if folder.table().empty[row] != (positive == 0) {
            report.wrongly_empty.push(row);
        }
        if negative + positive == 0 {
            report.all_ignored.push(row);
        }
    }
    Ok(report)
}

fn scan(folder: &DataFolder, row: usize) -> Result<SampleScan, DataError> {
    let sample = folder.read_unchecked(row)?;
    let mut labels = [0; 3];
    for label in &sample.y {
        if let Some(count) = labels.get_mut(usize::from(*label)) {
            *count += 1;
        }
    }
    Ok(SampleScan { not_finite: sample.not_finite(), bad_labels: sample.bad_labels(), labels })
}

fn part(table: &SampleTable, rows: &[usize]) -> PartReport {
    let mut regions: BTreeMap<&str, RegionReport> = BTreeMap::new();
    let mut sample_ids = BTreeSet::new();
    for &row in rows {
        let name = table.region[row].as_str();
        let region = regions.entry(name).or_insert_with(|| RegionReport {
            region: name.to_owned(),
            samples: 0,
            positive: 0,
        });
        region.samples += 1;
        region.positive += usize::from(!table.empty[row]);
        sample_ids.insert(table.sample_id[row].as_str());
    }
    let positive = rows.iter().filter(|row| !table.empty[**row]).count();
    PartReport {
        samples: rows.len(),
        positive,
        negative: rows.len() - positive,
        regions: regions.into_values().collect(),
        sample_ids: sample_ids.into_iter().map(str::to_owned).collect(),
    }
}

fn folder_warnings(folder: &DataFolder, values: &ValueReport) -> Vec<Warning> {
    let (_, height, width) = folder.shape();
    let mut found = Vec::new();
    let mut warn = |kind, message| found.push(Warning { fold: None, kind, message });
    if let Some(size) =
        folder.noted_patch_size().filter(|size| (height as u64, width as u64) != (*size, *size))
    {
        let message = format!("config.toml notes a patch size of {size}, the samples are {height} x {width}");
        warn(WarningKind::PatchSize, message);
    }
    let first =
        |rows: &[usize]| rows.first().map(|row| format!("{row} (`{}`)", folder.table().sample_id[*row]));
    if let Some(named) = first(&values.wrongly_empty) {
        let rows = values.wrongly_empty.len();
        let message = format!(
            "`empty` contradicts the labels of {rows} samples, first of sample {named}; folds are stratified by it"
        );
        warn(WarningKind::EmptyContradicted, message);
    }
    if let Some(named) = first(&values.all_ignored) {
        let message = format!(
            "every pixel is ignored in {} samples, first in sample {named}",
            values.all_ignored.len()
        );
        warn(WarningKind::NothingCounts, message);
    }
    found
}

fn concerns_test(warning: &FoldWarning) -> bool {
    use super::division::Side;
    match warning {
        FoldWarning::NoPositives { side, .. } => *side == Side::Test,
        FoldWarning::SharedRegions { sides: (_, second), .. }
        | FoldWarning::SharedSampleIds { sides: (_, second), .. } => *second == Side::Test,
    }
}

fn fold_warning(fold: Option<u32>, warning: &FoldWarning) -> Warning {
    let kind = match warning {
        FoldWarning::NoPositives { .. } => WarningKind::NoPositives,
        FoldWarning::SharedRegions { .. } => WarningKind::SharedRegions,
        FoldWarning::SharedSampleIds { .. } => WarningKind::SharedSampleIds,
    };
    Warning { fold, kind, message: warning.to_string() }
}

/// In words, which samples of the two sides meet on the ground; `None` if none do or the folder does not say.
fn meeting(folder: &DataFolder, left: (&[usize], &str), right: (&[usize], &str)) -> Option<String> {
    let footprints = folder.footprints()?;
    let located = |rows: &[usize]| -> (Vec<usize>, Vec<&Footprint>) {
        rows.iter().filter_map(|&row| footprints[row].as_ref().map(|print| (row, print))).unzip()
    };
    let (left_rows, left_prints) = located(left.0);
    let (right_rows, right_prints) = located(right.0);
    let pairs = meeting_pairs(&left_prints, &right_prints);
    let named = |row: usize| format!("{row} (`{}`)", folder.table().sample_id[row]);
    let (first, second) = pairs.iter().map(|(i, j)| (left_rows[*i], right_rows[*j])).min()?;
    let distinct = |side: fn(&(usize, usize)) -> usize| pairs.iter().map(side).collect::<BTreeSet<_>>().len();
    Some(format!(
        "{} of {} {} samples overlap or touch {} of {} {} samples on the ground, first {} and {}",
        distinct(|pair| pair.0),
        left.0.len(),
        left.1,
        distinct(|pair| pair.1),
        right.0.len(),
        right.1,
        named(first),
        named(second),
    ))
}
