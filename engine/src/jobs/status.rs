//! How a job stands.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use engine_actors::journal::{JobPlan, Opened, Past, Record, Step, decode, history};
use engine_actors::outcome::{RunOutcome, Status};
use engine_actors::plan::{AfterTune, CvPlan, FailedCells};
use engine_actors::score::{Score, Scoring};
use engine_tracking::journal::{Contents, is_held, read};
use serde::Serialize;

use super::error::JobsError;
use super::find::JobPlace;
use super::reader::now;
use super::{EVENTS, JobOpening, NOW, SILENCE, host_name, unix_secs};

/// Whether a job is under way, and if not, what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum JobState {
    /// A process of this machine works on it.
    Running,
    /// A process of another machine works on it.
    RunningElsewhere,
    /// Its process ended without coming to the job's end: it can be resumed.
    Interrupted,
    /// It was stopped: it can be resumed.
    Cancelled,
    /// It came to its end.
    Finished,
    /// It came to its end without a result: a run that failed, a cv without a score, a tune without a stable configuration.
    Failed,
}

impl JobState {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::RunningElsewhere => "running-elsewhere",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }

    /// Whether a process works on it.
    #[must_use]
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::Running | Self::RunningElsewhere)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A job as it is seen from outside. Serialised by `engine status --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct JobStatus {
    /// `tune`, `cv` or `run`.
    pub level: String,
    /// Its name.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// How it stands.
    pub state: JobState,
    /// The process that took it up last.
    pub pid: Option<u32>,
    /// The machine of that process.
    pub host: Option<String>,
    /// Runs that are over for good.
    pub runs_done: u32,
    /// Runs there are to be, with the retrained model; a search may end earlier.
    pub runs_planned: u32,
    /// Configurations of a tune that are over.
    pub configurations_done: Option<u32>,
    /// Configurations there are to be.
    pub configurations_planned: Option<u32>,
    /// Best score of a stable configuration so far.
    pub best_score: Option<f64>,
    /// Runs that failed for good.
    pub failures: u32,
    /// Attempts that failed and were repeated.
    pub retries: u32,
    /// When it was begun, in seconds since 1970.
    pub begun_unix_secs: Option<u64>,
    /// When the newest process took it up.
    pub opened_unix_secs: Option<u64>,
    /// Last sign of life of a process that worked on it.
    pub last_sign_unix_secs: Option<u64>,
    /// The command that goes on with it, where it can be and is known.
    pub resume: Option<String>,
}

impl JobStatus {
    /// How the job in this place stands.
    ///
    /// # Errors
    /// [`JobsError::Journal`] for a journal that can not be read, is damaged, or is of another build.
    pub fn of(place: &JobPlace) -> Result<Self, JobsError> {
        let journal = place.journal();
        // Asked before it is read: what ends between the two is then seen to have ended, not to be interrupted.
        let held = is_held(&journal)?;
        let contents = read(&journal)?;
        let past = history(&journal, &contents)?;
        let last_sign = last_sign(place);
        let seen = Seen {
            held,
            host: host_name(),
            silent: last_sign.and_then(|sign| sign.elapsed().ok()).unwrap_or_default(),
        };
        let counted = Counted::of(&past, &contents);
        let state = state(&past, &counted, &seen);
        let opened = past.opened().last();
        let resume = matches!(state, JobState::Interrupted | JobState::Cancelled)
            .then(|| now(place).map(|now| resume(place, &now.opening)));
        Ok(Self {
            level: place.level.to_string(),
            name: place.name.clone(),
            dir: place.dir.clone(),
            state,
            pid: opened.map(|opened| opened.pid),
            host: opened.map(|opened| opened.host.clone()),
            runs_done: counted.runs_done,
            runs_planned: runs_planned(&past.job().plan),
            configurations_done: counted.configurations_done,
            configurations_planned: configurations_planned(&past.job().plan),
            best_score: counted.best_score,
            failures: counted.failures,
            retries: counted.retries,
            begun_unix_secs: past.opened().first().map(|opened| opened.at_unix_secs),
            opened_unix_secs: opened.map(|opened| opened.at_unix_secs),
            last_sign_unix_secs: last_sign.map(unix_secs),
            resume: resume.flatten(),
        })
    }
}

/// What is seen besides what the journal says.
struct Seen {
    /// A process has the journal.
    held: bool,
    /// This machine.
    host: String,
    /// Since the last sign of life.
    silent: Duration,
}

/// What the journal says of the runs and configurations.
#[derive(Debug, Default, PartialEq)]
struct Counted {
    runs_done: u32,
    failures: u32,
    retries: u32,
    configurations_done: Option<u32>,
    best_score: Option<f64>,
    /// Whether a cv alone came to a score, be it unstable.
    cv_has_score: bool,
}

impl Counted {
    fn of(past: &Past, contents: &Contents) -> Self {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let outcomes = || past.runs().filter_map(|run| run.outcome.as_ref());
        let mut counted = Self {
            runs_done: count(outcomes().count()),
            failures: count(outcomes().filter(|run| run.status == Status::Failed).count()),
            retries: past.runs().map(|run| count(run.retried.len())).sum(),
            ..Self::default()
        };
        let scoring = match &past.job().plan {
            JobPlan::Tune(plan) => {
                let ended = past.steps().iter().filter(|step| matches!(step, Step::CvEnded(_)));
                counted.configurations_done = Some(count(ended.count()));
                &plan.scoring
            }
            JobPlan::Cv(plan) => {
                counted.conclude_cv(plan, past);
                return counted;
            }
            JobPlan::Run(_) => return counted,
        };
        // The history was told: every record can be read.
        for record in contents.entries.iter().filter_map(|entry| decode(&entry.content).ok()) {
            if let Record::CvEnded { status, score, .. } = record {
                counted.hear_score(scoring, status, score);
            }
        }
        counted
    }

    /// A cv alone has no record of its score, which follows from its runs.
    fn conclude_cv(&mut self, plan: &CvPlan, past: &Past) {
        let outcomes: Vec<_> = past.runs().filter_map(|run| run.outcome.as_ref()).collect();
        if outcomes.len() < plan.cells.len() {
            return;
        }
        let has_ended = |run: &&&RunOutcome| matches!(run.status, Status::Complete | Status::Unstable);
        let metrics: Vec<_> = outcomes.iter().filter(has_ended).map(|run| run.metrics.clone()).collect();
        let without = outcomes.len() - metrics.len();
        let score = match plan.failed_cells {
            FailedCells::FailCv if without > 0 => None,
            FailedCells::Worst => Some(plan.scoring.score_counting_worst(&metrics, without)),
            FailedCells::FailCv | FailedCells::Ignore => Some(plan.scoring.score(&metrics)),
        };
        self.best_score = score.as_ref().filter(|score| !score.is_unstable).and_then(Score::finite);
        self.cv_has_score = score.as_ref().and_then(Score::finite).is_some();
    }

    /// Only a stable configuration can be the best.
    fn hear_score(&mut self, scoring: &Scoring, status: Status, score: Option<f64>) {
        if status == Status::Complete
            && let Some(score) = score
            && self.best_score.is_none_or(|best| scoring.better(score, best))
        {
            self.best_score = Some(score);
        }
    }
}

fn state(past: &Past, counted: &Counted, seen: &Seen) -> JobState {
    let is_here = past.opened().last().is_none_or(|opened: &Opened| opened.host == seen.host);
    match (seen.held, past.ended()) {
        (true, _) if is_here => JobState::Running,
        (true, _) => JobState::RunningElsewhere,
        // Not every file system shows a lock to other machines.
        (false, None) if !is_here && seen.silent < SILENCE => JobState::RunningElsewhere,
        (false, None) if !is_over(past, counted) => JobState::Interrupted,
        (false, Some(true)) => JobState::Cancelled,
        (false, _) => {
            let has_result = match past.job().plan {
                JobPlan::Tune(_) => counted.best_score.is_some(),
                JobPlan::Cv(_) => counted.cv_has_score,
                JobPlan::Run(_) => counted.failures == 0,
            };
            if has_result { JobState::Finished } else { JobState::Failed }
        }
    }
}

/// Whether there is nothing to go on with although no process said so: a run alone that ended, looked at again.
fn is_over(past: &Past, counted: &Counted) -> bool {
    matches!(past.job().plan, JobPlan::Run(_)) && counted.runs_done > 0
}

fn runs_planned(plan: &JobPlan) -> u32 {
    let cells = |cells: &[_]| u32::try_from(cells.len()).unwrap_or(u32::MAX);
    match plan {
        JobPlan::Tune(plan) => {
            let retrained = u32::from(plan.after == AfterTune::RetrainAndTest);
            plan.n_trials.saturating_mul(cells(&plan.cells)).saturating_add(retrained)
        }
        JobPlan::Cv(plan) => cells(&plan.cells),
        JobPlan::Run(_) => 1,
    }
}

fn configurations_planned(plan: &JobPlan) -> Option<u32> {
    match plan {
        JobPlan::Tune(plan) => Some(plan.n_trials),
        JobPlan::Cv(_) | JobPlan::Run(_) => None,
    }
}

/// When a file of the job was last written that only its process writes.
fn last_sign(place: &JobPlace) -> Option<SystemTime> {
    let files = [place.journal(), place.dir.join(EVENTS), place.dir.join(NOW)];
    files.iter().filter_map(|file| file.metadata().ok()?.modified().ok()).max()
}

/// The command that goes on with a job: the one it was called by, with its name.
fn resume(place: &JobPlace, opening: &JobOpening) -> String {
    let given = |name: &str| {
        let (exact, valued) = (format!("--{name}"), format!("--{name}="));
        opening.command.iter().any(|word| *word == exact || word.starts_with(&valued))
    };
    let mut words = vec!["engine".to_owned()];
    words.extend(opening.command.iter().map(|word| quoted(Path::new(word))));
    if !given("name") {
        words.push(format!("--name {}", quoted(Path::new(&place.name))));
    }
    if !given("resume") {
        words.push("--resume".to_owned());
    }
    format!("cd {} && {}", quoted(&opening.directory), words.join(" "))
}

/// A path or a word to be pasted into a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=,:@%".contains(c);
    let plain = !text.is_empty() && text.chars().all(is_plain);
    if plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
pub(super) mod tests;
