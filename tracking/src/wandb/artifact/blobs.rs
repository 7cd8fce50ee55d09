//! The files of an artifact: named in batches, put whole or in parts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::queries;
use super::send::{ArtifactError, text};
use crate::wandb::api::{Api, ApiError};
use crate::wandb::files::{Upload, header_lines, is_expired, put_all};

/// Sizes that decide how files travel.
#[derive(Debug, Clone, Copy)]
pub(in crate::wandb) struct Sizes {
    /// Files from here on go in parts.
    pub(in crate::wandb) in_parts_from: u64,
    /// Bytes of a part, unless that made too many.
    pub(in crate::wandb) part: u64,
    /// Most parts of a file; storage takes no more.
    pub(in crate::wandb) most_parts: u64,
    /// Most bytes that are named at once, or else addresses expire before they are used.
    pub(in crate::wandb) batch: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { in_parts_from: 2 << 30, part: 100 << 20, most_parts: 10_000, batch: 1 << 30 }
    }
}

/// Files in the first batch; each further one has twice as many.
const FIRST_BATCH: usize = 25;

/// Most files in a batch: some MiB of signed addresses.
const LARGEST_BATCH: usize = 1000;

/// Parts of a file are multiples of this.
const PAGE: u64 = 4096;

/// A file of an artifact.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    /// Path within the artifact.
    pub(super) name: String,
    /// Where it lies.
    pub(super) path: PathBuf,
    /// Base64 of its MD5.
    pub(super) digest: String,
    pub(super) bytes: u64,
}

/// Where files go.
pub(super) struct Target<'a> {
    pub(super) api: &'a Api,
    /// Id of the artifact.
    pub(super) artifact: &'a str,
    /// Id of its manifest.
    pub(super) manifest: &'a str,
    pub(super) sizes: &'a Sizes,
}

/// A range of a file with its own MD5.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    offset: u64,
    bytes: u64,
    md5: [u8; 16],
}

/// Sends files and gives the id of the artifact each was first part of, by name.
pub(super) async fn send_blobs(
    target: &Target<'_>,
    mut blobs: Vec<Blob>,
) -> Result<BTreeMap<String, String>, ArtifactError> {
    let mut births = BTreeMap::new();
    let mut most = FIRST_BATCH;
    while !blobs.is_empty() {
        let rest = blobs.split_off(batch_length(&blobs, most, target.sizes.batch));
        let expired = send_batch(target, &blobs, &mut births).await?;
        for (blob, error) in expired {
            // The address expired, or storage found other bytes than were announced.
            if digest_of(&blob.path, Vec::new()).await?.0 != blob.digest {
                return Err(ArtifactError::Changed { path: blob.path });
            }
            if !send_batch(target, &[blob], &mut births).await?.is_empty() {
                return Err(error.into());
            }
        }
        blobs = rest;
        most = (most * 2).min(LARGEST_BATCH);
    }
    Ok(births)
}

/// How many of the first files go together; at least one.
fn batch_length(blobs: &[Blob], most: usize, most_bytes: u64) -> usize {
    let mut bytes = 0_u64;
    let fitting = blobs.iter().take(most).take_while(|blob| {
        bytes = bytes.saturating_add(blob.bytes);
        bytes <= most_bytes
    });
    fitting.count().clamp(1, blobs.len().max(1))
}

/// Names files and puts those the server has not. Gives those whose address did not do, and why.
async fn send_batch(
    target: &Target<'_>,
    blobs: &[Blob],
    births: &mut BTreeMap<String, String>,
) -> Result<Vec<(Blob, ApiError)>, ArtifactError> {
    let mut specs = Vec::new();
    let mut ranges = Vec::new();
    for blob in blobs {
        let parts = examined(blob, target.sizes).await?;
        let part_inputs: Option<Vec<Value>> = parts.as_ref().map(|parts| {
            let input =
                |(number, part): (usize, &Range)| json!({ "partNumber": number, "hexMD5": hex(part.md5) });
            (1..).zip(parts).map(input).collect()
        });
        specs.push(json!({
            "artifactID": target.artifact,
            "artifactManifestID": target.manifest,
            "name": blob.name,
            "md5": blob.digest,
            "uploadPartsInput": part_inputs,
        }));
        ranges.push(parts);
    }
    let variables = json!({ "artifactFiles": specs, "storageLayout": "V2" });
    let answer = target.api.graphql(CREATE_FILES, queries::CREATE_FILES, variables).await?;
    let nodes =
        answer["createArtifactFiles"]["files"]["edges"].as_array().map(Vec::as_slice).unwrap_or_default();
    if nodes.len() != blobs.len() {
        return Err(ApiError::lacks(CREATE_FILES, "one of the files").into());
    }
    let (mut whole, mut uploads, mut expired) = (Vec::new(), Vec::new(), Vec::new());
    for ((blob, parts), node) in blobs.iter().zip(ranges).zip(nodes.iter().map(|edge| &edge["node"])) {
        let birth = text(&node["artifact"], "id", CREATE_FILES)?;
        births.insert(blob.name.clone(), birth.to_owned());
        let multipart = &node["uploadMultipartUrls"];
        match (node["uploadUrl"].as_str(), parts) {
            (_, Some(parts)) if multipart.is_object() => {
                match send_parts(target.api, blob, &parts, node).await {
                    Err(ArtifactError::Api(error)) if is_expired(&error) => {
                        expired.push((blob.clone(), error));
                    }
                    sent => sent?,
                }
            }
            (None, _) => {} // the server has it
            (Some(url), _) => {
                let (url, headers) = (url.to_owned(), header_lines(node));
                uploads.push(Upload { url, headers, path: blob.path.clone(), offset: 0, bytes: blob.bytes });
                whole.push(blob);
            }
        }
    }
    for (blob, result) in whole.into_iter().zip(put_all(target.api, uploads).await) {
        match result {
            Ok(_) => {}
            Err(error) if is_expired(&error) => expired.push((blob.clone(), error)),
            Err(error) => return Err(of_put(error)),
        }
    }
    Ok(expired)
}

const CREATE_FILES: &str = "CreateArtifactFiles";

/// Checks a file's size, and gives its parts if it goes in parts; that reads it once.
async fn examined(blob: &Blob, sizes: &Sizes) -> Result<Option<Vec<Range>>, ArtifactError> {
    let unreadable = |source| ArtifactError::Unreadable { path: blob.path.clone(), source };
    let found = tokio::fs::metadata(&blob.path).await.map_err(unreadable)?;
    let changed = || ArtifactError::Changed { path: blob.path.clone() };
    if !found.is_file() || found.len() != blob.bytes {
        return Err(changed());
    }
    let Some(part_bytes) = part_bytes(blob.bytes, sizes) else { return Ok(None) };
    let (digest, ranges) = digest_of(&blob.path, cuts(blob.bytes, part_bytes)).await?;
    if digest == blob.digest { Ok(Some(ranges)) } else { Err(changed()) }
}

/// Bytes of the parts of a file; `None` if it goes whole.
fn part_bytes(bytes: u64, sizes: &Sizes) -> Option<u64> {
    if bytes < sizes.in_parts_from {
        return None;
    }
    if bytes.div_ceil(sizes.part) <= sizes.most_parts {
        return Some(sizes.part);
    }
    Some(bytes.div_ceil(sizes.most_parts).next_multiple_of(PAGE))
}

/// Offset and length of each part.
fn cuts(bytes: u64, part: u64) -> Vec<(u64, u64)> {
    (0..bytes.div_ceil(part)).map(|number| (number * part, part.min(bytes - number * part))).collect()
}

/// Base64 of a file's MD5, and the parts with theirs, off the reactor.
async fn digest_of(path: &Path, cuts: Vec<(u64, u64)>) -> Result<(String, Vec<Range>), ArtifactError> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || digests(&owned, &cuts)).await;
    let digests = read.unwrap_or_else(|broken| Err(io::Error::other(broken)));
    digests.map_err(|source| ArtifactError::Unreadable { path: path.to_owned(), source })
}

fn digests(path: &Path, cuts: &[(u64, u64)]) -> io::Result<(String, Vec<Range>)> {
    let mut file = File::open(path)?;
    let mut whole = Md5::new();
    let mut ranges = Vec::with_capacity(cuts.len());
    for (offset, bytes) in cuts {
        let mut part = Md5::new();
        let mut both = |piece: &[u8]| {
            part.update(piece);
            whole.update(piece);
        };
        let read = feed(&mut file, *bytes, &mut both)?;
        let md5 = part.finalize().into();
        ranges.push(Range { offset: *offset, bytes: read, md5 });
    }
    feed(&mut file, u64::MAX, &mut |piece| whole.update(piece))?;
    Ok((STANDARD.encode(whole.finalize()), ranges))
}

/// Feeds at most so many bytes to `hear`; gives how many there were.
fn feed(file: &mut File, most: u64, hear: &mut dyn FnMut(&[u8])) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut limited = file.take(most);
    let mut fed = 0;
    loop {
        match limited.read(&mut buffer) {
            Ok(0) => return Ok(fed),
            Ok(read) => {
                hear(&buffer[..read]);
                fed += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Puts a file in parts and has them joined.
async fn send_parts(api: &Api, blob: &Blob, parts: &[Range], node: &Value) -> Result<(), ArtifactError> {
    let what = CREATE_FILES;
    let multipart = &node["uploadMultipartUrls"];
    let (upload_id, storage_path) = (text(multipart, "uploadID", what)?, text(node, "storagePath", what)?);
    let urls = multipart["uploadUrlParts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let content_type = content_type(node);
    let mut uploads = Vec::new();
    for (number, part) in (1_u64..).zip(parts) {
        let url = urls.iter().find(|url| url["partNumber"].as_u64() == Some(number));
        let url = text(url.unwrap_or(&Value::Null), "uploadUrl", what)?.to_owned();
        let headers = vec![format!("Content-Md5: {}", STANDARD.encode(part.md5)), content_type.clone()];
        uploads.push(Upload {
            url,
            headers,
            path: blob.path.clone(),
            offset: part.offset,
            bytes: part.bytes,
        });
    }
    let mut completed = Vec::new();
    for (number, result) in (1_u64..).zip(put_all(api, uploads).await) {
        let etag =
            result.map_err(of_put)?.ok_or_else(|| ApiError::lacks("the upload of a part", "an ETag"))?;
        completed.push(json!({ "partNumber": number, "hexMD5": etag }));
    }
    let variables = json!({
        "completeMultipartAction": "Complete",
        "completedParts": completed,
        "artifactID": text(&node["artifact"], "id", what)?,
        "storagePath": storage_path,
        "uploadID": upload_id,
    });
    api.graphql("CompleteMultipartUploadArtifact", queries::COMPLETE_MULTIPART, variables).await?;
    Ok(())
}

/// The `Content-Type` line of the headers for the whole file, which the parts are signed with too.
fn content_type(node: &Value) -> String {
    let is_type = |line: &String| line.to_ascii_lowercase().starts_with("content-type:");
    let line = header_lines(node).into_iter().find(is_type);
    line.unwrap_or_else(|| "Content-Type: application/octet-stream".to_owned())
}

/// A file that can not be read is no matter of the server.
fn of_put(error: ApiError) -> ArtifactError {
    match error {
        ApiError::File { path, source } if source.kind() == io::ErrorKind::UnexpectedEof => {
            ArtifactError::Changed { path }
        }
        ApiError::File { path, source } => ArtifactError::Unreadable { path, source },
        error => error.into(),
    }
}

pub(super) fn hex(md5: [u8; 16]) -> String {
    md5.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn only_large_files_go_in_parts_and_not_in_too_many() {
        let sizes = Sizes::default();
        let mib = 1 << 20;
        assert_eq!(part_bytes(2 * GIB - 1, &sizes), None);
        assert_eq!(part_bytes(2 * GIB, &sizes), Some(100 * mib));
        assert_eq!(part_bytes(10_000 * 100 * mib, &sizes), Some(100 * mib));
        let more = part_bytes(10_000 * 100 * mib + 1, &sizes).unwrap();
        assert_eq!(more, 100 * mib + 4096);
        assert!((10_000 * 100 * mib + 1).div_ceil(more) <= 10_000);
    }

    #[test]
    fn parts_cover_a_file_without_gap() {
        assert_eq!(cuts(10, 4), [(0, 4), (4, 4), (8, 2)]);
        assert_eq!(cuts(8, 4), [(0, 4), (4, 4)]);
    }

    #[test]
    fn a_batch_is_bounded_by_count_and_bytes_and_never_empty() {
        let blob = |bytes| Blob { name: String::new(), path: PathBuf::new(), digest: String::new(), bytes };
        let blobs = [blob(6), blob(3), blob(1), blob(1)];
        assert_eq!(batch_length(&blobs, 2, 100), 2);
        assert_eq!(batch_length(&blobs, 25, 10), 3);
        assert_eq!(batch_length(&blobs, 25, 1), 1);
        assert_eq!(batch_length(&blobs, 25, 100), 4);
    }

    #[test]
    fn digests_are_those_of_other_tools() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"hello\nhello\n").unwrap();
        let (whole, parts) = digests(file.path(), &[(0, 6), (6, 6)]).unwrap();
        // `printf 'hello\n' | md5sum`, and of it twice, in base64
        assert_eq!(hex(parts[0].md5), "b1946ac92492d2347c6235b4d2611184");
        assert_eq!(parts[1], Range { offset: 6, ..parts[0].clone() });
        assert_eq!(whole, "Dl0twNuLRAdiW4v2M7dQVQ==");
        assert_eq!(digests(file.path(), &[]).unwrap().0, whole);
    }
}
