//! Requests against the fake server of the shared tools; skipped, and said so, where it is not there.

use std::fs::{self, File};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::api::{Api, RunPath};
use super::artifact::tests::{SMALL, artifact, of_contents, run};
use super::artifact::{Committed, Sizes, send_sized};
use super::files::send_files;
use super::key::Key;
use super::record::ManifestEntry;
use super::settings::Pace;
use super::testing::PythonServer;

const KEY: &str = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";

const UPSERT: &str =
    "mutation UpsertBucket($name: String, $project: String, $entity: String, $config: JSONString) {
  upsertBucket(input: {name: $name, modelName: $project, entityName: $entity, config: $config}) {
    bucket { id name project { name entity { name } } } inserted } }";

fn api(server: &PythonServer) -> Api {
    let pace = Pace {
        stream: Duration::from_millis(1),
        first_wait: Duration::from_millis(50),
        longest_wait: Duration::from_millis(200),
        ..Pace::default()
    };
    Api::new(&server.url, Key::new(KEY.to_owned()), pace).unwrap()
}

async fn upsert(api: &Api, run: &RunPath) -> Value {
    let variables = json!({"name": run.run, "project": run.project, "entity": run.entity, "config": "{}"});
    api.graphql("UpsertBucket", UPSERT, variables).await.unwrap()
}

fn rows(offset: usize) -> Vec<u8> {
    let row = format!("{{\"_step\":{offset}}}");
    json!({"files": {"wandb-history.jsonl": {"offset": offset, "content": [row]}}}).to_string().into_bytes()
}

/// Creates a run and sends three rows to it, whatever the server does meanwhile.
async fn three_rows(options: &[&str]) -> Option<Value> {
    let server = PythonServer::start(&[&["--require-key", KEY], options].concat())?;
    let (api, run) = (api(&server), run());
    let sending = async {
        let answer = upsert(&api, &run).await;
        assert_eq!(answer["upsertBucket"]["bucket"]["project"]["entity"]["name"], "e");
        for offset in 0..3 {
            assert!(!api.stream(&run, rows(offset)).await.unwrap().stopped);
        }
    };
    tokio::time::timeout(Duration::from_secs(30), sending).await.unwrap();
    assert_eq!(api.trouble(), None);
    Some(server.state().await["runs"]["e/p/r"].take())
}

fn assert_whole(run: &Value) {
    assert_eq!(run["history"], json!([{"_step": 0}, {"_step": 1}, {"_step": 2}]));
    assert_eq!(run["gaps"], json!([]));
}

#[tokio::test]
async fn rows_arrive_whatever_the_server_does() {
    for options in [
        &[][..],
        &["--fail-first", "3"],
        &["--rate-limit", "2", "--retry-after", "0.2"],
        &["--quota", "2/1"],
        &["--drop", "3"],
        &["--drop", "2", "--drop-mode", "after"],
        &["--fail-first", "2", "--fail-status", "409", "--match", "UpsertBucket"],
        &["--latency", "0.1"],
    ] {
        let Some(run) = three_rows(options).await else { return };
        assert_whole(&run);
    }
}

#[tokio::test]
async fn another_key_and_an_unknown_run_are_refused_at_once() {
    let Some(server) = PythonServer::start(&["--require-key", "another"]) else { return };
    assert_eq!(api(&server).stream(&run(), rows(0)).await.unwrap_err().status(), Some(401));
    let Some(server) = PythonServer::start(&[]) else { return };
    let error = api(&server).stream(&run(), rows(0)).await.unwrap_err();
    assert!(error.to_string().contains("404: run not found"), "{error}");
    assert!(api(&server).features().await.structured_console_logs);
}

#[tokio::test]
async fn files_arrive_whole() {
    let options = ["--require-key", KEY, "--drop", "2", "--match", "/storage/"];
    let Some(server) = PythonServer::start(&options) else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("media")).unwrap();
    let contents =
        [("media/a b%ä.png", vec![1; 300_000]), ("empty", Vec::new()), ("config.yaml", b"x: 1".to_vec())];
    for (name, content) in &contents {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let names: Vec<String> = contents.iter().map(|(name, _)| (*name).to_owned()).collect();
    let sent = send_files(&api(&server), &run(), folder.path(), &names).await.unwrap();
    assert_eq!((sent.uploaded, sent.refused), (names, Vec::new()));
    let state = server.state().await;
    for (name, content) in &contents {
        let blob = &state["blobs"][format!("/runs/e/p/r/{name}")];
        let md5: String = Md5::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((&blob["size"], &blob["md5"]), (&json!(content.len()), &json!(md5)), "{name}");
    }
}

#[tokio::test]
async fn an_artifact_is_committed_once_and_its_blobs_are_sent_once() {
    let Some(server) = PythonServer::start(&["--require-key", KEY, "--fail-first", "2"]) else { return };
    let (api, run) = (api(&server), run());
    let folder = tempfile::tempdir().unwrap();
    let one = artifact(folder.path(), "model", &[("weights.bin", &[1; 900]), ("a/b c.txt", b"text")]);
    let send = async |artifact| send_sized(&api, &run, artifact, 3, &SMALL).await.unwrap();
    assert_eq!(send(&one).await, Committed::New);
    assert_eq!(send(&one).await, Committed::Known);
    let two = artifact(folder.path(), "model", &[("weights.bin", &[1; 900]), ("new.txt", b"new")]);
    assert_eq!(send(&two).await, Committed::New);
    let state = server.state().await;
    let artifacts = state["artifacts"].as_array().unwrap();
    let versions: Vec<_> =
        artifacts.iter().map(|artifact| (&artifact["version"], &artifact["state"])).collect();
    let committed = json!("COMMITTED");
    assert_eq!(versions, [(&json!("v0"), &committed), (&json!("v1"), &committed)]);
    assert_eq!(artifacts[1]["input"]["historyStep"], 3);
    let files: Vec<_> = artifacts[0]["files"].as_object().unwrap().keys().collect();
    assert_eq!(files, ["weights.bin", "a/b c.txt"]);
    // Three contents and two manifests.
    assert_eq!(state["blobs"].as_object().unwrap().len(), 5, "{}", state["blobs"]);
}

/// 24 MiB, of which all but a few bytes are a hole.
#[tokio::test]
async fn a_sparse_file_arrives_in_parts() {
    use std::os::unix::fs::FileExt;
    let Some(server) = PythonServer::start(&["--require-key", KEY, "--drop", "1", "--match", "multipart"])
    else {
        return;
    };
    let mib = 1 << 20;
    let sizes = Sizes { in_parts_from: 20 * mib, part: 5 * mib, ..Sizes::default() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse");
    let file = File::create(&path).unwrap();
    file.set_len(24 * mib).unwrap();
    file.write_all_at(b"not empty", 12 * mib).unwrap();
    let md5 = Md5::digest(fs::read(&path).unwrap());
    let entry = ManifestEntry {
        path: "sparse".to_owned(),
        digest: STANDARD.encode(md5),
        size: i64::try_from(24 * mib).unwrap(),
        local_path: path.to_str().unwrap().to_owned(),
        ..ManifestEntry::default()
    };
    let artifact = of_contents("model", vec![entry]);
    assert_eq!(send_sized(&api(&server), &run(), &artifact, 0, &sizes).await.unwrap(), Committed::New);
    let hex: String = md5.iter().map(|byte| format!("{byte:02x}")).collect();
    let state = server.state().await;
    let blob = &state["blobs"][format!("/wandb_artifacts/{}/{hex}", &hex[..2])];
    assert_eq!((&blob["size"], &blob["md5"]), (&json!(24 * mib), &json!(hex)));
    let parts =
        state["blobs"].as_object().unwrap().keys().filter(|name| name.starts_with("/multipart/")).count();
    assert_eq!(parts, 5);
}
