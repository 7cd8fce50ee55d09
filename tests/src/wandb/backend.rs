//! What a fake server knows and answers, apart from faults and connections.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::seen::{Blob, Seen, SeenArtifact, SeenRun, parse, parse_row};

const HISTORY: &str = "wandb-history.jsonl";
const EVENTS: &str = "wandb-events.jsonl";
const SUMMARY: &str = "wandb-summary.json";
const OUTPUT: &str = "output.log";
/// Owner of what names none.
const ENTITY: &str = "fake-entity";

type RunKey = (String, String, String);

/// All that was sent.
#[derive(Debug, Default)]
pub(super) struct Backend {
    runs: BTreeMap<RunKey, Run>,
    artifacts: Vec<SeenArtifact>,
    digests: Vec<String>,
    blobs: BTreeMap<String, Blob>,
}

#[derive(Debug, Default)]
struct Run {
    seen: SeenRun,
    lines: BTreeMap<String, BTreeMap<u64, String>>,
    stopped: bool,
}

/// A status, and why.
pub(super) type Refusal = (u16, String);

fn refused<T>(status: u16, why: &str) -> Result<T, Refusal> {
    Err((status, why.to_owned()))
}

fn text<'a>(of: &'a Value, name: &str) -> Option<&'a str> {
    of[name].as_str()
}

/// A text that has to be there.
fn needed<'a>(of: &'a Value, name: &str) -> Result<&'a str, Refusal> {
    text(of, name).ok_or_else(|| (400, format!("{name} is missing")))
}

fn texts(of: &Value) -> Vec<String> {
    of.as_array().into_iter().flatten().filter_map(|one| Some(one.as_str()?.to_owned())).collect()
}

impl Run {
    fn line_count(&self, file: &str) -> u64 {
        self.lines.get(file).and_then(|lines| lines.last_key_value()).map_or(0, |(last, _)| last + 1)
    }

    fn text_of(&self, file: &str) -> Vec<String> {
        self.lines.get(file).map(|lines| lines.values().cloned().collect()).unwrap_or_default()
    }

    fn stream(&mut self, body: &Value) -> Result<(), Refusal> {
        for (file, chunk) in body["files"].as_object().into_iter().flatten() {
            let Some(offset) = chunk["offset"].as_u64() else { return refused(400, "a chunk has no offset") };
            let known = self.line_count(file);
            if offset > known && file != OUTPUT {
                self.seen.gaps.push(format!("{file}: {offset} after {known} lines"));
            }
            let lines = self.lines.entry(file.clone()).or_default();
            for (at, line) in (offset..).zip(texts(&chunk["content"])) {
                let before = lines.insert(at, line.clone());
                if before.is_some_and(|before| before != line) && file == HISTORY {
                    self.seen.overwrites.push(format!("line {at}: {line}"));
                }
            }
            self.seen.exit_code = None; // one that goes on is not over
        }
        self.seen.uploaded.extend(texts(&body["uploaded"]));
        if body["complete"] == true {
            let Some(code) = body["exitcode"].as_i64() else {
                return refused(400, "complete without exitcode");
            };
            self.seen.exit_code = Some(code);
        }
        Ok(())
    }

    fn seen(&self) -> SeenRun {
        let rows = |file| self.text_of(file).iter().map(|line| parse_row(line)).collect();
        SeenRun {
            history: rows(HISTORY),
            events: rows(EVENTS),
            summary: self.text_of(SUMMARY).last().map_or(Value::Null, |last| parse(last)),
            output: self.text_of(OUTPUT),
            ..self.seen.clone()
        }
    }
}

impl Backend {
    pub(super) fn seen(&self) -> Seen {
        Seen {
            runs: self.runs.values().map(Run::seen).collect(),
            artifacts: self.artifacts.clone(),
            blobs: self.blobs.clone(),
            ..Seen::default()
        }
    }

    pub(super) fn press_stop(&mut self, run_id: &str) {
        self.runs.values_mut().filter(|run| run.seen.id == run_id).for_each(|run| run.stopped = true);
    }

    /// A `file_stream` request.
    pub(super) fn stream(&mut self, key: &RunKey, body: &Value) -> Result<Value, Refusal> {
        let Some(run) = self.runs.get_mut(key) else { return refused(404, "run not found") };
        run.stream(body)?;
        Ok(json!({"stopped": run.stopped}))
    }

    /// Something put below the storage.
    pub(super) fn put(
        &mut self,
        path: String,
        wanted_md5: Option<&str>,
        body: &[u8],
    ) -> Result<String, Refusal> {
        let md5 = Md5::digest(body);
        if wanted_md5.is_some_and(|wanted| wanted != STANDARD.encode(md5)) {
            return refused(400, "BadDigest");
        }
        let md5 = format!("{md5:x}");
        self.blobs.insert(path, Blob { bytes: body.len() as u64, md5: md5.clone() });
        Ok(md5)
    }

    /// A GraphQL operation; gives its `data`.
    pub(super) fn graphql(
        &mut self,
        base_url: &str,
        operation: &str,
        sent: &Value,
    ) -> Result<Value, Refusal> {
        // Clients pass the fields or one input object.
        let input = if sent["input"].is_object() { &sent["input"] } else { sent };
        match operation {
            "Viewer" => Ok(json!({"viewer": {"entity": ENTITY, "username": "fake-user"}})),
            "ServerFeaturesQuery" => {
                let features = json!([{"name": "STRUCTURED_CONSOLE_LOGS", "isEnabled": true}]);
                Ok(json!({"serverInfo": {"features": features}}))
            }
            "UpsertBucket" => self.upsert(input),
            "RunResumeStatus" => self.resume_status(input),
            "CreateRunFiles" => self.create_files(base_url, input),
            "NotifyScriptableRunAlert" => self.alert(input),
            "CreateArtifact" => self.create_artifact(input),
            "CreateArtifactManifest" => self.create_manifest(base_url, input),
            "CreateArtifactFiles" => self.create_artifact_files(base_url, input),
            "CommitArtifact" => {
                let place = self.artifact(input)?;
                self.artifacts[place].committed = true;
                let (id, digest) = (&input["artifactID"], &self.digests[place]);
                Ok(json!({"commitArtifact": {"artifact": {"id": id, "digest": digest}}}))
            }
            other => refused(400, &format!("unknown operation {other}")),
        }
    }

    fn upsert(&mut self, input: &Value) -> Result<Value, Refusal> {
        let entity = text(input, "entity").unwrap_or(ENTITY);
        let project = text(input, "project").unwrap_or("uncategorized");
        let id = needed(input, "name")?;
        let key = (entity.to_owned(), project.to_owned(), id.to_owned());
        let inserted = !self.runs.contains_key(&key);
        let run = self.runs.entry(key).or_default();
        let seen = &mut run.seen;
        (seen.entity, seen.project, seen.id) = (entity.into(), project.into(), id.into());
        if seen.fields.is_null() {
            seen.fields = json!({});
        }
        let own = ["id", "name", "project", "entity", "config"];
        for (name, value) in input.as_object().into_iter().flatten() {
            if !own.contains(&name.as_str()) && !value.is_null() {
                seen.fields[name] = value.clone();
            }
        }
        if let Some(config) = text(input, "config") {
            seen.config = parse(config);
        }
        let name = text(&run.seen.fields, "displayName").unwrap_or("fake-run-1").to_owned();
        let bucket = json!({
            "id": format!("storage-{id}"), "name": id, "displayName": name, "sweepName": null,
            "historyLineCount": run.line_count(HISTORY),
            "project": {"name": project, "entity": {"name": entity}},
        });
        Ok(json!({"upsertBucket": {"bucket": bucket, "inserted": inserted}}))
    }

    fn resume_status(&self, input: &Value) -> Result<Value, Refusal> {
        let part = |name| text(input, name).unwrap_or_default().to_owned();
        let Some(run) = self.runs.get(&(part("entity"), part("project"), part("name"))) else {
            return Ok(json!({"model": {"bucket": null}}));
        };
        let tail = |file| json!(run.text_of(file).last().into_iter().collect::<Vec<_>>()).to_string();
        let telemetry = &run.seen.config["_wandb"]["value"]["t"];
        let bucket = json!({
            "id": format!("storage-{}", run.seen.id), "name": run.seen.id,
            "displayName": run.seen.fields["displayName"],
            "summaryMetrics": run.text_of(SUMMARY).last().map_or("{}", String::as_str),
            "logLineCount": run.line_count(OUTPUT), "historyLineCount": run.line_count(HISTORY),
            "eventsLineCount": run.line_count(EVENTS), "historyTail": tail(HISTORY), "eventsTail": tail(EVENTS),
            "config": run.seen.config.to_string(), "tags": run.seen.fields["tags"], "notes": run.seen.fields["notes"],
            "wandbConfig": if telemetry.is_null() { json!({}) } else { json!({"t": telemetry}) }.to_string(),
        });
        Ok(json!({"model": {"bucket": bucket}}))
    }

    fn create_files(&self, base_url: &str, input: &Value) -> Result<Value, Refusal> {
        let (entity, project) = (needed(input, "entity")?, needed(input, "project")?);
        let run = needed(input, "run")?;
        let address =
            |file: &String| format!("{base_url}/storage/runs/{entity}/{project}/{run}/{}", escaped(file));
        let files: Vec<Value> = texts(&input["files"])
            .iter()
            .map(|file| json!({"name": file, "uploadUrl": address(file)}))
            .collect();
        let headers = ["X-Fake-Signed: yes"];
        Ok(json!({"createRunFiles": {"runID": run, "uploadHeaders": headers, "files": files}}))
    }

    fn alert(&mut self, input: &Value) -> Result<Value, Refusal> {
        let part = |name| needed(input, name).map(str::to_owned);
        let key = (part("entityName")?, part("projectName")?, part("runName")?);
        let Some(run) = self.runs.get_mut(&key) else { return refused(404, "run not found") };
        run.seen.alerts.push(needed(input, "title")?.to_owned());
        Ok(json!({"notifyScriptableRunAlert": {"success": true}}))
    }

    fn create_artifact(&mut self, input: &Value) -> Result<Value, Refusal> {
        let (name, digest) = (needed(input, "artifactCollectionName")?, needed(input, "digest")?);
        let known = |place: &usize| self.artifacts[*place].committed && self.digests[*place] == digest;
        let of_name = |place: &usize| self.artifacts[*place].name == name;
        if let Some(place) = (0..self.artifacts.len()).filter(of_name).find(known) {
            return Ok(json!({"createArtifact": {"artifact": node(place, "COMMITTED", None)}}));
        }
        let latest =
            (0..self.artifacts.len()).filter(of_name).rfind(|place| self.artifacts[*place].committed);
        let aliases = input["aliases"].as_array().into_iter().flatten();
        self.artifacts.push(SeenArtifact {
            name: name.to_owned(),
            kind: needed(input, "artifactTypeName")?.to_owned(),
            aliases: aliases.filter_map(|one| Some(text(one, "alias")?.to_owned())).collect(),
            ..SeenArtifact::default()
        });
        self.digests.push(digest.to_owned());
        Ok(json!({"createArtifact": {"artifact": node(self.artifacts.len() - 1, "PENDING", latest)}}))
    }

    fn create_manifest(&mut self, base_url: &str, input: &Value) -> Result<Value, Refusal> {
        let (place, name) = (self.artifact(input)?, needed(input, "name")?);
        let address = format!("{base_url}/storage/manifests/{place}/{}", escaped(name));
        let file = json!({"id": "file", "uploadUrl": address, "uploadHeaders": []});
        let manifest = json!({"id": format!("manifest-{place}"), "file": file});
        Ok(json!({"createArtifactManifest": {"artifactManifest": manifest}}))
    }

    fn create_artifact_files(&mut self, base_url: &str, input: &Value) -> Result<Value, Refusal> {
        let mut edges = Vec::new();
        for file in input["artifactFiles"].as_array().into_iter().flatten() {
            let (place, md5) = (self.artifact(file)?, needed(file, "md5")?);
            self.artifacts[place].files.insert(needed(file, "name")?.to_owned(), md5.to_owned());
            let hex: String =
                STANDARD.decode(md5).unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect();
            let path = format!("blobs/{hex}");
            let address = (!self.blobs.contains_key(&path)).then(|| format!("{base_url}/storage/{path}"));
            edges.push(json!({"node": {
                "storagePath": path, "uploadUrl": address, "uploadMultipartUrls": null,
                "uploadHeaders": [format!("Content-MD5:{md5}")], "artifact": {"id": file["artifactID"]},
            }}));
        }
        Ok(json!({"createArtifactFiles": {"files": {"edges": edges}}}))
    }

    fn artifact(&self, input: &Value) -> Result<usize, Refusal> {
        let id = needed(input, "artifactID")?;
        let place = id.strip_prefix("artifact-").and_then(|place| place.parse().ok());
        place.filter(|place| *place < self.artifacts.len()).ok_or_else(|| (400, format!("no artifact {id}")))
    }
}

fn node(place: usize, state: &str, latest: Option<usize>) -> Value {
    let latest = latest.map(|place| json!({"id": format!("artifact-{place}")}));
    json!({"id": format!("artifact-{place}"), "state": state, "artifactSequence": {"latestArtifact": latest}})
}

/// A path in an address.
fn escaped(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    path.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A path as it was before it was put in an address.
pub(super) fn unescaped(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let code = (*first == b'%').then(|| behind.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
