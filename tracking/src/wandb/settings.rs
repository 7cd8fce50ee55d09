//! Where and how runs are tracked on W&B.

use std::time::Duration;

use reqwest::Url;

pub use crate::upload::Mode;

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
pub enum SettingsError {
    /// A variable holds what it can not mean.
    #[error("{name} is {expected}, not `{value}`")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        value: String,
    },
    /// The address of the server is none.
    #[error("WANDB_BASE_URL is an address like https://api.wandb.ai, without user, password and query")]
    BaseUrl,
    /// The address of the pages, or of the server without encryption: both would give the key away or lead nowhere.
    #[error(
        "WANDB_BASE_URL is no address of the server; for W&B's own it is https://api.wandb.ai, or not set"
    )]
    Page,
    /// The project has a name that the server does not take.
    #[error(
        "a project's name has 1 to {LONGEST_PROJECT} characters and none of {NOT_IN_PROJECT}; choose another: {project}"
    )]
    Project {
        /// The name.
        project: String,
    },
}

/// Longest name of a project.
const LONGEST_PROJECT: usize = 128;

/// What a project's name can not hold.
const NOT_IN_PROJECT: &str = r"/ \ # ? % :";

/// Shortest and longest interval that can be set, in seconds: below, the server is all that is spoken to; above, rows are
/// as good as not sent.
const INTERVALS: std::ops::RangeInclusive<f64> = 0.01..=3600.0;

impl Settings {
    /// From the `WANDB_…` variables, where nothing else is given. `lookup` reads a variable.
    ///
    /// `WANDB_BASE_URL`, `WANDB_ENTITY`, `WANDB_PROJECT`, `WANDB_MODE`, `WANDB_RESUME`,
    /// `WANDB__FILE_STREAM_TRANSMIT_INTERVAL` and `WANDB__FILE_STREAM_RETRY_WAIT_MIN_SECONDS` (seconds). An empty
    /// variable is none. Files and configuration are not gathered for longer than the interval of rows.
    ///
    /// # Errors
    /// [`SettingsError`] for a value that is none.
    pub fn from_env(
        entity: Option<&str>,
        project: Option<&str>,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let given =
            |name: &str| lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let either = |named: Option<&str>, name: &str| {
            named.filter(|value| !value.is_empty()).map(str::to_owned).or_else(|| given(name))
        };
        Ok(Self {
            base_url: base_url(given("WANDB_BASE_URL"))?,
            entity: either(entity, "WANDB_ENTITY"),
            project: checked_project(either(project, "WANDB_PROJECT"))?,
            mode: given("WANDB_MODE").map_or(Ok(Mode::Online), |value| mode(&value))?,
            resume: given("WANDB_RESUME").map_or(Ok(Resume::Allow), |value| resume(&value))?,
            pace: pace(&given)?,
        })
    }
}

fn base_url(given: Option<String>) -> Result<String, SettingsError> {
    let Some(address) = given else { return Ok("https://api.wandb.ai".to_owned()) };
    let url = Url::parse(&address).map_err(|_| SettingsError::BaseUrl)?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let ends_with_path = url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_plain || !ends_with_path {
        return Err(SettingsError::BaseUrl);
    }
    let (host, is_clear) = (url.host_str().unwrap_or_default(), url.scheme() == "http");
    if matches!(host, "wandb.ai" | "www.wandb.ai" | "app.wandb.ai") || (host == "api.wandb.ai" && is_clear) {
        return Err(SettingsError::Page);
    }
    Ok(address.trim_end_matches('/').to_owned())
}

fn checked_project(given: Option<String>) -> Result<String, SettingsError> {
    let project = given.unwrap_or_else(|| "uncategorized".to_owned());
    let holds = |bad: &str| project.contains(bad);
    if project.chars().count() > LONGEST_PROJECT || NOT_IN_PROJECT.split(' ').any(holds) {
        return Err(SettingsError::Project { project });
    }
    Ok(project)
}

fn mode(value: &str) -> Result<Mode, SettingsError> {
    match value {
        // The second names are those of older clients.
        "online" | "run" => Ok(Mode::Online),
        "offline" | "dryrun" => Ok(Mode::Offline),
        "disabled" => Ok(Mode::Disabled),
        _ => Err(wrong("WANDB_MODE", "`online`, `offline` or `disabled`", value)),
    }
}

fn resume(value: &str) -> Result<Resume, SettingsError> {
    match value {
        // A run has its id from us, so it is found again without being told.
        "allow" | "auto" => Ok(Resume::Allow),
        "must" => Ok(Resume::Must),
        "never" => Ok(Resume::Never),
        _ => Err(wrong("WANDB_RESUME", "`allow`, `must`, `never` or `auto`", value)),
    }
}

fn pace(given: &dyn Fn(&str) -> Option<String>) -> Result<Pace, SettingsError> {
    let mut pace = Pace::default();
    if let Some(interval) = seconds("WANDB__FILE_STREAM_TRANSMIT_INTERVAL", given)? {
        pace.stream = interval;
        pace.gather = pace.gather.min(interval);
    }
    if let Some(wait) = seconds("WANDB__FILE_STREAM_RETRY_WAIT_MIN_SECONDS", given)? {
        pace.first_wait = wait;
        pace.longest_wait = pace.longest_wait.max(wait);
    }
    Ok(pace)
}

fn seconds(
    name: &'static str,
    given: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Duration>, SettingsError> {
    let Some(value) = given(name) else { return Ok(None) };
    match value.parse() {
        Ok(seconds) if INTERVALS.contains(&seconds) => Ok(Some(Duration::from_secs_f64(seconds))),
        _ => Err(wrong(name, "a number of seconds from 0.01 to 3600", &value)),
    }
}

fn wrong(name: &'static str, expected: &'static str, value: &str) -> SettingsError {
    SettingsError::Variable { name, expected, value: value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let lookup =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Settings::from_env(None, None, &lookup)
    }

    #[test]
    fn nothing_given_is_what_the_official_client_does() {
        let settings = with(&[("WANDB_MODE", ""), ("WANDB_ENTITY", " ")]).unwrap();
        let expected = Settings {
            base_url: "https://api.wandb.ai".to_owned(),
            entity: None,
            project: "uncategorized".to_owned(),
            mode: Mode::Online,
            resume: Resume::Allow,
            pace: Pace::default(),
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn what_is_given_comes_before_the_variables() {
        let lookup = |name: &str| Some(format!("{name}-value"));
        let lookup = |name: &str| lookup(name).filter(|_| matches!(name, "WANDB_ENTITY" | "WANDB_PROJECT"));
        let settings = Settings::from_env(Some("team"), None, &lookup).unwrap();
        assert_eq!(
            (settings.entity.as_deref(), settings.project.as_str()),
            (Some("team"), "WANDB_PROJECT-value")
        );
        let settings = Settings::from_env(None, Some("mine"), &lookup).unwrap();
        assert_eq!(
            (settings.entity.as_deref(), settings.project.as_str()),
            (Some("WANDB_ENTITY-value"), "mine")
        );
    }

    #[test]
    fn each_variable_is_read() {
        let settings = with(&[
            ("WANDB_BASE_URL", "http://127.0.0.1:8080/sub//"),
            ("WANDB_MODE", "dryrun"),
            ("WANDB_RESUME", "must"),
            ("WANDB__FILE_STREAM_TRANSMIT_INTERVAL", "0.25"),
            ("WANDB__FILE_STREAM_RETRY_WAIT_MIN_SECONDS", "90"),
        ])
        .unwrap();
        assert_eq!(settings.base_url, "http://127.0.0.1:8080/sub");
        assert_eq!((settings.mode, settings.resume), (Mode::Offline, Resume::Must));
        assert_eq!(
            (settings.pace.stream, settings.pace.gather),
            (Duration::from_millis(250), Duration::from_millis(250))
        );
        assert_eq!(settings.pace.first_wait, settings.pace.longest_wait);
        assert_eq!(settings.pace.heartbeat, Pace::default().heartbeat);
    }

    #[test]
    fn a_value_that_is_none_is_told_with_its_variable() {
        for (name, value) in [
            ("WANDB_MODE", "shared"),
            ("WANDB_RESUME", "yes"),
            ("WANDB__FILE_STREAM_TRANSMIT_INTERVAL", "0"),
            ("WANDB__FILE_STREAM_TRANSMIT_INTERVAL", "NaN"),
            ("WANDB__FILE_STREAM_RETRY_WAIT_MIN_SECONDS", "soon"),
            ("WANDB_BASE_URL", "wandb.ai"),
            ("WANDB_BASE_URL", "file:///etc"),
            ("WANDB_BASE_URL", "https://me:secret@host"),
            ("WANDB_BASE_URL", "https://wandb.ai/"),
            ("WANDB_BASE_URL", "http://api.wandb.ai"),
        ] {
            let error = with(&[(name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(name) && !error.contains("secret"), "{error}");
        }
        for project in ["a/b", "a:b", "100%", r"a\b", &"x".repeat(129)] {
            assert!(
                matches!(with(&[("WANDB_PROJECT", project)]), Err(SettingsError::Project { .. })),
                "{project}"
            );
        }
        assert!(with(&[("WANDB_PROJECT", &"ä".repeat(128))]).is_ok());
    }
}
