//! The journal of one run: what is logged becomes records at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};
use tokio::sync::watch;

use super::header::{ArtifactFiles, RunHeader, Severity, Stream};
use super::records::{self, Named, Place, TAKEN_NAMES};
use super::restore::{Restored, restore};
use super::standing::Standing;
use super::state::State;
use super::{Growth, JournalError, artifact_files, place};
use crate::figure::Figure;
use crate::metric::{self, MetricPoint, Metrics, RunPlace};
use crate::wandb::environment::{self, timestamp};
use crate::wandb::folder::RunFolder;
use crate::wandb::json;
use crate::wandb::log::LogWriter;
use crate::wandb::media::{self, Encoded, MediaError};
use crate::wandb::record::{Artifact, Kind, Record};
use crate::wandb::settings::Mode;

/// The journal of one run, written by one writer. Every call appends whole records with one `write` each and returns: nothing
/// waits for a disk or a network.
///
/// Dropped without [`RunJournal::finish`], it ends without an end: whoever sends it takes the run for crashed.
#[derive(Debug)]
pub struct RunJournal {
    folder: RunFolder,
    grown: Arc<watch::Sender<u64>>,
    log: LogWriter,
    state: State,
    /// What comes anew and stands already.
    standing: Standing,
    /// When the time to count began, in seconds since 1970, and how long the run had run before.
    began_secs: f64,
    ran_before_secs: f64,
    entity: String,
    project: String,
    /// Metrics that were told to have names no row can hold.
    refused_names: BTreeSet<String>,
}

impl RunJournal {
    /// Opens the journal of a run below `parent` (`{run_dir}/wandb`), made where there is none. One that is there
    /// goes on: rows are numbered on, a torn last record is cut off, settings that are new or changed are written, and the
    /// folder takes the name that the mode gives it.
    ///
    /// One that had ended goes on as well. Its end is turned into a record of the same length that says nothing, because the
    /// official client's `sync` reads no further than the first end; and the mark that everything was sent is removed. A
    /// position read before stays good, and whoever sent the run to its end goes on from there.
    ///
    /// # Errors
    /// [`JournalError`] if the folder can not be made or written to, if somebody else writes the journal there, or if it is
    /// another run's.
    pub fn open(parent: &Path, header: &RunHeader, mode: Mode) -> Result<Self, JournalError> {
        let folder = place::find_or_make(parent, header, mode)?;
        let path = folder.journal();
        let mut log = LogWriter::open(&path)?;
        let found = restore(&path)?;
        if let Some(other) = found.state.run_id.as_ref().filter(|other| **other != header.id) {
            return Err(JournalError::OtherRun { found: other.clone(), wanted: header.id.clone(), path });
        }
        if found.damages > 0 {
            tracing::warn!(run = %header.id, stretches = found.damages, path = %path.display(), "damage in the journal passed over");
        }
        log.go_on_at(found.end)?;
        let (began_secs, ran_before_secs) = found.clock(json::unix_secs(header.started));
        let Restored { state, config, exits, .. } = found;
        for (place, exit) in exits {
            let is_revoked = match records::revoked(&exit) {
                Some(revoked) => log.replace(place, &revoked)?,
                None => false,
            };
            if !is_revoked {
                // Not as we write it: another client has been at it.
                tracing::warn!(run = %header.id, path = %path.display(), "an end within the journal stays, wandb sync will stop there");
            }
        }
        forget_sent(&folder)?;
        let mut journal = Self {
            folder,
            grown: Arc::new(watch::Sender::new(log.end())),
            log,
            began_secs,
            ran_before_secs,
            state,
            standing: Standing::default(),
            entity: header.entity.clone().unwrap_or_default(),
            project: header.project.clone(),
            refused_names: BTreeSet::new(),
        };
        journal.begin(header, &config)?;
        Ok(journal)
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// What tells an uploader of further records.
    #[must_use]
    pub fn growth(&self) -> Growth {
        self.grown.subscribe()
    }

    /// Whether a write failed, to the journal or beside it, so that nothing further is taken: every further call is an error.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.log.is_closed()
    }

    /// The run logs anew from this place on; without one from its beginning. Values and figures that stand there already are passed
    /// over as they come again: they are the same, and a server takes no row back.
    ///
    /// # Errors
    /// [`JournalError`] if what stands there can not be read.
    pub fn go_on_from(&mut self, place: Option<RunPlace>) -> Result<(), JournalError> {
        self.standing = Standing::default();
        if self.state.rows > 0 {
            self.standing = Standing::read(&self.folder.journal(), place)?;
        }
        Ok(())
    }

    /// One row for each (epoch, step) among the points, as `metrics.csv` has them: the values, `epoch`,
    /// `trainer/global_step`, `_step`, `_timestamp`, `_runtime`. A metric seen for the first time is defined over
    /// `trainer/global_step`. The summary follows.
    ///
    /// Values under names of the row's own, `epoch` among them, are left out, which is told once.
    ///
    /// # Errors
    /// [`JournalError`] if it can not be written; what was whole stays.
    pub fn rows(&mut self, points: &[MetricPoint], at: SystemTime) -> Result<(), JournalError> {
        let mut latest = BTreeMap::new();
        let mut last = None;
        for ((epoch, step), values) in metric::rows(points) {
            let named = values.into_iter().map(|(name, value)| (name, json::number(value)));
            let (standing, fresh): (Vec<_>, Vec<_>) =
                named.partition(|(name, _)| self.standing.take(RunPlace { epoch, step }, name));
            // A crash may have cut the summary off from its row.
            latest.extend(standing);
            if fresh.is_empty() {
                continue;
            }
            let place = self.place(epoch, step, at);
            latest.extend(self.row(fresh, &place)?);
            last = Some(place);
        }
        match last {
            Some(last) => self.write(records::summary_of_rows(latest, &last)),
            None if latest.is_empty() => Ok(()),
            None => self.write(records::summary_of_values(latest)),
        }
    }

    /// Pictures and charts, one row each. One that can not be kept keeps no other from it, unless the run's folder takes no
    /// more: that closes the journal.
    ///
    /// # Errors
    /// As [`RunJournal::rows`], and the first of the figures that can not be kept.
    pub fn figures(&mut self, figures: &[Figure], at: SystemTime) -> Result<(), JournalError> {
        let mut refused = None;
        for figure in figures {
            if self.stands(figure) {
                continue;
            }
            match media::encode(figure, &self.folder, &self.folder.run_id, self.state.rows) {
                Ok(encoded) => self.figure(figure, encoded, at)?,
                Err(error @ MediaError::Write { .. }) => {
                    self.log.close();
                    return Err(error.into());
                }
                Err(error) if refused.is_none() => refused = Some(error),
                Err(error) => tracing::warn!(figure = figure.name, %error, "figure not tracked"),
            }
        }
        refused.map_or(Ok(()), |error| Err(error.into()))
    }

    /// System metrics by name, without `system.`: `cpu`, `gpu.0.temp`.
    ///
    /// # Errors
    /// As [`RunJournal::rows`].
    pub fn system(&mut self, sample: &Metrics, at: SystemTime) -> Result<(), JournalError> {
        if sample.is_empty() {
            return Ok(());
        }
        let values = sample.iter().map(|(name, value)| (name.clone(), json::number(*value)));
        self.write(records::stats(values, timestamp(at)))
    }

    /// Lines the run printed, without their ends.
    ///
    /// # Errors
    /// As [`RunJournal::rows`].
    pub fn printed(&mut self, stream: Stream, lines: &[String], at: SystemTime) -> Result<(), JournalError> {
        let at = timestamp(at);
        lines.iter().try_for_each(|line| self.write(records::printed(stream, line, at)))
    }

    /// Values to set in the summary, over what rows left there.
    ///
    /// # Errors
    /// As [`RunJournal::rows`].
    pub fn summary(&mut self, values: &Map<String, Value>) -> Result<(), JournalError> {
        if values.is_empty() { Ok(()) } else { self.write(records::summary(values)) }
    }

    /// Values to set in the configuration.
    ///
    /// # Errors
    /// As [`RunJournal::rows`].
    pub fn config(&mut self, values: &Map<String, Value>) -> Result<(), JournalError> {
        if values.is_empty() { Ok(()) } else { self.write(records::config(records::named(values))) }
    }

    /// An alert to the user.
    ///
    /// # Errors
    /// As [`RunJournal::rows`].
    pub fn alert(&mut self, title: &str, text: &str, severity: Severity) -> Result<(), JournalError> {
        self.write(records::alert(title, text, severity))
    }

    /// An artifact. Its files are linked (copied across file systems) first, so that they may be removed afterwards; they
    /// must not be written to in place. Reads them once, for their digests.
    ///
    /// # Errors
    /// As [`RunJournal::rows`], and if a name can not be used or a file not be read.
    pub fn artifact(&mut self, artifact: &ArtifactFiles) -> Result<(), JournalError> {
        self.log.check_open()?;
        let sequence = self.state.sequences.get(&artifact.name);
        let kept = artifact_files::keep(&self.folder, artifact, sequence)?;
        self.owned_artifact(kept)
    }

    /// The end of the run; brings the journal to the disk.
    ///
    /// # Errors
    /// As [`RunJournal::rows`].
    pub fn finish(mut self, exit_code: i32, at: SystemTime) -> Result<(), JournalError> {
        let ran_secs = self.ran_secs(json::unix_secs(at));
        self.write(records::last_summary(ran_secs))?;
        self.write(records::exit(exit_code, ran_secs))?;
        Ok(self.log.sync()?)
    }

    /// Writes what stands before all rows, or what is new since the run was left.
    fn begin(&mut self, header: &RunHeader, known: &BTreeMap<String, String>) -> Result<(), JournalError> {
        if self.state.run_id.is_some() {
            let changed =
                records::named(&header.config).filter(|(name, value)| known.get(name) != Some(value));
            let changed: Vec<_> = changed.collect();
            return if changed.is_empty() { Ok(()) } else { self.write(records::config(changed)) };
        }
        let started = timestamp(header.started);
        if self.state.records == 0 {
            self.write(records::header())?;
        }
        self.write(records::run(header, started, environment::host()))?;
        let num = self.state.records.saturating_add(1);
        self.log.append_bytes(&records::environment(num, environment::here(started)))?;
        self.written(&Record { num, control: None, kind: None });
        self.write(Kind::Telemetry(records::telemetry()))
    }

    fn place(&self, epoch: u32, step: u64, at: SystemTime) -> Place {
        let at_secs = json::unix_secs(at);
        Place { row: self.state.rows, epoch, step, at_secs, ran_secs: self.ran_secs(at_secs) }
    }

    /// How long the run has run; never less than what was told before, whatever the clock does.
    fn ran_secs(&self, at_secs: f64) -> f64 {
        (self.ran_before_secs + at_secs - self.began_secs).max(self.state.ran_secs)
    }

    /// Writes a row, and before it the definitions of what is new in it. Gives the values written.
    fn row(&mut self, mut values: Vec<Named>, place: &Place) -> Result<Vec<Named>, JournalError> {
        values.retain(|(name, _)| {
            let is_taken = TAKEN_NAMES.contains(&name.as_str());
            if is_taken && self.refused_names.insert(name.clone()) {
                tracing::warn!(run = %self.folder.run_id, metric = name, "name stands for the row's place, value not tracked");
            }
            !is_taken
        });
        for name in records::metrics_of(&values) {
            if !self.state.metrics.contains(name) {
                self.write(records::metric(name))?;
            }
        }
        self.write(records::row(&values, place))?;
        Ok(values)
    }

    /// Whether the figure's row is there already: under its name, or a chart's under that of its table.
    fn stands(&mut self, figure: &Figure) -> bool {
        let place = RunPlace { epoch: figure.epoch, step: figure.step };
        let name = figure.name.as_str();
        self.standing.take(place, name) || self.standing.take(place, &media::table_name(name))
    }

    fn figure(&mut self, figure: &Figure, encoded: Encoded, at: SystemTime) -> Result<(), JournalError> {
        if !encoded.files.is_empty() {
            self.write(records::files(encoded.files))?;
        }
        for table in encoded.artifacts {
            self.owned_artifact(table)?;
        }
        let is_fresh = |(name, panel): &Named| self.state.charts.get(name) != Some(panel);
        let panels: Vec<_> = records::named(&encoded.config).filter(is_fresh).collect();
        if !panels.is_empty() {
            self.write(records::charts(panels))?;
        }
        let place = self.place(figure.epoch, figure.step, at);
        let values = self.row(records::named(&encoded.values).collect(), &place)?;
        self.write(records::summary_of_rows(values, &place))
    }

    fn owned_artifact(&mut self, mut artifact: Artifact) -> Result<(), JournalError> {
        artifact.run_id.clone_from(&self.folder.run_id);
        artifact.entity.clone_from(&self.entity);
        artifact.project.clone_from(&self.project);
        self.write(Kind::Artifact(artifact))
    }

    fn write(&mut self, kind: Kind) -> Result<(), JournalError> {
        let record = Record {
            num: self.state.records.saturating_add(1),
            control: records::control_of(&kind),
            kind: Some(kind),
        };
        self.log.append(&record)?;
        self.written(&record);
        Ok(())
    }

    fn written(&mut self, record: &Record) {
        self.state.apply(record);
        self.grown.send_replace(self.log.end());
    }
}

/// Removes the mark that everything was sent: more is coming.
fn forget_sent(folder: &RunFolder) -> Result<(), JournalError> {
    let mark = folder.synced();
    match fs::remove_file(&mark) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(JournalError::Folder { path: mark, source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
impl RunJournal {
    /// Lets every further write fail.
    pub(super) fn break_for_test(&mut self) {
        self.log.break_for_test();
    }

    /// Adds a record as another client would write it.
    pub(super) fn append_for_test(&mut self, record: &[u8]) {
        self.log.append_bytes(record).unwrap();
    }

    pub(super) fn state_for_test(&self) -> State {
        self.state.clone()
    }
}
