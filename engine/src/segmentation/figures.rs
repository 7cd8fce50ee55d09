//! The figures of a run: data of its curves, charts, and pictures of samples.
//!
//! A figure that can not be written is a warning: no disk keeps a run from training.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use engine_actors::outcome::Failure;
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
    let written = put(&path, Durable::Yes, |file| {
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

/// Writes each preview as `{place}.png`.
fn write_previews(folder: &Path, previews: &[Preview]) -> Result<Vec<ImageFile>, RunError> {
    let write = |preview: &Preview| {
        let path = folder.join(format!("{}.png", preview.place));
        put(&path, Durable::No, |file| file.write_all(&preview.png()?))?;
        let (width, height) = (preview.width, preview.height);
        Ok(ImageFile { path, width, height, caption: preview.caption.clone() })
    };
    previews.iter().map(write).collect()
}

/// Whether a file is waited for until it is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durable {
    Yes,
    /// A power cut may take it; training does not wait.
    No,
}

/// Writes a file aside and gives it its name: readers see all of it or nothing.
fn put(
    path: &Path,
    durable: Durable,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), RunError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}"));
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::create(&aside)?;
        fill(&mut file)?;
        if durable == Durable::Yes {
            file.sync_all()?;
        }
        fs::rename(&aside, path)
    };
    write().map_err(|source| {
        // The first error is the one to tell; what is left aside does no harm.
        drop(fs::remove_file(&aside));
        RunError::Figure { path: path.to_owned(), source }
    })
}

fn warn(context: &RunContext, error: RunError) {
    context.warn(Failure::from(error).message);
}
