//! Where and how runs are tracked on W&B.

use std::time::Duration;

/// Whether runs are sent while they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Written to the run's folder and sent from there.
    Online,
    /// Written to the run's folder; `engine sync` or `wandb sync` sends it.
    Offline,
    /// Nothing is written.
    Disabled,
}

/// What a run whose id the server knows already does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resume {
    /// Goes on where the server's rows end; a run the server does not know begins.
    Allow,
    /// Goes on; a run the server does not know is an error.
    Must,
    /// Is an error.
    Never,
}

/// How often the server is spoken to. [`Pace::default`] is what the official client does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// At most one `file_stream` request of a run in this time.
    pub stream: Duration,
    /// An empty request after this long without any.
    pub heartbeat: Duration,
    /// Files and configuration that come within this time go together.
    pub gather: Duration,
    /// First pause after a failed request; doubles.
    pub first_wait: Duration,
    /// Longest pause.
    pub longest_wait: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            stream: Duration::from_secs(15),
            heartbeat: Duration::from_secs(30),
            gather: Duration::from_secs(5),
            first_wait: Duration::from_secs(2),
            longest_wait: Duration::from_secs(60),
        }
    }
}

/// Where and how runs are tracked on W&B.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Address of the server, without a slash at its end.
    pub base_url: String,
    /// Owner of the project; the user's default if not set.
    pub entity: Option<String>,
    /// The project.
    pub project: String,
    /// Whether runs are sent while they run.
    pub mode: Mode,
    /// What a run whose id the server knows does.
    pub resume: Resume,
    /// How often the server is spoken to.
    pub pace: Pace,
}

/// Why the settings can not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {}

impl Settings {
    /// From the `WANDB_…` variables, where nothing else is given. `lookup` reads a variable.
    ///
    /// `WANDB_BASE_URL`, `WANDB_ENTITY`, `WANDB_PROJECT`, `WANDB_MODE`, `WANDB_RESUME`,
    /// `WANDB__FILE_STREAM_TRANSMIT_INTERVAL` and `WANDB__FILE_STREAM_RETRY_WAIT_MIN_SECONDS` (seconds).
    ///
    /// # Errors
    /// [`SettingsError`] for a value that is none.
    pub fn from_env(
        entity: Option<&str>,
        project: Option<&str>,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let _ = (entity, project, lookup);
        todo!()
    }
}
