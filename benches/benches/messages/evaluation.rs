//! What a pass over a test set costs beside the network: its instances, and its charts.

use std::time::Duration;

use engine::data::SampleTable;
use engine::figures::{Matrix, confusion_matrix, precision_recall, region_table, roc};
use engine::metrics::{EvaluationCounts, InstanceCounter, RegionCounts};
use engine_benches::cpu;

use crate::session::{PAIRS, Session};

/// Pixels an image is wide and high.
const SIDE: usize = 128;
/// Images of a block.
const IMAGES: usize = 32;

/// Probabilities and targets of an image.
type Image = (Vec<f32>, Vec<u8>);

/// Things of some 20 pixels, predicted with soft edges where they are, or a little beside; some edges are ignored.
fn things(number: usize) -> Image {
    let place = |at: usize| ((at / SIDE) as f64, (at % SIDE) as f64);
    let height = |row: f64, column: f64| {
        let number = number as f64;
        3.0 * ((column / 17.0 + number).sin() + (row / 13.0 + 0.7 * number).cos()) - 1.5
    };
    let logit = |at: usize| {
        let (row, column) = place(at);
        height(row + 1.0, column) + 0.3 * (column / 3.0).sin()
    };
    let target = |at: usize| {
        let (row, column) = place(at);
        match height(row, column) {
            high if high > 1.0 => 1,
            edge if edge > 0.9 => 2,
            _ => 0,
        }
    };
    let pixels = || 0..SIDE * SIDE;
    (pixels().map(|at| (1.0 / (1.0 + (-logit(at)).exp())) as f32).collect(), pixels().map(target).collect())
}

/// Every pixel by itself, as a network that was never trained does not even say it.
fn noise(number: usize) -> Image {
    let mut state = number as u64 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32
    };
    let probabilities = (0..SIDE * SIDE).map(|_| next()).collect();
    (probabilities, things(number).1)
}

/// CPU time of this thread for each of so many; NaN, which is beyond any budget, where the kernel does not tell it.
fn cpu_of_each(count: usize, block: impl FnOnce()) -> f64 {
    let before = cpu::of_thread();
    block();
    let spent: Option<Duration> = cpu::of_thread().zip(before).map(|(now, then)| now - then);
    spent.map_or(f64::NAN, |spent| spent.as_secs_f64() / count as f64)
}

/// An image's instances at 0.5 and at every threshold of the curves.
pub fn instances(id: &'static str, session: &mut Session) {
    let image = if id == "metrics/instances-of-noise" { noise } else { things };
    let images: Vec<Image> = (0..IMAGES).map(image).collect();
    let mut counter = InstanceCounter::default();
    let mut block = || {
        for (probabilities, targets) in &images {
            counter.add(probabilities, targets, (SIDE, SIDE)).unwrap();
        }
    };
    block();
    let times = (0..PAIRS).map(|_| 1e6 * cpu_of_each(IMAGES, &mut block)).collect();
    session.middle(id, "microseconds", times);
    assert!(counter.sums.at_half.true_positives > 0);
}

/// The charts of a validation as PNG files, without the disk.
pub fn charts(id: &'static str, session: &mut Session) {
    let (mut counts, rows) = (EvaluationCounts::default(), [0, 1, 2, 3]);
    let table = SampleTable {
        sample_id: rows.map(|row| row.to_string()).to_vec(),
        region: rows.map(|row| format!("region {row}")).to_vec(),
        empty: vec![false; rows.len()],
    };
    let mut regions = RegionCounts::new(&table, &rows);
    for row in rows {
        let (probabilities, targets) = things(row);
        let mut sample = EvaluationCounts::default();
        sample.add_probabilities(&probabilities, &targets).unwrap();
        regions.add(row, sample.confusion);
        counts += &sample;
    }
    let curves = counts.curve_data();
    let matrix = Matrix {
        classes: ["negative", "positive"],
        counts: curves.cmx_counts,
        unit: "pixels",
        has_true_negatives: true,
    };
    let draw = || {
        let charts = [
            roc("ROC", &curves.roc, 0.9).unwrap(),
            precision_recall("Precision and recall", &curves.prc, 0.8, Some(0.2)).unwrap(),
            confusion_matrix("Confusion matrix", &matrix).unwrap(),
            region_table("Regions", &regions.table()).unwrap(),
        ];
        let bytes: usize = charts.iter().map(|chart| chart.png().unwrap().len()).sum();
        assert!(bytes > 10_000);
    };
    draw();
    let times = (0..PAIRS).map(|_| 1e3 * cpu_of_each(1, draw)).collect();
    session.middle(id, "milliseconds", times);
}
