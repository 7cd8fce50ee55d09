//! The confusion of a set by region: regions differ more than anything else a set can be divided by.

use serde::Serialize;

use super::ConfusionCounts;
use crate::data::SampleTable;

/// Counts of a pass by region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionCounts {
    /// Names in alphabetical order.
    names: Vec<String>,
    /// Place among the names, by row of the table; none for rows of regions that the set has not.
    place_of: Vec<Option<u32>>,
    sums: Vec<Sums>,
}

/// Counts of one region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    samples: u64,
    pixels: ConfusionCounts,
}

/// Numbers a region has in [`RegionCounts::to_flat`].
const FLAT: usize = 5;

/// What is known of one region, or of all together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegionRow {
    /// The region.
    pub region: String,
    /// Samples of it.
    pub samples: u64,
    /// Its pixels by truth and prediction.
    #[serde(flatten)]
    pub pixels: ConfusionCounts,
    /// Intersection over union of the positive class; 0/0 is 0, as in all that follow.
    #[serde(rename = "JaccardIndex")]
    pub iou: f64,
    /// Share of what was found that is true.
    #[serde(rename = "Precision")]
    pub precision: f64,
    /// Share of what is true that was found.
    #[serde(rename = "Recall")]
    pub recall: f64,
    /// Harmonic mean of the two.
    #[serde(rename = "F1Score")]
    pub f1: f64,
}

/// Every region of a set, and all of them together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegionTable {
    /// In alphabetical order.
    pub regions: Vec<RegionRow>,
    /// The whole set.
    pub all: RegionRow,
}

impl RegionCounts {
    /// Nothing counted yet, of the regions that these rows of a table lie in.
    pub fn new(table: &SampleTable, rows: &[usize]) -> Self {
        let mut names: Vec<&str> = rows.iter().map(|row| table.region[*row].as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let place = |region: &String| names.binary_search(&region.as_str()).ok();
        let place_of =
            table.region.iter().map(|region| place(region).and_then(|place| u32::try_from(place).ok()));
        Self {
            place_of: place_of.collect(),
            sums: vec![Sums::default(); names.len()],
            names: names.into_iter().map(str::to_owned).collect(),
        }
    }

    /// Adds the pixels of a sample, the row of which says where it lies.
    pub fn add(&mut self, row: usize, pixels: ConfusionCounts) {
        let place = self.place_of.get(row).copied().flatten();
        if let Some(sums) = place.and_then(|place| self.sums.get_mut(place as usize)) {
            sums.samples += 1;
            sums.pixels += pixels;
        }
    }

    /// Every count as a number that processes can add up, exact below 2⁵³.
    pub fn to_flat(&self) -> Vec<f64> {
        let flat = |sums: &Sums| {
            let [one, two, three, four] = sums.pixels.to_flat();
            [sums.samples as f64, one, two, three, four]
        };
        self.sums.iter().flat_map(flat).collect()
    }

    /// Takes the counts of [`RegionCounts::to_flat`], added up, in place of its own.
    pub fn set_flat(&mut self, flat: &[f64]) {
        let (regions, _) = flat.as_chunks::<FLAT>();
        for (sums, &[samples, one, two, three, four]) in self.sums.iter_mut().zip(regions) {
            let pixels = ConfusionCounts::from_flat([one, two, three, four]);
            *sums = Sums { samples: samples as u64, pixels };
        }
    }

    /// What was counted.
    pub fn table(&self) -> RegionTable {
        let mut all = Sums::default();
        for sums in &self.sums {
            all.samples += sums.samples;
            all.pixels += sums.pixels;
        }
        let regions = self.names.iter().zip(&self.sums).map(|(name, sums)| sums.row(name));
        RegionTable { regions: regions.collect(), all: all.row("all") }
    }
}

impl Sums {
    fn row(&self, region: &str) -> RegionRow {
        let ConfusionCounts { true_positives, false_positives, false_negatives, .. } = self.pixels;
        let [tp, fp, fn_] = [true_positives, false_positives, false_negatives].map(|count| count as f64);
        RegionRow {
            region: region.to_owned(),
            samples: self.samples,
            pixels: self.pixels,
            iou: super::confusion::ratio(tp, tp + fp + fn_),
            precision: super::confusion::ratio(tp, tp + fp),
            recall: super::confusion::ratio(tp, tp + fn_),
            f1: super::confusion::ratio(2.0 * tp, 2.0 * tp + fp + fn_),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> SampleTable {
        let regions = ["Yukon", "Banks", "Yukon", "Herschel", "Banks"];
        SampleTable {
            sample_id: (0..5).map(|id| id.to_string()).collect(),
            region: regions.map(str::to_owned).to_vec(),
            empty: vec![false; 5],
        }
    }

    fn pixels(true_positives: u64, false_positives: u64, false_negatives: u64) -> ConfusionCounts {
        ConfusionCounts { true_positives, false_positives, false_negatives, true_negatives: 7 }
    }

    #[test]
    fn samples_count_for_their_region_and_all_regions_for_all() {
        let mut counts = RegionCounts::new(&table(), &[0, 1, 2, 4]);
        let nothing = counts.table();
        assert_eq!(
            nothing.regions.iter().map(|row| row.region.as_str()).collect::<Vec<_>>(),
            ["Banks", "Yukon"]
        );
        assert_eq!((nothing.all.samples, nothing.all.iou), (0, 0.0));
        counts.add(0, pixels(6, 2, 0));
        counts.add(2, pixels(2, 0, 2));
        counts.add(4, pixels(0, 0, 4));
        counts.add(3, pixels(1000, 0, 0));
        let table = counts.table();
        let [banks, yukon] = table.regions.as_slice() else { panic!("{table:?}") };
        assert_eq!(
            (banks.samples, banks.pixels, banks.recall, banks.precision),
            (1, pixels(0, 0, 4), 0.0, 0.0)
        );
        assert_eq!(
            (yukon.samples, yukon.iou, yukon.precision, yukon.recall, yukon.f1),
            (2, 8.0 / 12.0, 0.8, 0.8, 0.8)
        );
        assert_eq!((table.all.samples, table.all.iou), (3, 0.5));
    }

    #[test]
    fn counts_of_several_processes_add_up_to_those_of_one() {
        let rows = [0, 1, 2, 3, 4];
        let counted = |rows: &[usize]| {
            let mut counts = RegionCounts::new(&table(), &[0, 1, 2, 3, 4]);
            rows.iter().for_each(|row| counts.add(*row, pixels(*row as u64, 1, 2)));
            counts
        };
        let (first, second) = (counted(&rows[..2]).to_flat(), counted(&rows[2..]).to_flat());
        let sum: Vec<f64> = first.iter().zip(second).map(|(one, other)| one + other).collect();
        let mut both = counted(&[]);
        both.set_flat(&sum);
        assert_eq!(both, counted(&rows));
    }
}
