//! What goes beside the rows: files, artifacts, alerts. Each kind has its own place in the journal, so that no one waits for
//! another, and nothing is held in memory but the place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::api::{Api, ApiError, RunPath};
use super::artifact::{ArtifactError, send_artifact};
use super::files::send_files;
use super::folder::RunFolder;
use super::log::{Found, LogError, LogReader, Position};
use super::record::{Alert, Artifact, Kind};

/// Files named to the server at once.
const FILES_AT_ONCE: usize = 100;

const ALERT: &str =
    "mutation NotifyScriptableRunAlert($entityName: String!, $projectName: String!, $runName: String!,
  $title: String!, $text: String!, $severity: AlertSeverity = INFO, $waitDuration: Duration) {
  notifyScriptableRunAlert(input: {entityName: $entityName, projectName: $projectName, runName: $runName,
    title: $title, text: $text, severity: $severity, waitDuration: $waitDuration}) { success } }";

/// What goes beside the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Files that are to be sent when they are named.
    Files,
    /// Artifacts, one after another.
    Artifacts,
    /// Alerts.
    Alerts,
    /// Files that are to be sent at the end.
    LastFiles,
}

/// A stretch of the journal that holds something of a lane.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    /// Which.
    pub(super) lane: Lane,
    /// Begins here.
    pub(super) from: Position,
    /// Ends here.
    pub(super) to: Position,
    /// Number of the last row.
    pub(super) step: i64,
}

/// What a step did.
#[derive(Debug)]
pub(super) struct Step {
    /// The lane.
    pub(super) lane: Lane,
    /// All before here is done, if `failed` is `None`, and is left out where it is given up.
    pub(super) to: Position,
    /// Names of files that are there.
    pub(super) uploaded: Vec<String>,
    /// Artifacts that are there.
    pub(super) committed: u64,
    /// What never will be there, and why.
    pub(super) lost: Vec<String>,
    /// Why it is to be tried again.
    pub(super) failed: Option<SideError>,
    /// What it was about.
    pub(super) what: String,
}

/// Why a step is to be tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum SideError {
    /// The server.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The journal.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl SideError {
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Api(error) => error.status(),
            Self::Log(_) => None,
        }
    }
}

/// What a stretch holds first.
enum Load {
    Files(Vec<String>),
    Artifact(Box<Artifact>),
    Alert(Alert),
    Nothing,
}

/// Sends what comes first in a stretch: some files, one artifact, one alert.
///
/// # Cancel safety
/// Doing it again is harmless, but that an alert may come twice.
pub(super) async fn step(api: &Api, run: &RunPath, folder: &RunFolder, stretch: Stretch) -> Step {
    let lane = stretch.lane;
    let mut done = Step {
        lane,
        to: stretch.from,
        uploaded: Vec::new(),
        committed: 0,
        lost: Vec::new(),
        failed: None,
        what: String::new(),
    };
    let load = match load(&folder.journal(), &stretch) {
        Ok((load, to)) => {
            done.to = to;
            load
        }
        Err(error) => {
            done.failed = Some(error.into());
            return done;
        }
    };
    match load {
        Load::Nothing => {}
        Load::Files(names) => {
            done.what =
                format!("{} files, {} among them", names.len(), names.first().map_or("", String::as_str));
            match send_files(api, run, &folder.files(), &names).await {
                Ok(sent) => {
                    done.uploaded = sent.uploaded;
                    done.lost =
                        sent.refused.into_iter().map(|(name, why)| format!("file {name}: {why}")).collect();
                }
                Err(error) => done.failed = Some(error.into()),
            }
        }
        Load::Artifact(mut artifact) => {
            done.what = format!("artifact {}", artifact.name);
            find_local(&mut artifact, &folder.path);
            match send_artifact(api, run, &artifact, stretch.step).await {
                Ok(_) => done.committed = 1,
                Err(ArtifactError::Api(error)) => done.failed = Some(error.into()),

                Err(error) => done.lost.push(format!("artifact {}: {error}", artifact.name)),
            }
        }
        Load::Alert(alert) => {
            done.what = format!("alert {}", alert.title);
            done.failed = send_alert(api, run, &alert).await.err().map(SideError::Api);
        }
    }
    done
}

fn load(journal: &Path, stretch: &Stretch) -> Result<(Load, Position), LogError> {
    let mut reader = LogReader::open(journal, stretch.from)?;
    let mut names = BTreeSet::new();
    let mut to = stretch.from;
    while to < stretch.to {
        let (record, next) = match reader.next()? {
            Found::Record(record, next) => (record, next),
            Found::Damage { to: behind, .. } => {
                to = behind;
                continue;
            }
            Found::End => break,
        };
        match (stretch.lane, record.kind) {
            (Lane::Artifacts, Some(Kind::Artifact(artifact))) => {
                return Ok((Load::Artifact(Box::new(artifact)), next));
            }
            (Lane::Alerts, Some(Kind::Alert(alert))) => return Ok((Load::Alert(alert), next)),
            (Lane::Files, Some(Kind::Files(files))) => {
                names.extend(files.files.into_iter().filter(|file| file.policy != 1).map(|file| file.path));
            }
            (Lane::LastFiles, Some(Kind::Files(files))) => {
                names.extend(files.files.into_iter().filter(|file| file.policy != 0).map(|file| file.path));
            }
            _ => {}
        }
        to = next;
        if names.len() >= FILES_AT_ONCE {
            break;
        }
    }
    let load = if names.is_empty() { Load::Nothing } else { Load::Files(names.into_iter().collect()) };
    Ok((load, to))
}

async fn send_alert(api: &Api, run: &RunPath, alert: &Alert) -> Result<(), ApiError> {
    let severity = if alert.level.is_empty() { "INFO" } else { &alert.level };
    let variables = json!({ "entityName": run.entity, "projectName": run.project, "runName": run.run,
        "title": alert.title, "text": alert.text, "severity": severity, "waitDuration": alert.wait_duration });
    api.graphql("NotifyScriptableRunAlert", ALERT, variables).await.map(drop)
}

/// The folder may have been moved since its artifacts were logged: their files are found by their path beside or within it.
fn find_local(artifact: &mut Artifact, folder: &Path) {
    let Some(manifest) = &mut artifact.manifest else {
        return;
    };
    for entry in &mut manifest.contents {
        let local = Path::new(&entry.local_path);
        if entry.local_path.is_empty() || local.exists() {
            continue;
        }
        let within = local.iter().skip_while(|part| *part != "artifacts").collect::<PathBuf>();
        if within.as_os_str().is_empty() {
            continue;
        }
        let beside = folder.parent().unwrap_or(folder).join(&within);
        if let Some(moved) = [beside, folder.join(&within)].into_iter().find(|path| path.exists()) {
            entry.local_path = moved.to_string_lossy().into_owned();
        }
    }
}
