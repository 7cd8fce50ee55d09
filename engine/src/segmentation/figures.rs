//! The figures of a pass: data of its curves and regions, charts, and pictures of samples.
//!
//! A figure that can not be written is a warning: no disk keeps a run from training.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use engine_actors::outcome::Failure;
use engine_tracking::atomic::{self, AtomicError, Durability};
use engine_tracking::{Figure, FigureContent, ImageFile, Series};
use serde::Serialize;

use super::error::RunError;
use super::evaluate::Evaluation;
use super::preview::Preview;
use crate::figures::Picture;
use crate::learn::History;
use crate::metrics::{CurveData, InstanceCurveData, RegionTable};
use crate::workload::FigureTeller;

#[cfg(feature = "plots")]
mod charts;

/// Names of the classes, by label.
const CLASSES: [&str; 2] = ["negative", "positive"];

/// One pass and its curves, as written to `figures/{prefix}_curves.json`.
#[derive(Debug, Serialize)]
struct Curves<'a> {
    epoch: u32,
    step: u64,
    #[serde(flatten)]
    curves: &'a CurveData,
    #[serde(flatten)]
    instances: Option<&'a InstanceCurveData>,
}

/// One pass by region, as written to `figures/{prefix}_regions.json`.
#[derive(Debug, Serialize)]
struct Regions<'a> {
    epoch: u32,
    step: u64,
    #[serde(flatten)]
    table: &'a RegionTable,
}

/// All that it takes to write and draw a pass without the run.
pub(super) struct PassFigures {
    pub(super) run_dir: PathBuf,
    pub(super) prefix: &'static str,
    pub(super) epoch: u32,
    pub(super) step: u64,
    pub(super) evaluation: Evaluation,
    /// The epochs of the run until now; none where a checkpoint is tested.
    #[cfg_attr(not(feature = "plots"), expect(dead_code, reason = "there are no curves without plots"))]
    pub(super) history: Option<History>,
    /// Whether its data take the place of those before.
    pub(super) writes_data: bool,
    pub(super) is_drawn: bool,
}

impl PassFigures {
    /// Writes and draws. What can not be is a warning.
    pub(super) fn perform(&self, teller: &FigureTeller) {
        let folder = self.run_dir.join("figures");
        if self.writes_data
            && let Err(error) = self.write_data(&folder)
        {
            warn(teller, error);
        }
        if !self.is_drawn {
            return;
        }
        let mut contents = charts(&self.evaluation.curves);
        if let Some(instances) = &self.evaluation.instances {
            contents.extend(instance_charts(&instances.curve_data()));
        }
        match self.write_pictures(&folder) {
            Ok(pictures) => contents.extend(pictures),
            Err(error) => warn(teller, error),
        }
        let (prefix, epoch, step) = (self.prefix, self.epoch, self.step);
        let figures = contents.into_iter().map(|(name, content)| {
            let name = format!("{prefix}/{name}");
            Figure { name, epoch, step, content }
        });
        teller.draw(figures.collect());
    }

    /// Writes curves and regions, each whole or not at all, in place of those before.
    fn write_data(&self, folder: &Path) -> Result<(), RunError> {
        let Self { prefix, epoch, step, evaluation, .. } = self;
        let (epoch, step) = (*epoch, *step);
        let instances = evaluation.instances.as_ref().map(|instances| instances.curve_data());
        let curves = Curves { epoch, step, curves: &evaluation.curves, instances: instances.as_ref() };
        put_json(&folder.join(format!("{prefix}_curves.json")), &curves)?;
        let regions = Regions { epoch, step, table: &evaluation.regions };
        put_json(&folder.join(format!("{prefix}_regions.json")), &regions)
    }

    fn write_pictures(&self, folder: &Path) -> Result<Vec<(&'static str, FigureContent)>, RunError> {
        let Self { prefix, epoch, .. } = self;
        let samples = write_previews(
            &folder.join(format!("{prefix}_samples_epoch{epoch}")),
            &self.evaluation.previews,
        )?;
        #[cfg(feature = "plots")]
        let charts = self.write_charts(&folder.join(format!("{prefix}_charts_epoch{epoch}")))?;
        #[cfg(not(feature = "plots"))]
        let charts = Vec::new();
        let contents = [("samples", samples), ("charts", charts)];
        let some = contents.into_iter().filter(|(_, pictures)| !pictures.is_empty());
        Ok(some.map(|(name, pictures)| (name, FigureContent::Images(pictures))).collect())
    }
}

fn positive(x: &[f64], y: &[f64]) -> Vec<Series> {
    vec![Series { name: CLASSES[1].into(), x: x.to_vec(), y: y.to_vec() }]
}

fn matrix(counts: &[[u64; 2]; 2]) -> FigureContent {
    FigureContent::ConfusionMatrix {
        classes: CLASSES.map(String::from).to_vec(),
        counts: counts.iter().map(|row| row.to_vec()).collect(),
    }
}

/// Charts as data, for trackers that draw them themselves.
fn charts(curves: &CurveData) -> Vec<(&'static str, FigureContent)> {
    let CurveData { roc, prc, cmx_counts, .. } = curves;
    vec![
        ("roc", FigureContent::Roc(positive(&roc.false_positive_rate, &roc.true_positive_rate))),
        ("precision_recall", FigureContent::PrecisionRecall(positive(&prc.recall, &prc.precision))),
        ("confusion_matrix", matrix(cmx_counts)),
    ]
}

fn instance_charts(curves: &InstanceCurveData) -> Vec<(&'static str, FigureContent)> {
    let prc = &curves.instance_prc;
    vec![
        ("instance_precision_recall", FigureContent::PrecisionRecall(positive(&prc.recall, &prc.precision))),
        ("instance_confusion_matrix", matrix(&curves.instance_cmx_counts)),
    ]
}

/// Writes each preview as `{place}.png`.
fn write_previews(folder: &Path, previews: &[Preview]) -> Result<Vec<ImageFile>, RunError> {
    let write = |preview: &Preview| {
        let path = folder.join(format!("{}.png", preview.place));
        put_picture(&path, &preview.picture()?, &preview.caption)
    };
    previews.iter().map(write).collect()
}

/// Writes a picture. Nobody waits for the disk: a power cut may take it.
pub(super) fn put_picture(path: &Path, picture: &Picture, caption: &str) -> Result<ImageFile, RunError> {
    put(path, Durability::Unsynced, |file| file.write_all(&picture.png()?))?;
    let (width, height) = (picture.width, picture.height);
    Ok(ImageFile { path: path.to_owned(), width, height, caption: caption.to_owned() })
}

/// Writes a figure's data.
pub(super) fn put_json(path: &Path, data: &impl Serialize) -> Result<(), RunError> {
    put(path, Durability::Synced, |file| {
        serde_json::to_writer_pretty(&mut *file, data)?;
        file.write_all(b"\n")
    })
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

pub(super) fn warn(teller: &FigureTeller, error: RunError) {
    teller.warn(Failure::from(error).message);
}
