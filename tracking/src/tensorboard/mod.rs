//! TensorBoard event files: scalars, images, hyperparameters.
//!
//! Nothing has to run for it: point `tensorboard --logdir` at any folder above. A file is a row of records, each with its
//! own checksums; one that is torn is skipped by every reader.
//!
//! Invariants:
//! - BOARD-1: a call writes its records in one piece, and what an interrupted call left is cut off before the next.
//! - BOARD-2: a file is written by one writer; an engine that takes a run up makes a file of its own, whose name sorts behind.
//! - BOARD-3: where a run goes on from, its steps from there on are declared out of date, and TensorBoard drops them. Nothing
//!   else is: a test of the best checkpoint also steps back, and takes nothing back.
//!
//! # Sources
//! `record_writer.cc` of TensorFlow for the framing, `event.proto` and `summary.proto` of TensorBoard 2.21 for the
//! content.

mod hparams;
mod image;
mod proto;
mod records;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::figure::{Figure, FigureContent};
use crate::metric::{MetricPoint, Metrics, RunPlace};
use proto::{Content, Datum, Event, SessionLog, Summary, SummaryMetadata, SummaryValue};
use records::RecordFile;

/// What every event file's name begins with; readers look for it.
const PREFIX: &str = "events.out.tfevents.";
/// What the first record says.
const FILE_VERSION: &str = "brain.Event:2";
/// The scalar beside the points' values that holds their epoch.
const EPOCH: &str = "epoch";

/// Why an event file can not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventFileError {
    /// The folder or the file could not be made.
    #[error("can not make an event file here, check that the folder may be written to: {}", path.display())]
    Create {
        /// The folder or the file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Records could not be written.
    #[error("can not write, check the free space of the disk: {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A picture could not be read.
    #[error("can not read the picture, leave it where it was drawn: {}", path.display())]
    Read {
        /// The picture.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A picture is of another format.
    #[error("the picture is no PNG file, write it as one: {}", path.display())]
    NotPng {
        /// The picture.
        path: PathBuf,
    },
}

/// An event file of one run, written by one writer.
///
/// Values are with the operating system when a call returns, and on the disk after [`EventFile::close`]. They are kept as
/// 32-bit numbers, which is all the format has; NaN and the infinities are among them.
#[derive(Debug)]
pub struct EventFile {
    file: RecordFile,
    /// Epoch and step of the `epoch` written last.
    place: Option<(u32, u64)>,
    /// Whether the run may have written values before, here or in files beside this.
    has_past: bool,
}

impl EventFile {
    /// A new event file in `folder`, which is made if it is not there; a further attempt of a run makes a further file,
    /// as TensorBoard expects.
    ///
    /// # Errors
    /// [`EventFileError`] if it can not be made.
    pub fn create(folder: &Path, started: SystemTime) -> Result<Self, EventFileError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let failed = |source| EventFileError::Create { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let is_ours = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(PREFIX);
        let has_past =
            fs::read_dir(folder).map_err(failed)?.filter_map(Result::ok).any(|entry| is_ours(&entry));
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy().replace(['/', '\0'], "_");
        let secs = wall_time(started) as u64;
        // Ten digits, so that names sort by time: readers take files in the order of their names.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{PREFIX}{secs:010}.{host}.{}.{count}", process::id()));
        let mut file = RecordFile::create(path)?;
        let version = Content::FileVersion(FILE_VERSION.into());
        file.append(&[Event { wall_time: wall_time(started), step: 0, content: Some(version) }])?;
        Ok(Self { file, place: None, has_past })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Hyperparameters, with the metrics that judge them. Numbers, booleans and texts keep their type, lists and maps become
    /// JSON, nothing becomes `none`.
    ///
    /// # Errors
    /// [`EventFileError`] if it can not be written.
    pub fn hyperparameters(
        &mut self,
        values: &Map<String, Value>,
        metrics: &[String],
        at: SystemTime,
    ) -> Result<(), EventFileError> {
        let at = wall_time(at);
        let values = vec![hparams::experiment(values, metrics, at), hparams::session_start(values, at)];
        self.file.append(&[summary(at, 0, values)])
    }

    /// The run logs anew from this place on, without one from its beginning: what was written from its step on, here and in older
    /// files beside this, is declared out of date. Nothing, where nothing can have been written. Whether anything was: then
    /// hyperparameters are to be told again.
    ///
    /// # Errors
    /// [`EventFileError`] if it can not be written.
    pub fn go_on_from(&mut self, place: Option<RunPlace>, at: SystemTime) -> Result<bool, EventFileError> {
        if !self.has_past {
            return Ok(false);
        }
        let step = place.map_or(0, |place| i64::try_from(place.step).unwrap_or(i64::MAX));
        let content = Some(Content::SessionLog(SessionLog::START));
        self.file.append(&[Event { wall_time: wall_time(at), step, content }])?;
        self.place = None;
        Ok(true)
    }

    /// Scalars, at the points' steps, and `epoch` beside them.
    ///
    /// # Errors
    /// [`EventFileError`] if it can not be written.
    pub fn points(&mut self, points: &[MetricPoint], at: SystemTime) -> Result<(), EventFileError> {
        let at = wall_time(at);
        let mut events = Vec::with_capacity(points.len());
        let mut place = self.place;
        for point in points.iter().filter(|point| !point.values.is_empty()) {
            let mut values: Vec<SummaryValue> =
                point.values.iter().map(|(name, value)| scalar(name, *value)).collect();
            if place != Some((point.epoch, point.step)) && !point.values.contains_key(EPOCH) {
                place = Some((point.epoch, point.step));
                values.push(scalar(EPOCH, f64::from(point.epoch)));
            }
            events.push(summary(at, point.step, values));
        }
        self.file.append(&events)?;
        self.place = place;
        self.has_past |= !events.is_empty();
        Ok(())
    }

    /// Images; several of one figure get numbers: `val/samples/0`. Charts are left to W&B.
    ///
    /// # Errors
    /// [`EventFileError`] if it can not be written, or a picture not read.
    pub fn figures(&mut self, figures: &[Figure], at: SystemTime) -> Result<(), EventFileError> {
        let at = wall_time(at);
        for figure in figures {
            let FigureContent::Images(pictures) = &figure.content else { continue };
            // A record of its own each: no more than one picture is held at a time.
            for (number, picture) in pictures.iter().enumerate() {
                let tag = match pictures.as_slice() {
                    [_] => figure.name.clone(),
                    _ => format!("{}/{number}", figure.name),
                };
                let metadata = Some(SummaryMetadata::of_image(&picture.caption));
                let image = Some(Datum::Image(image::read(&picture.path)?));
                let value = SummaryValue { tag, metadata, value: image };
                self.file.append(&[summary(at, figure.step, vec![value])])?;
                self.has_past = true;
            }
        }
        Ok(())
    }

    /// System metrics under `system/`, at a step.
    ///
    /// # Errors
    /// [`EventFileError`] if it can not be written.
    pub fn system(&mut self, sample: &Metrics, step: u64, at: SystemTime) -> Result<(), EventFileError> {
        if sample.is_empty() {
            return Ok(());
        }
        let at = wall_time(at);
        let values = sample.iter().map(|(name, value)| scalar(&format!("system/{name}"), *value)).collect();
        self.file.append(&[summary(at, step, values)])
    }

    /// The end: `status` is `complete`, `failed` and so on. Brings the file to the disk.
    ///
    /// # Errors
    /// [`EventFileError`] if it can not be written.
    pub fn close(mut self, status: &str, at: SystemTime) -> Result<(), EventFileError> {
        let at = wall_time(at);
        self.file.append(&[summary(at, 0, vec![hparams::session_end(status, at)])])?;
        self.file.sync()
    }
}

fn summary(at: f64, step: u64, value: Vec<SummaryValue>) -> Event {
    let step = i64::try_from(step).unwrap_or(i64::MAX);
    Event { wall_time: at, step, content: Some(Content::Summary(Summary { value })) }
}

fn scalar(name: &str, value: f64) -> SummaryValue {
    let value = Some(Datum::SimpleValue(value as f32));
    SummaryValue { tag: name.to_owned(), metadata: None, value }
}

/// Seconds since 1970; 0 before.
fn wall_time(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests;
