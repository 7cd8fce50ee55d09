//! Files of an artifact: kept beside the run, and listed with their digests.
//!
//! # Sources
//! Digest of a manifest: `wandb/sdk/artifacts/artifact_manifests/artifact_manifest_v1.py` of the official client 0.31.0.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use rand::RngExt as _;

use super::error::JournalError;
use super::header::ArtifactFiles;
use super::place::is_usable;
use crate::wandb::folder::RunFolder;
use crate::wandb::record::{Artifact, Manifest, ManifestEntry, StoragePolicyItem};

/// Length of the ids a client gives artifacts.
const ID_LENGTH: usize = 128;
/// What they are made of.
const ID_LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// Characters of an artifact's id that tell its folder from others.
const FOLDER_LENGTH: usize = 16;
/// First line of what is digested.
const DIGEST_TITLE: &str = "wandb-artifact-manifest-v1\n";

/// Keeps the files of an artifact and gives its record, but for whose it is. Where one file fails, none is kept.
pub(super) fn keep(
    folder: &RunFolder,
    given: &ArtifactFiles,
    sequence: Option<&String>,
) -> Result<Artifact, JournalError> {
    if !is_usable(&given.name) {
        return Err(JournalError::ArtifactName { name: given.name.clone() });
    }
    let files = by_entry(given)?;
    let client_id = new_id();
    let kept = folder.artifacts().join(&client_id[..FOLDER_LENGTH]);
    let contents: Result<Vec<_>, _> =
        files.into_iter().map(|(entry, file)| keep_file(&kept, entry, file)).collect();
    let contents = contents.inspect_err(|_| {
        // The first error is the one to tell; links left over do no harm.
        drop(fs::remove_dir_all(&kept));
    })?;
    let policy = StoragePolicyItem { key: "storageLayout".into(), value_json: "\"V2\"".into() };
    Ok(Artifact {
        r#type: given.kind.clone(),
        name: given.name.clone(),
        digest: manifest_digest(&contents),
        metadata: if given.metadata.is_empty() {
            String::new()
        } else {
            serde_json::Value::Object(given.metadata.clone()).to_string()
        },
        user_created: true,
        aliases: given.aliases.clone(),
        manifest: Some(Manifest {
            version: 1,
            storage_policy: "wandb-storage-policy-v1".into(),
            storage_policy_config: vec![policy],
            contents,
        }),
        finalize: true,
        client_id,
        sequence_client_id: sequence.cloned().unwrap_or_else(new_id),
        digest_algorithm: "MANIFEST_MD5".into(),
        ..Artifact::default()
    })
}

/// The files in the order of their paths within the artifact.
fn by_entry(given: &ArtifactFiles) -> Result<BTreeMap<&str, &Path>, JournalError> {
    let mut files = BTreeMap::new();
    for (entry, file) in &given.files {
        let is_inside = Path::new(entry).components().all(|part| matches!(part, Component::Normal(_)));
        if entry.is_empty() || !is_inside || files.insert(entry.as_str(), file.as_path()).is_some() {
            return Err(JournalError::ArtifactEntry { name: given.name.clone(), entry: entry.clone() });
        }
    }
    Ok(files)
}

fn keep_file(kept: &Path, entry: &str, file: &Path) -> Result<ManifestEntry, JournalError> {
    let local = kept.join(entry);
    let listed = link(file, &local).and_then(|()| digest(&local));
    let (digest, bytes) =
        listed.map_err(|source| JournalError::ArtifactFile { path: file.to_owned(), source })?;
    Ok(ManifestEntry {
        path: entry.to_owned(),
        digest,
        size: i64::try_from(bytes).unwrap_or(i64::MAX),
        local_path: local.to_string_lossy().into_owned(),
        skip_cache: true,
        ..ManifestEntry::default()
    })
}

/// Gives a file a second name, or copies it where that can not be.
fn link(file: &Path, local: &Path) -> io::Result<()> {
    if let Some(folder) = local.parent() {
        fs::create_dir_all(folder)?;
    }
    // A symbolic link would be linked as such, and dangle once its target is replaced.
    let file = fs::canonicalize(file)?;
    match fs::hard_link(&file, local) {
        Ok(()) => Ok(()),
        Err(_) => fs::copy(&file, local).map(drop),
    }
}

/// Base64 of a file's MD5, and its length.
fn digest(file: &PathBuf) -> io::Result<(String, u64)> {
    let mut hasher = Md5::new();
    let bytes = io::copy(&mut File::open(file)?, &mut hasher)?;
    Ok((STANDARD.encode(hasher.finalize()), bytes))
}

/// Hexadecimal MD5 over the paths and digests of the files, which stand in order.
fn manifest_digest(contents: &[ManifestEntry]) -> String {
    let mut hasher = Md5::new();
    hasher.update(DIGEST_TITLE);
    for entry in contents {
        hasher.update(format!("{}:{}\n", entry.path, entry.digest));
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn new_id() -> String {
    let mut random = rand::rng();
    (0..ID_LENGTH).map(|_| char::from(ID_LETTERS[random.random_range(0..ID_LETTERS.len())])).collect()
}
