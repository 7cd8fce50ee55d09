use std::collections::BTreeMap;
use std::io::Read;

use super::super::client::{exchange, post};
use super::super::faults::STREAM;
use super::*;

const RUN: &str = "/files/fake-entity/p/r1/file_stream";

fn upsert(server: &Server) -> (u16, Value) {
    let variables =
        json!({"name": "r1", "project": "p", "displayName": "one", "config": "{\"lr\":{\"value\":0.1}}"});
    let body = json!({"query": "mutation UpsertBucket($id: String) { x }", "variables": variables});
    post(&server.url(), "/graphql", &body).unwrap()
}

fn rows(offset: u64, rows: &[&str]) -> Value {
    json!({"files": {"wandb-history.jsonl": {"offset": offset, "content": rows}}})
}

#[test]
fn rows_gaps_and_what_is_written_over_are_told() {
    let server = Server::start(None, &Faults::default());
    assert_eq!(post(&server.url(), RUN, &rows(0, &["{}"])).unwrap().0, 404, "there is no run yet");
    assert_eq!(upsert(&server).1["data"]["upsertBucket"]["inserted"], true);
    let (a, b) = ("{\"_step\":0,\"x\":NaN}", "{\"_step\":1}");
    for body in [rows(0, &[a, b]), rows(1, &[b]), json!({"complete": true, "exitcode": 3})] {
        assert_eq!(post(&server.url(), RUN, &body).unwrap(), (200, json!({"stopped": false})));
    }
    let seen = server.seen();
    let run = seen.named("one");
    assert_eq!((run.history.len(), run.exit_code), (2, Some(3)));
    assert_eq!(run.history[0]["x"], "NaN");
    assert_eq!(run.config_value("lr"), 0.1);
    assert!(run.gaps.is_empty() && run.overwrites.is_empty(), "the same line again is harmless: {run:?}");

    post(&server.url(), RUN, &rows(1, &["{\"_step\":7}"])).unwrap();
    server.press_stop("r1");
    assert_eq!(post(&server.url(), RUN, &rows(5, &[b])).unwrap().1["stopped"], true);
    let seen = server.seen();
    let run = seen.run("r1");
    assert_eq!((run.gaps.len(), run.overwrites.len(), run.exit_code), (1, 1, None), "{run:?}");
}

#[test]
fn faults_come_in_their_order_and_end() {
    let faults = Faults {
        only: STREAM,
        behind: 1,
        drop: 1,
        drop_after: true,
        fail: 1,
        fail_status: 409,
        rate_limit: 1,
        retry_after: Some(7),
        ..Faults::default()
    };
    let server = Server::start(None, &faults);
    assert_eq!(upsert(&server).0, 200, "only streams are at fault");
    assert_eq!(post(&server.url(), RUN, &json!({})).unwrap().0, 200, "the first is let through");
    assert!(post(&server.url(), RUN, &rows(0, &["{}"])).is_err(), "the connection is cut");
    assert_eq!(server.seen().run("r1").history.len(), 1, "and was processed all the same");
    let statuses: Vec<u16> = (0..3).map(|_| post(&server.url(), RUN, &json!({})).unwrap().0).collect();
    assert_eq!(statuses, [409, 429, 200]);
    let told: Vec<_> = server.heard().iter().map(|one| one.status).collect();
    assert_eq!(told, [Some(200), Some(200), None, Some(409), Some(429), Some(200)]);
}

#[test]
fn a_quota_is_told_in_headers_and_a_wait_ends_with_the_fault() {
    let quota = Faults { quota: Some((1, 60.0)), ..Faults::default() };
    let server = Server::start(None, &quota);
    assert_eq!((upsert(&server).0, upsert(&server).0), (200, 429));
    let request = "POST /graphql HTTP/1.0\r\nContent-Length: 0\r\n\r\n";
    let answer = exchange(&server.url(), request.as_bytes()).unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("RateLimit-Remaining: 0"));
    drop(server);

    let mut slow = Server::start(None, &Faults { latency: Duration::from_secs(600), ..Faults::default() });
    let url = slow.url();
    let asked = std::thread::spawn(move || post(&url, RUN, &json!({})).map(|answer| answer.0));
    slow.heal();
    assert_eq!(asked.join().unwrap().unwrap(), 404);
}

#[test]
fn only_the_right_key_is_let_in() {
    let server = Server::start(None, &Faults { require_key: Some("abc"), ..Faults::default() });
    assert_eq!(upsert(&server).0, 401);
    let login = STANDARD.encode("api:abc");
    let head = format!("POST {RUN} HTTP/1.0\r\nAuthorization: Basic {login}\r\nContent-Length: 0\r\n\r\n");
    let answer = exchange(&server.url(), head.as_bytes()).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 404"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn files_and_artifacts_are_kept() {
    let server = Server::start(None, &Faults::default());
    upsert(&server);
    let ask = |operation: &str, variables: Value| {
        let body = json!({"operationName": operation, "query": "", "variables": variables});
        post(&server.url(), "/graphql", &body).unwrap().1["data"].clone()
    };
    let files = ask(
        "CreateRunFiles",
        json!({"entity": "fake-entity", "project": "p", "run": "r1", "files": ["media/a b.png"]}),
    );
    let address = files["createRunFiles"]["files"][0]["uploadUrl"].as_str().unwrap().to_owned();
    let path = address.strip_prefix(&server.url()).unwrap();
    exchange(&server.url(), format!("PUT {path} HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc").as_bytes())
        .unwrap();
    let kept = BTreeMap::from([(
        "runs/fake-entity/p/r1/media/a b.png".to_owned(),
        super::super::seen::Blob { bytes: 3, md5: "900150983cd24fb0d6963f7d28e17f72".into() },
    )]);
    assert_eq!(server.seen().blobs, kept);

    let input = json!({"artifactCollectionName": "m", "artifactTypeName": "model", "digest": "d",
        "aliases": [{"artifactCollectionName": "m", "alias": "best"}]});
    let made = ask("CreateArtifact", json!({"input": input}));
    let id = made["createArtifact"]["artifact"]["id"].clone();
    let file = json!({"artifactID": id, "name": "w", "md5": "kAFQmDzST7DWlj99KOF/cg=="});
    ask("CreateArtifactFiles", json!({"artifactFiles": [file]}));
    assert!(!server.seen().artifacts[0].committed);
    ask("CommitArtifact", json!({"artifactID": id}));
    let seen = server.seen();
    assert_eq!(
        (seen.artifacts[0].aliases.as_slice(), seen.artifacts[0].committed),
        (["best".to_owned()].as_slice(), true)
    );
    assert_eq!(
        ask("CreateArtifact", json!({"input": input}))["createArtifact"]["artifact"]["state"],
        "COMMITTED"
    );
}

#[test]
fn a_server_that_is_down_refuses() {
    let server = Server::start(None, &Faults::default());
    let mut open = TcpStream::connect(server.address).unwrap();
    let url = server.url();
    drop(server);
    assert_eq!(open.read(&mut [0; 1]).unwrap_or(0), 0, "its connections are closed");
    assert!(post(&url, RUN, &json!({})).is_err());
}
