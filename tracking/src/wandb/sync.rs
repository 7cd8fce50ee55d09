//! Sending a folder after the fact: what `engine sync` does.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::api::{Api, ApiError};
use super::board::{Board, Place};
use super::connect::{rows_there, url_of};
use super::cursor::{Cursor, CursorError};
use super::folder::RunFolder;
use super::follower::{Gates, Outcome, Target, WithoutEnd, Work, follow};
use super::key::Key;
use super::settings::Settings;
use crate::upload::Progress;

/// How long something may be wrong without anything going right, until it is left for another day.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often is looked whether something is wrong.
const LOOKED_EVERY: Duration = Duration::from_millis(200);

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// Address of the run's page.
    pub url: String,
    /// Rows the server has now.
    pub rows: u64,
    /// Files sent.
    pub files: u64,
    /// Artifacts sent.
    pub artifacts: u64,
    /// What is lost: damaged stretches of the journal, files that are gone, rows too long. Empty if nothing is.
    pub losses: Vec<String>,
    /// Whether everything had been sent before.
    pub was_synced: bool,
}

/// Why a folder was not sent to its end; what was acknowledged stands in its cursor, and the next try goes on there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The server can not be spoken to.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The key may not write there.
    #[error("{0}; check WANDB_API_KEY and who may write to the project")]
    KeyRefused(String),
    /// Nothing got through for a while.
    #[error("nothing could be sent for five minutes ({0}); try again when the server can be reached")]
    NoAnswer(String),
    /// It is not to be sent as things are.
    #[error("{0}")]
    Kept(String),
    /// The journal can not be read.
    #[error("{0}")]
    Journal(String),
    /// What is noted of an earlier try can not be used.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// There is no runtime for requests.
    #[error("can not start what sends requests")]
    Runtime {
        /// What the system says.
        source: io::Error,
    },
    /// The marks of an earlier try can not be removed.
    #[error("can not remove the mark of what was sent: {}", path.display())]
    Forget {
        /// The mark.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Sends a run's folder, ours or the official client's, from where it was left. A journal without an end counts as a crash: exit
/// code 1. Blocks.
///
/// # Errors
/// [`SyncError`]. A loss is no error here, it stands in [`Synced::losses`].
pub fn sync(folder: &RunFolder, settings: &Settings, key: &Key) -> Result<Synced, SyncError> {
    sync_telling(folder, settings, key, &mut |_| {})
}

/// As [`sync`], and tells several times a second how far it is and what is wrong at the moment.
///
/// # Errors
/// As [`sync`].
pub fn sync_telling(
    folder: &RunFolder,
    settings: &Settings,
    key: &Key,
    tell: &mut dyn FnMut(&Progress),
) -> Result<Synced, SyncError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| SyncError::Runtime { source })?;
    let synced = runtime.block_on(send(folder, settings, key, tell));
    runtime.shutdown_background();
    synced
}

/// Forgets that a folder was sent, or how far: [`sync`] then sends all of it again, which changes nothing at the server that
/// has it.
///
/// # Errors
/// [`SyncError::Forget`] if a mark can not be removed.
pub fn forget(folder: &RunFolder) -> Result<(), SyncError> {
    for path in [folder.synced(), folder.cursor()] {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(SyncError::Forget { path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

async fn send(
    folder: &RunFolder,
    settings: &Settings,
    key: &Key,
    tell: &mut dyn FnMut(&Progress),
) -> Result<Synced, SyncError> {
    if let Some(synced) = was_synced(folder, settings)? {
        return Ok(synced);
    }
    let api = Api::new(&settings.base_url, key.clone(), settings.pace)?;
    let board = Arc::new(Board::default());
    board.open(folder, &api, None);
    let work = Work {
        api: api.clone(),
        folder: folder.clone(),
        target: Target::of(settings),
        // Losses stand in the cursor.
        hearer: Box::new(|_| {}),
        entry: Place { board: Arc::clone(&board), path: folder.path.clone() },
        gates: Gates::new(),
        growth: None,
        without_end: WithoutEnd::Crashed,
    };
    match patiently(work, &board, tell).await? {
        Outcome::Sent => {}
        Outcome::Left(why) => return Err(SyncError::Kept(why)),
        Outcome::KeyRefused(why) => return Err(SyncError::KeyRefused(why)),
        Outcome::Unreadable(why) => return Err(SyncError::Journal(why)),
    }
    let cursor = Cursor::load(&folder.cursor())?.unwrap_or_default();
    let mut synced = summed_up(&cursor, settings);
    if let Some(path) = &cursor.path {
        let want = cursor.bases().history + cursor.rows;
        match rows_there(&api, path).await {
            Ok(Some(rows)) if rows < want => {
                synced.losses.push(format!("the server has {rows} rows of {want} that it acknowledged"));
                synced.rows = rows;
            }
            Ok(Some(rows)) => synced.rows = rows,
            Ok(None) => {
                synced.losses.push("the server does not know the run that it acknowledged".to_owned());
            }
            Err(error) => synced.losses.push(format!("what the server has could not be compared: {error}")),
        }
    }
    Ok(synced)
}

/// Follows the run, until nothing went right for too long.
async fn patiently(work: Work, board: &Board, tell: &mut dyn FnMut(&Progress)) -> Result<Outcome, SyncError> {
    let mut following = std::pin::pin!(follow(work));
    let mut wrong_since: Option<(Instant, u64)> = None;
    loop {
        tokio::select! {
            outcome = &mut following => return Ok(outcome),
            () = sleep(LOOKED_EVERY) => {}
        }
        let Some(progress) = board.progress().into_iter().next() else {
            continue;
        };
        tell(&progress);
        wrong_since = match (progress.trouble, wrong_since) {
            (None, _) => None,
            (Some(trouble), Some((since, behind))) if behind == progress.bytes_behind => {
                if since.elapsed() >= PATIENCE {
                    return Err(SyncError::NoAnswer(trouble));
                }
                Some((since, behind))
            }
            (Some(_), _) => Some((Instant::now(), progress.bytes_behind)),
        };
    }
}

/// What an earlier try sent, if it sent all: by our cursor, or by the mark that the official client leaves too.
fn was_synced(folder: &RunFolder, settings: &Settings) -> Result<Option<Synced>, SyncError> {
    if !folder.synced().exists() {
        return Ok(None);
    }
    let cursor = match Cursor::load(&folder.cursor()) {
        Ok(cursor) => cursor.unwrap_or_default(),
        Err(error @ CursorError::Newer { .. }) => return Err(error.into()),
        // What is marked as sent needs no cursor.
        Err(_) => Cursor::default(),
    };
    Ok(Some(Synced { was_synced: true, ..summed_up(&cursor, settings) }))
}

fn summed_up(cursor: &Cursor, settings: &Settings) -> Synced {
    let mut losses = cursor.losses.clone();
    if cursor.further_losses > 0 {
        losses.push(format!("and {} more", cursor.further_losses));
    }
    Synced {
        url: cursor.path.as_ref().map(|path| url_of(&settings.base_url, path)).unwrap_or_default(),
        rows: cursor.bases().history + cursor.rows,
        files: cursor.files_sent,
        artifacts: cursor.artifacts_sent,
        losses,
        was_synced: false,
    }
}
