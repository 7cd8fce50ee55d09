//! From a record to a version: created, filled, committed.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use super::blobs::{Blob, Sizes, Target, hex, send_blobs};
use super::queries;
use crate::wandb::api::{Api, ApiError, Part, RunPath};
use crate::wandb::files::{header_lines, is_expired};
use crate::wandb::record::{Artifact, Manifest, ManifestEntry};

/// What became of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// It is a new version.
    New,
    /// The server had these very files under this name.
    Known,
}

/// Why an artifact is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The server.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A file of it can not be read.
    #[error("a file of it can not be read, log it again if it is still to be had: {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of it is not what was logged.
    #[error("a file of it changed after it was logged, log it again: {}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The record is not whole.
    #[error("its record holds no {missing}, so nothing can be made of it: {name}")]
    NotWhole {
        /// The artifact.
        name: String,
        /// What is not there.
        missing: &'static str,
    },
}

/// Sends an artifact and commits it: it appears whole or not at all. Its files stay where they are.
///
/// # Errors
/// [`ArtifactError`]; sending it again is harmless. Only [`ArtifactError::Api`] may be otherwise the next time.
///
/// # Cancel safety
/// Dropped before the commit, nothing is seen of it.
///
/// # Sources
/// Order of requests: the official client 0.31.0.
pub async fn send_artifact(
    api: &Api,
    run: &RunPath,
    artifact: &Artifact,
    history_step: i64,
) -> Result<Committed, ArtifactError> {
    send_sized(api, run, artifact, history_step, &Sizes::default()).await
}

pub(in crate::wandb) async fn send_sized(
    api: &Api,
    run: &RunPath,
    artifact: &Artifact,
    history_step: i64,
    sizes: &Sizes,
) -> Result<Committed, ArtifactError> {
    let not_whole = |missing| ArtifactError::NotWhole { name: artifact.name.clone(), missing };
    let manifest = artifact.manifest.as_ref().ok_or_else(|| not_whole("manifest"))?;
    // A manifest that is kept elsewhere, or lost entries: committed, it would pass for another.
    if artifact.digest != manifest_digest(manifest) {
        return Err(not_whole("manifest with the digest that was logged"));
    }
    let input = create_input(run, artifact, history_step);
    let created = api.graphql("CreateArtifact", queries::CREATE_ARTIFACT, json!({ "input": input })).await?;
    let node = &created["createArtifact"]["artifact"];
    let id = text(node, "id", "CreateArtifact")?;
    if node["state"] == "COMMITTED" {
        return Ok(Committed::Known);
    }
    let base = node["artifactSequence"]["latestArtifact"]["id"].as_str();
    let draft = Draft { api, run, id, base };
    let described = draft.describe("").await?;
    let target =
        Target { api, artifact: draft.id, manifest: text(&described, "id", CREATE_MANIFEST)?, sizes };
    let births = send_blobs(&target, blobs(manifest)).await?;
    draft.send_manifest(&manifest_json(manifest, &births)).await?;
    api.graphql("CommitArtifact", queries::COMMIT, json!({ "artifactID": id })).await?;
    Ok(Committed::New)
}

const CREATE_MANIFEST: &str = "CreateArtifactManifest";

/// Entity and project are the run's, as the server named them: a run logged offline may know neither.
fn create_input(run: &RunPath, artifact: &Artifact, history_step: i64) -> Value {
    let given = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    let alias = |alias: &String| json!({ "artifactCollectionName": artifact.name, "alias": alias });
    let mut input = json!({
        "entityName": run.entity,
        "projectName": run.project,
        "runName": run.run,
        "artifactTypeName": artifact.r#type,
        "artifactCollectionName": artifact.name,
        "digest": artifact.digest,
        "digestAlgorithm": "MANIFEST_MD5",
        "description": given(&artifact.description),
        "metadata": given(&artifact.metadata),
        "historyStep": history_step,
        "aliases": artifact.aliases.iter().map(alias).collect::<Vec<_>>(),
        "enableDigestDeduplication": true,
        "clientID": given(&artifact.client_id),
        "sequenceClientID": given(&artifact.sequence_client_id),
        "ttlDurationSeconds": null,
    });
    // Servers that are too old for tags refuse the field, so it is there only when used.
    if !artifact.tags.is_empty() {
        input["tags"] = artifact.tags.iter().map(|tag| json!({ "tagName": tag })).collect();
    }
    input
}

/// The files that have a place on this machine. What is a reference has none.
fn blobs(manifest: &Manifest) -> Vec<Blob> {
    let local = manifest.contents.iter().filter(|entry| entry.r#ref.is_empty());
    let blob = |entry: &ManifestEntry| Blob {
        name: entry.path.clone(),
        path: PathBuf::from(&entry.local_path),
        digest: entry.digest.clone(),
        bytes: u64::try_from(entry.size).unwrap_or(0),
    };
    local.map(blob).collect()
}

/// An artifact that is not committed yet.
struct Draft<'a> {
    api: &'a Api,
    run: &'a RunPath,
    id: &'a str,
    /// The version before it.
    base: Option<&'a str>,
}

impl Draft<'_> {
    /// Names the manifest: without a digest to have one for its files, with one to get an address for it.
    async fn describe(&self, digest: &str) -> Result<Value, ArtifactError> {
        let variables = json!({
            "artifactID": self.id,
            "baseArtifactID": self.base,
            "name": "wandb_manifest.json",
            "digest": digest,
            "entityName": self.run.entity,
            "projectName": self.run.project,
            "runName": self.run.run,
            "includeUpload": !digest.is_empty(),
            "type": "FULL",
        });
        let mut answer = self.api.graphql(CREATE_MANIFEST, queries::CREATE_MANIFEST, variables).await?;
        Ok(answer["createArtifactManifest"]["artifactManifest"].take())
    }

    async fn send_manifest(&self, manifest: &[u8]) -> Result<(), ArtifactError> {
        let digest = STANDARD.encode(Md5::digest(manifest));
        for is_last in [false, true] {
            let described = self.describe(&digest).await?;
            let file = &described["file"];
            let url = text(file, "uploadUrl", CREATE_MANIFEST)?;
            match self.api.put(url, &header_lines(file), Part::Bytes(manifest)).await {
                Err(error) if is_expired(&error) && !is_last => {}
                sent => return Ok(sent.map(drop)?),
            }
        }
        Ok(())
    }
}

/// What tells an artifact's content: the files' names and digests.
///
/// # Sources
/// The official client 0.31.0; the test has a value of 0.19.11.
fn manifest_digest(manifest: &Manifest) -> String {
    let mut entries: Vec<(&str, &str)> =
        manifest.contents.iter().map(|entry| (entry.path.as_str(), entry.digest.as_str())).collect();
    entries.sort_unstable();
    let mut hasher = Md5::new();
    hasher.update("wandb-artifact-manifest-v1\n");
    for (path, digest) in entries {
        hasher.update(format!("{path}:{digest}\n"));
    }
    hex(hasher.finalize().into())
}

/// The manifest as the server keeps it. Paths of this machine are nobody's business there.
fn manifest_json(manifest: &Manifest, births: &BTreeMap<String, String>) -> Vec<u8> {
    let mut policy = Map::new();
    for item in &manifest.storage_policy_config {
        policy.insert(item.key.clone(), serde_json::from_str(&item.value_json).unwrap_or(Value::Null));
    }
    policy.entry("storageLayout").or_insert_with(|| json!("V2"));
    let mut entries: Vec<&ManifestEntry> = manifest.contents.iter().collect();
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    let mut contents = Map::new();
    for entry in entries {
        let mut value = json!({ "digest": entry.digest });
        let birth = births.get(&entry.path).map(String::as_str).or(Some(entry.birth_artifact_id.as_str()));
        if let Some(birth) = birth.filter(|birth| !birth.is_empty()) {
            value["birthArtifactID"] = json!(birth);
        }
        if !entry.r#ref.is_empty() {
            value["ref"] = json!(entry.r#ref);
        }
        value["size"] = json!(entry.size);
        contents.insert(entry.path.clone(), value);
    }
    let manifest = json!({
        "version": 1,
        "storagePolicy": "wandb-storage-policy-v1",
        "storagePolicyConfig": policy,
        "contents": contents,
    });
    manifest.to_string().into_bytes()
}

/// A text that an answer has to hold.
pub(super) fn text<'a>(node: &'a Value, field: &str, what: &str) -> Result<&'a str, ApiError> {
    node[field].as_str().ok_or_else(|| ApiError::lacks(what, field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, digest: &str) -> ManifestEntry {
        ManifestEntry { path: path.to_owned(), digest: digest.to_owned(), ..ManifestEntry::default() }
    }

    #[test]
    fn the_digest_is_the_official_one_in_any_order() {
        let contents = vec![
            entry("weights.bin", "DzQ7CTESaiDxM9Z8KwGKOw=="),
            entry("sub/a b.txt", "sZRqySSS0jR8YjW00mERhA=="),
        ];
        let manifest = Manifest { contents, ..Manifest::default() };
        // Artifact("m", "model").digest of 1024 zeros and "hello\n" under these names
        assert_eq!(manifest_digest(&manifest), "b1b76c5ebedcea59d6e119c8973e912a");
    }
}
