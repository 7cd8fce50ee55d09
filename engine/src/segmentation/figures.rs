//! The figures of a run: data of its curves, charts, and pictures of samples.
//!
//! A figure that can not be written is a warning: no disk keeps a run from training.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use engine_actors::outcome::Failure;
use engine_tracking::atomic::{self, AtomicError, Durability};
use engine_tracking::{Figure, FigureContent, ImageFile, Series};
use serde::Serialize;

use super::error::RunError;
use super::evaluate::Evaluation;
use super::preview::Preview;
use crate::metrics::CurveData;
use crate::workload::RunContext;

/// Names of the classes, by label.
const CLASSES: [&str; 2] = ["negative", "positive"];

/// One pass and its curves, as written to `figures/{prefix}_curves.json`.
#[derive(Debug, Serialize)]
struct Curves<'a> {
    epoch: u32,
    step: u64,
    #[serde(flatten)]
    curves: &'a CurveData,
}

/// Writes the curves of a pass, whole or not at all, in place of those before.
pub(super) fn write_curves(
    context: &RunContext,
    run_dir: &Path,
    prefix: &str,
    (epoch, step): (u32, u64),
    curves: &CurveData,
) {
    let path = run_dir.join("figures").join(format!("{prefix}_curves.json"));
    let written = put(&path, Durability::Synced, |file| {
        serde_json::to_writer_pretty(&mut *file, &Curves { epoch, step, curves })?;
        file.write_all(b"\n")
    });
    if let Err(error) = written {
        warn(context, error);
    }
}

/// Draws a pass: its charts, and its previews in `figures/{prefix}_samples_epoch{E}/`.
pub(super) fn draw(
    context: &RunContext,
    run_dir: &Path,
    prefix: &str,
    (epoch, step): (u32, u64),
    evaluation: &Evaluation,
) {
    let mut contents = charts(&evaluation.curves);
    let folder = run_dir.join("figures").join(format!("{prefix}_samples_epoch{epoch}"));
    match write_previews(&folder, &evaluation.previews) {
        Ok(pictures) if pictures.is_empty() => {}
        Ok(pictures) => contents.push(("samples", FigureContent::Images(pictures))),
        Err(error) => warn(context, error),
    }
    let figures = contents.into_iter().map(|(name, content)| {
        let name = format!("{prefix}/{name}");
        Figure { name, epoch, step, content }
    });
    context.draw(figures.collect());
}

fn charts(curves: &CurveData) -> Vec<(&'static str, FigureContent)> {
    let CurveData { roc, prc, cmx_counts, .. } = curves;
    let positive =
        |x: &[f64], y: &[f64]| vec![Series { name: CLASSES[1].into(), x: x.to_vec(), y: y.to_vec() }];
    vec![
        ("roc", FigureContent::Roc(positive(&roc.false_positive_rate, &roc.true_positive_rate))),
        ("precision_recall", FigureContent::PrecisionRecall(positive(&prc.recall, &prc.precision))),
        (
            "confusion_matrix",
            FigureContent::ConfusionMatrix {
                classes: CLASSES.map(String::from).to_vec(),
                counts: cmx_counts.iter().map(|row| row.to_vec()).collect(),
            },
        ),
    ]
}

/// Writes each preview as `{place}.png`. Nobody waits for the disk: a power cut may take them.
fn write_previews(folder: &Path, previews: &[Preview]) -> Result<Vec<ImageFile>, RunError> {
    let write = |preview: &Preview| {
        let path = folder.join(format!("{}.png", preview.place));
        put(&path, Durability::Unsynced, |file| file.write_all(&preview.png()?))?;
        let (width, height) = (preview.width, preview.height);
        Ok(ImageFile { path, width, height, caption: preview.caption.clone() })
    };
    previews.iter().map(write).collect()
}

/// Writes a file of a folder that is made if need be: readers see all of it or nothing.
fn put(
    path: &Path,
    durability: Durability,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), RunError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .map_err(|source| RunError::Figure(AtomicError::Create { path: path.to_owned(), source }))?;
    }
    atomic::put(path, durability, fill).map_err(RunError::Figure)
}

fn warn(context: &RunContext, error: RunError) {
    context.warn(Failure::from(error).message);
}
