use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::blobs::{Sizes, hex};
use super::send::send_sized;
use super::*;
use crate::wandb::api::{Api, RunPath};
use crate::wandb::key::Key;
use crate::wandb::record::{Artifact, Manifest, ManifestEntry, StoragePolicyItem};
use crate::wandb::settings::Pace;
use crate::wandb::testing::{Asked, Reply, Server};

pub(crate) const SMALL: Sizes = Sizes { in_parts_from: 1000, part: 400, most_parts: 10_000, batch: 1 << 30 };

/// A record of files below a folder, which are written first.
pub(crate) fn artifact(folder: &Path, name: &str, files: &[(&str, &[u8])]) -> Artifact {
    let mut contents = Vec::new();
    for (path, content) in files {
        let local = folder.join(path);
        fs::create_dir_all(local.parent().unwrap()).unwrap();
        fs::write(&local, content).unwrap();
        contents.push(ManifestEntry {
            path: (*path).to_owned(),
            digest: STANDARD.encode(Md5::digest(content)),
            size: i64::try_from(content.len()).unwrap(),
            local_path: local.to_str().unwrap().to_owned(),
            ..ManifestEntry::default()
        });
    }
    of_contents(name, contents)
}

pub(crate) fn of_contents(name: &str, contents: Vec<ManifestEntry>) -> Artifact {
    let mut sorted: Vec<&ManifestEntry> = contents.iter().collect();
    sorted.sort_by_key(|entry| &entry.path);
    let lines: Vec<String> =
        sorted.iter().map(|entry| format!("{}:{}\n", entry.path, entry.digest)).collect();
    let policy = StoragePolicyItem { key: "storageLayout".to_owned(), value_json: "\"V2\"".to_owned() };
    Artifact {
        r#type: "model".to_owned(),
        name: name.to_owned(),
        digest: hex(Md5::digest(format!("wandb-artifact-manifest-v1\n{}", lines.concat())).into()),
        metadata: r#"{"acc":0.9}"#.to_owned(),
        aliases: vec!["latest".to_owned(), "best".to_owned()],
        client_id: "c".repeat(128),
        sequence_client_id: "s".repeat(128),
        manifest: Some(Manifest {
            version: 1,
            storage_policy: "wandb-storage-policy-v1".to_owned(),
            storage_policy_config: vec![policy],
            contents,
        }),
        finalize: true,
        ..Artifact::default()
    }
}

pub(crate) fn run() -> RunPath {
    RunPath { entity: "e".to_owned(), project: "p".to_owned(), run: "r".to_owned() }
}

/// A server with new artifacts, whose storage answers by `storage` and tells of files by `node`.
fn server_with(
    node: impl Fn(&Value) -> Value + Send + Sync + 'static,
    storage: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
) -> Server {
    Server::start(move |asked| {
        let variables = asked.json()["variables"].clone();
        match asked.operation().as_str() {
            "CreateArtifact" => Reply::data(&json!({"createArtifact": {"artifact": {
                "id": "A1", "state": "PENDING", "artifactSequence": {"latestArtifact": {"id": "A0"}}}}})),
            "CreateArtifactManifest" => {
                let mut file = json!({"id": "F"});
                if variables["includeUpload"] == true {
                    file["uploadUrl"] = json!("/manifest");
                    file["uploadHeaders"] = json!(["X-Signed:manifest"]);
                }
                Reply::data(
                    &json!({"createArtifactManifest": {"artifactManifest": {"id": "M1", "file": file}}}),
                )
            }
            "CreateArtifactFiles" => {
                let specs = variables["artifactFiles"].as_array().unwrap();
                let edges: Vec<Value> = specs.iter().map(|spec| json!({ "node": node(spec) })).collect();
                Reply::data(&json!({"createArtifactFiles": {"files": {"edges": edges}}}))
            }
            "CompleteMultipartUploadArtifact" => {
                Reply::data(&json!({"completeMultipartUploadArtifact": {"digest": "d"}}))
            }
            "CommitArtifact" => {
                Reply::data(&json!({"commitArtifact": {"artifact": {"id": "A1", "digest": "d"}}}))
            }
            _ => storage(asked),
        }
    })
}

fn stored(_: &Asked) -> Reply {
    Reply::status(200, "").with("ETag", "\"tag\"")
}

fn whole(spec: &Value) -> Value {
    let headers = [format!("Content-MD5:{}", spec["md5"].as_str().unwrap()), "Content-Type: x/y".to_owned()];
    json!({ "storagePath": "s", "uploadUrl": format!("/put/{}", spec["name"].as_str().unwrap()),
        "uploadHeaders": headers, "uploadMultipartUrls": null, "artifact": {"id": "B1"} })
}

async fn send(server: &Server, artifact: &Artifact) -> Result<Committed, ArtifactError> {
    let (first_wait, longest_wait) = (Duration::from_millis(1), Duration::from_millis(2));
    let pace = Pace { first_wait, longest_wait, ..Pace::default() };
    let api = Api::new(&server.url(), Key::new("k".repeat(40)), pace).unwrap();
    let run = run();
    let sending = send_sized(&api, &run, artifact, 20, &SMALL);
    tokio::time::timeout(Duration::from_secs(20), sending).await.unwrap()
}

/// Operations and paths of what was asked.
fn steps(server: &Server) -> Vec<String> {
    let step = |asked: &Asked| if asked.method == "PUT" { asked.path.clone() } else { asked.operation() };
    server.asked().iter().map(step).collect()
}

fn variables(server: &Server, operation: &str) -> Vec<Value> {
    let asked = server.asked();
    asked
        .iter()
        .filter(|asked| asked.operation() == operation)
        .map(|asked| asked.json()["variables"].clone())
        .collect()
}

#[tokio::test]
async fn an_artifact_goes_in_six_steps_and_its_files_stay() {
    let server = server_with(whole, stored);
    let folder = tempfile::tempdir().unwrap();
    let artifact = artifact(folder.path(), "my-model", &[("weights.bin", b"12345"), ("a/empty", b"")]);
    assert_eq!(send(&server, &artifact).await.unwrap(), Committed::New);
    let mut steps = steps(&server);
    steps[3..5].sort(); // the two files go side by side
    let expected = [
        "CreateArtifact",
        "CreateArtifactManifest",
        "CreateArtifactFiles",
        "/put/a/empty",
        "/put/weights.bin",
        "CreateArtifactManifest",
        "/manifest",
        "CommitArtifact",
    ];
    assert_eq!(steps, expected);
    let alias = |alias| json!({"artifactCollectionName": "my-model", "alias": alias});
    let input = json!({
        "entityName": "e", "projectName": "p", "runName": "r", "artifactTypeName": "model",
        "artifactCollectionName": "my-model", "digest": artifact.digest, "digestAlgorithm": "MANIFEST_MD5",
        "description": null, "metadata": "{\"acc\":0.9}", "historyStep": 20,
        "aliases": [alias("latest"), alias("best")], "enableDigestDeduplication": true,
        "clientID": "c".repeat(128), "sequenceClientID": "s".repeat(128), "ttlDurationSeconds": null,
    });
    assert_eq!(variables(&server, "CreateArtifact")[0]["input"], input);
    let spec = json!({"artifactID": "A1", "artifactManifestID": "M1", "name": "weights.bin",
        "md5": "gnzLDuqKcGxMNKFokfhOew==", "uploadPartsInput": null});
    let files = &variables(&server, "CreateArtifactFiles")[0];
    assert_eq!((&files["artifactFiles"][0], &files["storageLayout"]), (&spec, &json!("V2")));
    let asked = server.asked();
    let put = asked.iter().find(|asked| asked.path == "/put/weights.bin").unwrap();
    assert_eq!(
        (put.body.as_slice(), put.header("content-md5")),
        (b"12345".as_slice(), Some("gnzLDuqKcGxMNKFokfhOew=="))
    );
    let manifest = &asked[6];
    let expected = r#"{"version":1,"storagePolicy":"wandb-storage-policy-v1","storagePolicyConfig":{"storageLayout":"V2"},"contents":{"a/empty":{"digest":"1B2M2Y8AsgTpgAmY7PhCfg==","birthArtifactID":"B1","size":0},"weights.bin":{"digest":"gnzLDuqKcGxMNKFokfhOew==","birthArtifactID":"B1","size":5}}}"#;
    assert_eq!(String::from_utf8(manifest.body.clone()).unwrap(), expected);
    assert_eq!(manifest.header("x-signed"), Some("manifest"));
    let manifests = variables(&server, "CreateArtifactManifest");
    assert_eq!((&manifests[0]["digest"], &manifests[0]["includeUpload"]), (&json!(""), &json!(false)));
    assert_eq!(manifests[1]["digest"], STANDARD.encode(Md5::digest(expected)));
    assert_eq!(manifests[1]["baseArtifactID"], "A0");
    assert_eq!(variables(&server, "CommitArtifact"), [json!({"artifactID": "A1"})]);
    assert_eq!(fs::read(folder.path().join("weights.bin")).unwrap(), b"12345");
}

#[tokio::test]
async fn what_the_server_has_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let artifact = artifact(folder.path(), "m", &[("a", b"x")]);
    let known = server_with(
        |_| json!({"storagePath": "s", "uploadUrl": null, "uploadHeaders": null, "artifact": {"id": "B1"}}),
        stored,
    );
    assert_eq!(send(&known, &artifact).await.unwrap(), Committed::New);
    assert!(!steps(&known).iter().any(|step| step.starts_with("/put")), "{:?}", steps(&known));

    fs::remove_file(folder.path().join("a")).unwrap();
    let committed = Server::start(|_| {
        Reply::data(&json!({"createArtifact": {"artifact": {"id": "A1", "state": "COMMITTED"}}}))
    });
    assert_eq!(send(&committed, &artifact).await.unwrap(), Committed::Known);
    assert_eq!(committed.asked().len(), 1);
}

#[tokio::test]
async fn a_large_file_goes_in_parts() {
    let multi = |spec: &Value| {
        let parts = spec["uploadPartsInput"].as_array().unwrap();
        let url = |part: &Value| json!({"partNumber": part["partNumber"], "uploadUrl": format!("/part/{}", part["partNumber"])});
        let mut node = whole(spec);
        let urls: Vec<Value> = parts.iter().rev().map(url).collect();
        node["uploadMultipartUrls"] = json!({"uploadID": "U1", "uploadUrlParts": urls});
        node
    };
    let server =
        server_with(multi, |asked| Reply::status(200, "").with("ETag", &format!("\"{}\"", asked.path)));
    let content: Vec<u8> = (0..1000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        send(&server, &artifact(folder.path(), "m", &[("big", &content)])).await.unwrap(),
        Committed::New
    );
    let inputs = variables(&server, "CreateArtifactFiles")[0]["artifactFiles"][0]["uploadPartsInput"].clone();
    let md5 = |range: std::ops::Range<usize>| hex(Md5::digest(&content[range]).into());
    let expected = json!([
        {"partNumber": 1, "hexMD5": md5(0..400)},
        {"partNumber": 2, "hexMD5": md5(400..800)},
        {"partNumber": 3, "hexMD5": md5(800..1000)},
    ]);
    assert_eq!(inputs, expected);
    let mut puts: Vec<Asked> =
        server.asked().into_iter().filter(|asked| asked.path.starts_with("/part/")).collect();
    puts.sort_by(|one, other| one.path.cmp(&other.path));
    for (put, range) in puts.iter().zip([0..400, 400..800, 800..1000]) {
        assert_eq!(put.body, content[range.clone()]);
        let digest = STANDARD.encode(Md5::digest(&content[range]));
        assert_eq!(
            (put.header("content-md5"), put.header("content-type")),
            (Some(digest.as_str()), Some("x/y"))
        );
    }
    let complete = json!({"completeMultipartAction": "Complete", "artifactID": "B1", "storagePath": "s", "uploadID": "U1",
        "completedParts": [{"partNumber": 1, "hexMD5": "\"/part/1\""}, {"partNumber": 2, "hexMD5": "\"/part/2\""},
            {"partNumber": 3, "hexMD5": "\"/part/3\""}]});
    assert_eq!(variables(&server, "CompleteMultipartUploadArtifact"), [complete]);
}

#[tokio::test]
async fn a_reference_is_named_and_not_sent() {
    let server = server_with(whole, stored);
    let entry = ManifestEntry {
        path: "data".to_owned(),
        digest: "tag".to_owned(),
        r#ref: "s3://bucket/data".to_owned(),
        size: 7,
        ..ManifestEntry::default()
    };
    assert_eq!(send(&server, &of_contents("m", vec![entry])).await.unwrap(), Committed::New);
    let manifest = server.asked().into_iter().find(|asked| asked.path == "/manifest").unwrap().json();
    assert_eq!(
        manifest["contents"],
        json!({"data": {"digest": "tag", "ref": "s3://bucket/data", "size": 7}})
    );
    assert!(!steps(&server).contains(&"CreateArtifactFiles".to_owned()));
}

#[tokio::test]
async fn files_that_are_gone_or_changed_are_told_and_nothing_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let artifact = artifact(folder.path(), "m", &[("a", b"abc"), ("big", &[7; 1200])]);
    let refusing = |asked: &Asked| match asked.body == b"abc" {
        true => stored(asked),
        false => Reply::status(400, "<Message>BadDigest</Message>"),
    };
    let server = server_with(whole, refusing);
    for (name, content) in [("a", b"abd".to_vec()), ("a", b"abcd".to_vec()), ("big", vec![8; 1200])] {
        let path = folder.path().join(name);
        let before = fs::read(&path).unwrap();
        fs::write(&path, content).unwrap();
        let error = send(&server, &artifact).await.unwrap_err();
        assert!(matches!(&error, ArtifactError::Changed { path: told } if told == &path), "{error:?}");
        fs::write(&path, before).unwrap();
    }
    fs::remove_file(folder.path().join("a")).unwrap();
    let error = send(&server, &artifact).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Unreadable { .. }), "{error:?}");
    assert!(error.to_string().ends_with("/a"), "{error}");
    assert!(!steps(&server).contains(&"CommitArtifact".to_owned()));
}

#[tokio::test]
async fn an_expired_address_is_asked_for_once_more() {
    let folder = tempfile::tempdir().unwrap();
    let artifact = artifact(folder.path(), "m", &[("a", b"abc"), ("b", b"d")]);
    let left = Mutex::new(vec!["/put/a", "/manifest"]);
    let expiring = move |asked: &Asked| {
        let mut left = left.lock().unwrap();
        let expired = left.iter().position(|path| *path == asked.path).map(|at| left.remove(at));
        if expired.is_some() { Reply::status(403, "expired") } else { stored(asked) }
    };
    let server = server_with(whole, expiring);
    assert_eq!(send(&server, &artifact).await.unwrap(), Committed::New);
    let files = variables(&server, "CreateArtifactFiles");
    assert_eq!(files.len(), 2);
    assert_eq!(files[1]["artifactFiles"].as_array().unwrap().len(), 1);

    let never = server_with(whole, |_| Reply::status(403, "never"));
    let error = send(&never, &artifact).await.unwrap_err();
    assert!(matches!(&error, ArtifactError::Api(error) if error.status() == Some(403)), "{error:?}");
    assert!(!steps(&never).contains(&"CommitArtifact".to_owned()));
}

#[tokio::test]
async fn a_storage_that_is_down_leaves_nothing_to_be_seen() {
    let folder = tempfile::tempdir().unwrap();
    let artifact = artifact(folder.path(), "m", &[("a", b"abc")]);
    let server = server_with(whole, |_| Reply::status(500, ""));
    let error = send(&server, &artifact).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer to the upload of a: status 500: it gives no reason");
    assert!(!steps(&server).contains(&"CommitArtifact".to_owned()));
}

#[tokio::test]
async fn many_files_go_in_growing_batches() {
    let names: Vec<String> = (0..80).map(|number| format!("f{number}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), b"x".as_slice())).collect();
    let folder = tempfile::tempdir().unwrap();
    let server = server_with(whole, stored);
    assert_eq!(send(&server, &artifact(folder.path(), "m", &files)).await.unwrap(), Committed::New);
    let batches: Vec<usize> = variables(&server, "CreateArtifactFiles")
        .iter()
        .map(|variables| variables["artifactFiles"].as_array().unwrap().len())
        .collect();
    assert_eq!(batches, [25, 50, 5]);
    assert_eq!(steps(&server).iter().filter(|step| step.starts_with("/put")).count(), 80);
}

#[tokio::test]
async fn a_record_that_is_not_whole_is_told() {
    let server = Server::start(|_| Reply::Cut);
    let folder = tempfile::tempdir().unwrap();
    let whole = artifact(folder.path(), "my-model", &[("a", b"abc")]);
    let mut emptied = whole.clone();
    emptied.manifest.as_mut().unwrap().contents.clear();
    for record in
        [Artifact { manifest: None, ..whole.clone() }, Artifact { digest: String::new(), ..whole }, emptied]
    {
        let error = send(&server, &record).await.unwrap_err();
        assert!(matches!(error, ArtifactError::NotWhole { .. }), "{error:?}");
        assert!(error.to_string().ends_with("my-model"), "{error}");
    }
    assert_eq!(server.asked().len(), 0);
}
