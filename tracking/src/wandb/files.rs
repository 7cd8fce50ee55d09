//! Files of a run: created on the server by name, then put to signed addresses.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::api::{Api, ApiError, Part, RunPath, TRANSFERS_AT_ONCE};

/// Names in one request: some 10 KB of names, some 100 KB of signed addresses, which are used up before they expire.
const NAMES_AT_ONCE: usize = 100;

const CREATE_RUN_FILES: &str = "\
mutation CreateRunFiles($entity: String!, $project: String!, $run: String!, $files: [String!]!) {
  createRunFiles(input: {entityName: $entity, projectName: $project, runName: $run, files: $files}) {
    runID uploadHeaders files { name uploadUrl }
  }
}";

/// What became of files that were to be sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// Names of those that are there; to be told in `uploaded`.
    pub uploaded: Vec<String>,
    /// Names of those that never will be, and why.
    pub refused: Vec<(String, String)>,
}

/// Sends files below `folder`, at most eight at a time. A file that is gone or refused is told of and keeps the others from
/// nothing. One that changes while it is sent is sent again once.
///
/// # Errors
/// [`ApiError`] if the server can not be reached, or does not know the run or the key; then all are to be sent again.
///
/// # Cancel safety
/// Dropped, some may be there; sending them again is harmless.
pub async fn send_files(api: &Api, run: &RunPath, folder: &Path, names: &[String]) -> Result<Sent, ApiError> {
    let mut sent = Sent::default();
    let mut known = HashSet::new();
    let names: Vec<&String> = names.iter().filter(|name| known.insert(name.as_str())).collect();
    let mut left: Vec<Batch> = names
        .chunks(NAMES_AT_ONCE)
        .rev() // the last one is taken first
        .map(|names| Batch { attempt: 1, names: names.iter().map(|name| (*name).clone()).collect() })
        .collect();
    while let Some(batch) = left.pop() {
        let sending = batch.examined(folder, &mut sent.refused).await;
        match addresses(api, run, &sending).await {
            Ok(addresses) => {
                left.extend(put_batch(api, batch.attempt, sending, &addresses, &mut sent).await?);
            }
            Err(error) if !is_about_names(&error) => return Err(error),
            Err(error) => match halves(batch.attempt, sending) {
                Ok(halves) => left.extend(halves),
                Err(name) => sent.refused.extend(name.map(|name| (name, error.to_string()))),
            },
        }
    }
    Ok(sent)
}

/// How often a file is sent whose address expired, or that changed meanwhile.
const ATTEMPTS: u32 = 2;

/// Names that are asked for at once, and for how many times.
struct Batch {
    attempt: u32,
    names: Vec<String>,
}

/// A file as it was before it was sent.
struct Sending {
    name: String,
    path: PathBuf,
    state: State,
}

/// What tells that a file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Batch {
    /// Those that can be sent; the others go to `refused`.
    async fn examined(&self, folder: &Path, refused: &mut Vec<(String, String)>) -> Vec<Sending> {
        let mut sending = Vec::new();
        for name in &self.names {
            let path = folder.join(name);
            let state = if is_inside(name) { state_of(&path).await } else { Err(OUTSIDE.to_owned()) };
            match state {
                Ok(state) => sending.push(Sending { name: name.clone(), path, state }),
                Err(reason) => refused.push((name.clone(), reason)),
            }
        }
        sending
    }
}

const OUTSIDE: &str = "its name leads out of the run's folder";

/// Whether a name stays in its folder.
fn is_inside(name: &str) -> bool {
    let mut parts = Path::new(name).components().peekable();
    !name.contains('\0') && parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

async fn state_of(path: &Path) -> Result<State, String> {
    match tokio::fs::metadata(path).await {
        Ok(found) if found.is_file() => Ok(State { bytes: found.len(), modified: found.modified().ok() }),
        Ok(_) => Err("it is no file".to_owned()),
        Err(error) => Err(format!("it can not be read: {error}")),
    }
}

/// Whether a refusal is of what was asked for, so that others may be taken.
fn is_about_names(error: &ApiError) -> bool {
    matches!(error.status(), Some(200 | 400 | 413 | 422))
}

/// A refused batch in two, so that one bad name keeps no other from being sent; the one name that is left if it was one.
fn halves(attempt: u32, mut refused: Vec<Sending>) -> Result<[Batch; 2], Option<String>> {
    if refused.len() < 2 {
        return Err(refused.pop().map(|sending| sending.name));
    }
    let second = refused.split_off(refused.len() / 2);
    // The first half is to be taken first, so it comes last.
    Ok([second, refused]
        .map(|half| Batch { attempt, names: half.into_iter().map(|sending| sending.name).collect() }))
}

/// Where files are to be put, by name.
struct Addresses {
    headers: Vec<String>,
    by_name: HashMap<String, String>,
}

async fn addresses(api: &Api, run: &RunPath, files: &[Sending]) -> Result<Addresses, ApiError> {
    if files.is_empty() {
        return Ok(Addresses { headers: Vec::new(), by_name: HashMap::new() });
    }
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let variables = json!({ "entity": run.entity, "project": run.project, "run": run.run, "files": names });
    let answer = api.graphql("CreateRunFiles", CREATE_RUN_FILES, variables).await?;
    let answer = &answer["createRunFiles"];
    let Some(nodes) = answer["files"].as_array() else {
        return Err(ApiError::lacks("CreateRunFiles", "files"));
    };
    let address =
        |node: &Value| Some((node["name"].as_str()?.to_owned(), node["uploadUrl"].as_str()?.to_owned()));
    Ok(Addresses { headers: header_lines(answer), by_name: nodes.iter().filter_map(address).collect() })
}

/// The `uploadHeaders` of an answer.
pub(super) fn header_lines(node: &Value) -> Vec<String> {
    let lines = node["uploadHeaders"].as_array().map(Vec::as_slice).unwrap_or_default();
    lines.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Puts files and gives those that are to be asked for again.
async fn put_batch(
    api: &Api,
    attempt: u32,
    files: Vec<Sending>,
    addresses: &Addresses,
    sent: &mut Sent,
) -> Result<Option<Batch>, ApiError> {
    let (known, nameless): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| addresses.by_name.contains_key(&file.name));
    let unwanted = "the server names no address for it".to_owned();
    sent.refused.extend(nameless.into_iter().map(|file| (file.name, unwanted.clone())));
    let uploads = known.iter().map(|file| Upload {
        url: addresses.by_name.get(&file.name).cloned().unwrap_or_default(),
        headers: addresses.headers.clone(),
        path: file.path.clone(),
        offset: 0,
        bytes: file.state.bytes,
    });
    let results = put_all(api, uploads.collect()).await;
    let mut again = Vec::new();
    for (file, result) in known.into_iter().zip(results) {
        let reason = match result {
            Ok(_) => match state_of(&file.path).await {
                Ok(state) if state == file.state => {
                    sent.uploaded.push(file.name);
                    continue;
                }
                Ok(_) => "it changed while it was sent".to_owned(),
                // It was there to the end, and is at the server.
                Err(_) => {
                    sent.uploaded.push(file.name);
                    continue;
                }
            },
            Err(error @ ApiError::Unreachable { .. }) => return Err(error),
            Err(error) if is_expired(&error) || matches!(error, ApiError::File { .. }) => error.to_string(),
            Err(error) => {
                sent.refused.push((file.name, error.to_string()));
                continue;
            }
        };
        if attempt < ATTEMPTS {
            again.push(file.name);
        } else {
            sent.refused.push((file.name, reason));
        }
    }
    Ok((!again.is_empty()).then_some(Batch { attempt: attempt + 1, names: again }))
}

/// Whether a new address may help.
pub(super) fn is_expired(error: &ApiError) -> bool {
    matches!(error.status(), Some(400 | 403))
}

/// A part of a file on its way.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) url: String,
    pub(super) headers: Vec<String>,
    pub(super) path: PathBuf,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// Puts all, some at a time; the results stand as the uploads did. Dropped, it ends them.
pub(super) async fn put_all(api: &Api, uploads: Vec<Upload>) -> Vec<Result<Option<String>, ApiError>> {
    let lost = || ApiError::Unreachable {
        what: "an upload".to_owned(),
        message: "its task broke off, which is an error of this program".to_owned(),
    };
    let mut results: Vec<_> = uploads.iter().map(|_| Err(lost())).collect();
    let mut waiting = uploads.into_iter().enumerate();
    let mut running = JoinSet::new();
    loop {
        for (place, upload) in waiting.by_ref().take(TRANSFERS_AT_ONCE - running.len()) {
            let api = api.clone();
            running.spawn(async move {
                let Upload { url, headers, path, offset, bytes } = &upload;
                let part = Part::OfFile { path, offset: *offset, bytes: *bytes };
                (place, api.put(url, headers, part).await)
            });
        }
        match running.join_next().await {
            None => return results,
            Some(Ok((place, result))) => results[place] = result,
            Some(Err(error)) => tracing::error!(%error, "an upload broke off"),
        }
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
