//! Making a run known to the server, and finding out what the server has of it.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::api::{Api, ApiError, RunPath};
use super::batch::Bases;
use super::config::Config;
use super::console::Structured;
use super::cursor::Before;
use super::log::{Found, LogError, LogReader};
use super::record::{Kind, Run};
use super::settings::Resume;
use super::stream::{Shift, tree_of};
use super::tree::{Tree, split_list};

const VIEWER: &str = "query Viewer { viewer { id entity username } }";

const RESUME: &str = "query RunResumeStatus($project: String, $entity: String, $name: String!) {
  model(name: $project, entityName: $entity) { bucket(name: $name, missingOk: true) {
    id summaryMetrics logLineCount historyLineCount eventsLineCount historyTail eventsTail config
    wandbConfig(keys: [\"t\"]) } } }";

const UPSERT: &str = "mutation UpsertBucket($id: String, $name: String, $project: String, $entity: String,
  $groupName: String, $displayName: String, $notes: String, $commit: String, $config: JSONString, $host: String,
  $program: String, $repo: String, $jobType: String, $sweep: String, $tags: [String!]) {
  upsertBucket(input: {id: $id, name: $name, modelName: $project, entityName: $entity, groupName: $groupName,
    displayName: $displayName, notes: $notes, commit: $commit, config: $config, host: $host, jobProgram: $program,
    jobRepo: $repo, jobType: $jobType, sweep: $sweep, tags: $tags}) {
    bucket { id name displayName sweepName historyLineCount project { name entity { name } } }
    inserted
  }
}";

/// What is asked of the server at first.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The run as its journal files it; entity and project filled in where they are known.
    pub(super) run: Run,
    /// Its configuration, and the program it is shown with.
    pub(super) config: Config,
    /// Where it is, if it was there already.
    pub(super) path: Option<RunPath>,
    /// What the server held before our journal, if it was there already.
    pub(super) before: Option<Before>,
    /// Rows that were sent, if it was there already.
    pub(super) rows: u64,
    /// Whether it is known to have been removed there since.
    pub(super) is_removed: bool,
    /// What a run that is known does.
    pub(super) resume: Resume,
    /// Its journal.
    pub(super) journal: PathBuf,
}

/// What is answered.
#[derive(Debug)]
pub(super) enum Connected {
    /// The server has the run.
    There(Box<There>),
    /// It is not to be sent, and why.
    Kept(String),
}

/// A run on the server.
#[derive(Debug, Clone)]
pub(super) struct There {
    /// Where.
    pub(super) path: RunPath,
    /// What it held of it that is not of our journal.
    pub(super) before: Option<Before>,
    /// Rows of our journal it has at least.
    pub(super) rows: u64,
    /// How it takes printed lines.
    pub(super) structured: Structured,
    /// The configuration it has now.
    pub(super) config: String,
    /// Whether it had been removed there.
    pub(super) is_new: bool,
}

/// Why a run could not be made known.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The server.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The journal.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl ConnectError {
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Api(error) => error.status(),
            Self::Log(_) => None,
        }
    }
}

/// Makes the run known. One that is known goes on as [`Resume`] says; rows that are ours are recognised by their time, also
/// without a cursor.
///
/// # Errors
/// [`ConnectError`]; asking again is harmless.
///
/// # Cancel safety
/// Dropped, the run may be known.
pub(super) async fn connect(api: &Api, mut asked: Asked) -> Result<Connected, ConnectError> {
    let is_structured = api.features().await.structured_console_logs;
    let structured = if is_structured { Structured::Json } else { Structured::Plain };
    if let Some(path) = asked.path.clone() {
        return connect_again(api, asked, path, structured).await;
    }
    if asked.run.entity.is_empty() {
        let viewer = api.graphql("Viewer", VIEWER, json!({})).await?;
        asked.run.entity = viewer["viewer"]["entity"].as_str().unwrap_or_default().to_owned();
    }
    let known = status(api, &asked).await?;
    let before = match (&known, asked.resume) {
        (Some(known), _) if known.rows > 0 => {
            let ours = ours_of(known, asked.journal.clone()).await?;
            match (ours, asked.resume) {
                (None, Resume::Never) => {
                    return Ok(Connected::Kept(
                        "the server has rows of a run with this id, and WANDB_RESUME is never: give it another id".to_owned(),
                    ));
                }
                (ours, _) => known.before(ours),
            }
        }
        (None, Resume::Must) => {
            return Ok(Connected::Kept(
                "the server has no run with this id, and WANDB_RESUME is must: use allow, or the id of a run that is there"
                    .to_owned(),
            ));
        }
        _ => None,
    };
    let config = asked.config.to_json(before.as_ref().and_then(|before| before.config.as_deref()));
    let answer = upsert(api, all_of(&asked, known.as_ref().map(|known| known.id.as_str()), &config)).await?;
    // What it has of ours is sent again, which changes nothing.
    Ok(Connected::There(Box::new(There {
        path: answer.path,
        before,
        rows: 0,
        structured,
        config,
        is_new: false,
    })))
}

/// Finds out what the server has of a run that was sent before, by this journal.
async fn connect_again(
    api: &Api,
    mut asked: Asked,
    path: RunPath,
    structured: Structured,
) -> Result<Connected, ConnectError> {
    let before = asked.before.take();
    let config = asked.config.to_json(before.as_ref().and_then(|before| before.config.as_deref()));
    let answer = upsert(api, known(&path, &config)).await?;
    let base = before.as_ref().map_or(0, |before| before.bases.history);
    let rows = answer.rows.map_or(u64::MAX, |rows| rows.saturating_sub(base));
    // A run without its rows is a new one too: the answer that said so may have been lost.
    let is_new = answer.is_new || asked.is_removed || (asked.rows > 0 && answer.rows == Some(0));
    if !is_new {
        return Ok(Connected::There(Box::new(There {
            path: answer.path,
            before,
            rows,
            structured,
            config,
            is_new: false,
        })));
    }
    // It was removed there: all begins anew, under all its names.
    asked.run.entity = path.entity;
    asked.run.project = path.project;
    let config = asked.config.to_json(None);
    let path = upsert(api, all_of(&asked, None, &config)).await?.path;
    Ok(Connected::There(Box::new(There { path, before: None, rows: 0, structured, config, is_new: true })))
}

/// What the server made of another configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It is that of the run.
    Known,
    /// The run had been removed there, and begins anew with nothing but this.
    Removed,
}

/// Tells the server of another configuration, and nothing else.
///
/// # Errors
/// [`ConnectError`].
///
/// # Cancel safety
/// Sending it again is harmless.
pub(super) async fn send_config(api: &Api, path: &RunPath, config: &str) -> Result<Told, ConnectError> {
    let answer = upsert(api, known(path, config)).await?;
    Ok(if answer.is_new { Told::Removed } else { Told::Known })
}

/// Rows the server has of a run; `None` if it does not know it.
///
/// # Errors
/// [`ConnectError`].
///
/// # Cancel safety
/// Nothing is changed.
pub(super) async fn rows_there(api: &Api, path: &RunPath) -> Result<Option<u64>, ConnectError> {
    let variables = json!({ "project": path.project, "entity": path.entity, "name": path.run });
    let answer = api.graphql("RunResumeStatus", RESUME, variables).await?;
    Ok(answer["model"]["bucket"]["historyLineCount"].as_u64())
}

/// The page of a run.
///
/// # Sources
/// W&B: the public server answers at `api.wandb.ai` and shows at `wandb.ai`; others do both at one address.
pub(super) fn url_of(base_url: &str, path: &RunPath) -> String {
    let base = base_url.trim_end_matches('/');
    let base = if base == "https://api.wandb.ai" { "https://wandb.ai" } else { base };
    let Ok(mut url) = reqwest::Url::parse(base) else {
        return format!("{base}/{}/{}/runs/{}", path.entity, path.project, path.run);
    };
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend([&path.entity, &path.project, "runs", &path.run]);
    }
    url.into()
}

/// Only what may be set again: nothing that was changed on the page is undone.
fn known(path: &RunPath, config: &str) -> Value {
    json!({ "id": null, "name": path.run, "project": path.project, "entity": path.entity, "groupName": null,
        "displayName": null, "notes": null, "commit": null, "config": config, "host": null, "program": null,
        "repo": null, "jobType": null, "sweep": null, "tags": null })
}

fn all_of(asked: &Asked, id: Option<&str>, config: &str) -> Value {
    let run = &asked.run;
    let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    let git = run.git.clone().unwrap_or_default();
    let tags = if run.tags.is_empty() { Value::Null } else { json!(run.tags) };
    json!({ "id": id, "name": run.run_id, "project": text(&run.project), "entity": text(&run.entity),
        "groupName": text(&run.run_group), "displayName": text(&run.display_name), "notes": text(&run.notes),
        "commit": text(&git.commit), "config": config, "host": text(&run.host), "program": asked.config.program(),
        "repo": text(&git.remote_url), "jobType": text(&run.job_type), "sweep": text(&run.sweep_id), "tags": tags })
}

struct Upserted {
    path: RunPath,
    rows: Option<u64>,
    is_new: bool,
}

async fn upsert(api: &Api, variables: Value) -> Result<Upserted, ConnectError> {
    let answer = api.graphql("UpsertBucket", UPSERT, variables).await?;
    let upserted = &answer["upsertBucket"];
    let bucket = &upserted["bucket"];
    let text = |value: &Value, field| {
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| ApiError::lacks("UpsertBucket", field))
    };
    let path = RunPath {
        entity: text(&bucket["project"]["entity"]["name"], "the entity")?,
        project: text(&bucket["project"]["name"], "the project")?,
        run: text(&bucket["name"], "the run")?,
    };
    let is_new = upserted["inserted"].as_bool().unwrap_or(false);
    Ok(Upserted { path, rows: bucket["historyLineCount"].as_u64(), is_new })
}

/// A run the server has.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    id: String,
    rows: u64,
    events: u64,
    console: u64,
    /// The last row, JSON.
    last_row: Option<String>,
    last_event: Option<String>,
    config: Option<String>,
    summary: Option<String>,
}

async fn status(api: &Api, asked: &Asked) -> Result<Option<Known>, ConnectError> {
    let run = &asked.run;
    let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    let variables = json!({ "project": text(&run.project), "entity": text(&run.entity), "name": run.run_id });
    let answer = match api.graphql("RunResumeStatus", RESUME, variables).await {
        // Some servers answer so of a project that is not there yet; the next request tells whether it may be.
        Err(error) if matches!(error.status(), Some(200 | 404)) => return Ok(None),
        answer => answer?,
    };
    Ok(Known::read(&answer["model"]["bucket"]))
}

impl Known {
    fn read(bucket: &Value) -> Option<Self> {
        let text = |field: &str| bucket[field].as_str().map(str::to_owned);
        let count = |field: &str| bucket[field].as_u64().unwrap_or(0);
        Some(Self {
            id: bucket["id"].as_str()?.to_owned(),
            rows: count("historyLineCount"),
            events: count("eventsLineCount"),
            console: count("logLineCount"),
            last_row: text("historyTail").and_then(|tail| last_of(&tail)),
            last_event: text("eventsTail").and_then(|tail| last_of(&tail)),
            config: text("config").filter(|config| config != "{}"),
            summary: text("summaryMetrics").filter(|summary| summary != "{}"),
        })
    }

    /// What is there that is not of our journal, `ours` of its rows being so.
    fn before(&self, ours: Option<Ours>) -> Option<Before> {
        let (own_rows, shift) = match ours {
            Some(ours) => (ours.rows, Shift { step: ours.step_shift, runtime: ours.runtime_shift }),
            None => (0, Shift { step: self.next_step(), runtime: self.ran() }),
        };
        let history = self.rows.saturating_sub(own_rows);
        (history > 0).then(|| Before {
            bases: Bases { history, events: self.events, console: self.console },
            shift,
            config: self.config.clone(),
            summary: self.summary.clone(),
        })
    }

    /// # Sources
    /// W&B client 0.31.0: the `_step` behind the last row's, else behind the summary's.
    fn next_step(&self) -> i64 {
        let step = |text: &Option<String>| {
            let values = Tree::parse(text.as_deref()?);
            values.get("_step")?.to_json().parse::<i64>().ok()
        };
        step(&self.last_row).or_else(|| step(&self.summary)).map_or(0, |step| step + 1)
    }

    /// Seconds it ran, by all that tells of it.
    fn ran(&self) -> f64 {
        let texts = [&self.last_row, &self.last_event, &self.summary];
        let values = texts.into_iter().flatten().map(|text| Tree::parse(text));
        let seconds = values.flat_map(|values| {
            let whole = values.get("_wandb").and_then(|wandb| wandb.number("runtime"));
            [values.number("_runtime"), whole]
        });
        seconds.flatten().fold(0.0, f64::max)
    }
}

/// The last text in a JSON array of texts.
fn last_of(tail: &str) -> Option<String> {
    let inner = tail.trim().strip_prefix('[')?.strip_suffix(']')?;
    let last = *split_list(inner).last()?;
    // The official server holds rows as texts within the text.
    Some(serde_json::from_str::<String>(last).unwrap_or_else(|_| last.to_owned()))
}

/// Rows at the server's end that are of our journal.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ours {
    rows: u64,
    step_shift: i64,
    runtime_shift: f64,
}

/// Looks for the server's last row in the journal, so that a lost cursor does not send twice.
async fn ours_of(known: &Known, journal: PathBuf) -> Result<Option<Ours>, ConnectError> {
    let Some(last) = known.last_row.as_deref().map(Tree::parse) else {
        return Ok(None);
    };
    let there = known.rows;
    let found = tokio::task::spawn_blocking(move || find_row(&journal, &last, there));
    match found.await {
        Ok(found) => Ok(found?),
        // Only a runtime that ends cancels it, and then nobody waits for this.
        Err(_) => Ok(None),
    }
}

fn find_row(journal: &std::path::Path, last: &Tree, there: u64) -> Result<Option<Ours>, LogError> {
    let Some(time) = last.number("_timestamp") else {
        return Ok(None);
    };
    let mut reader = LogReader::open(journal, 0)?;
    let (mut rows, mut found) = (0_u64, None);
    loop {
        let record = match reader.next()? {
            Found::Record(record, _) => record,
            Found::Damage { .. } => continue,
            Found::End => return Ok(found),
        };
        let Some(Kind::History(row)) = record.kind else {
            continue;
        };
        rows += 1;
        if rows > there {
            return Ok(found);
        }
        let row = tree_of(row.item);
        // A server may write the number otherwise; rows of one journal are further apart, or written at once.
        if row.number("_timestamp").is_some_and(|own| (own - time).abs() < 1e-6) {
            let shift =
                |key: &str| last.number(key).zip(row.number(key)).map_or(0.0, |(last, own)| last - own);
            let step_shift = shift("_step").round() as i64;
            let ours = Ours { rows, step_shift, runtime_shift: shift("_runtime") };
            if rows == there && step_shift == 0 {
                return Ok(Some(ours));
            }
            found = Some(ours);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(run: &str) -> RunPath {
        RunPath { entity: "my team".to_owned(), project: "p/q".to_owned(), run: run.to_owned() }
    }

    #[test]
    fn the_page_is_where_the_server_shows_runs() {
        let at = |base| url_of(base, &path("r1"));
        assert_eq!(at("https://api.wandb.ai"), "https://wandb.ai/my%20team/p%2Fq/runs/r1");
        assert_eq!(at("http://127.0.0.1:8080/"), "http://127.0.0.1:8080/my%20team/p%2Fq/runs/r1");
        assert_eq!(at("https://wandb.example.org/x"), "https://wandb.example.org/x/my%20team/p%2Fq/runs/r1");
    }

    fn bucket() -> Value {
        json!({ "id": "abc", "historyLineCount": 100, "eventsLineCount": 7, "logLineCount": 3,
            "historyTail": "[\"{\\\"_step\\\":98}\", \"{\\\"_step\\\":99,\\\"_runtime\\\":5.5,\\\"x\\\":NaN}\"]",
            "eventsTail": "[\"{\\\"_runtime\\\":6.25}\"]", "config": "{}",
            "summaryMetrics": "{\"_step\":99,\"_wandb\":{\"runtime\":6}}" })
    }

    #[test]
    fn a_known_run_goes_on_behind_its_last_row() {
        let known = Known::read(&bucket()).unwrap();
        assert_eq!(known.last_row.as_deref(), Some(r#"{"_step":99,"_runtime":5.5,"x":NaN}"#));
        let before = known.before(None).unwrap();
        assert_eq!(before.bases, Bases { history: 100, events: 7, console: 3 });
        assert_eq!(before.shift, Shift { step: 100, runtime: 6.25 });
        assert_eq!(Known::read(&Value::Null), None);
    }

    #[test]
    fn rows_of_our_own_are_not_behind_themselves() {
        let known = Known::read(&bucket()).unwrap();
        let ours = |rows, step_shift| Some(Ours { rows, step_shift, runtime_shift: 0.0 });
        assert_eq!(known.before(ours(100, 0)), None);
        let before = known.before(ours(40, 60)).unwrap();
        assert_eq!((before.bases.history, before.shift.step), (60, 60));
    }
}
