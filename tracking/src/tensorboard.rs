//! TensorBoard event files: scalars, images, hyperparameters.

use std::path::Path;
use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::figure::Figure;
use crate::metric::{MetricPoint, Metrics};

/// Why an event file can not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventFileError {}

/// An event file of one run, written by one writer.
#[derive(Debug)]
pub struct EventFile {}

impl EventFile {
    /// A new event file in `folder`; a further attempt of a run makes a further file, as TensorBoard expects.
    ///
    /// # Errors
    /// [`EventFileError`] if it can not be made.
    pub fn create(folder: &Path, started: SystemTime) -> Result<Self, EventFileError> {
        let _ = (folder, started);
        todo!()
    }

    /// Hyperparameters, with the metrics that judge them.
    ///
    /// # Errors
    /// [`EventFileError`] if it can not be written.
    pub fn hyperparameters(
        &mut self,
        values: &Map<String, Value>,
        metrics: &[String],
        at: SystemTime,
    ) -> Result<(), EventFileError> {
        let _ = (values, metrics, at);
        todo!()
    }

    /// Scalars, at the points' steps, and `epoch` beside them.
    ///
    /// # Errors
    /// [`EventFileError`] if it can not be written.
    pub fn points(&mut self, points: &[MetricPoint], at: SystemTime) -> Result<(), EventFileError> {
        let _ = (points, at);
        todo!()
    }

    /// Images; curves as scalars over their points are left to W&B.
    ///
    /// # Errors
    /// [`EventFileError`] if it can not be written, or a picture not read.
    pub fn figures(&mut self, figures: &[Figure], at: SystemTime) -> Result<(), EventFileError> {
        let _ = (figures, at);
        todo!()
    }

    /// System metrics under `system/`, at a step.
    ///
    /// # Errors
    /// [`EventFileError`] if it can not be written.
    pub fn system(&mut self, sample: &Metrics, step: u64, at: SystemTime) -> Result<(), EventFileError> {
        let _ = (sample, step, at);
        todo!()
    }

    /// The end: `status` is `complete`, `failed` and so on. Brings the file to the disk.
    ///
    /// # Errors
    /// [`EventFileError`] if it can not be written.
    pub fn close(self, status: &str, at: SystemTime) -> Result<(), EventFileError> {
        let _ = (status, at);
        todo!()
    }
}
