use std::fs;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::wandb::key::Key;
use crate::wandb::settings::Pace;
use crate::wandb::testing::{Asked, Reply, Server};

fn pace() -> Pace {
    let (first_wait, longest_wait) = (Duration::from_millis(1), Duration::from_millis(2));
    Pace { first_wait, longest_wait, ..Pace::default() }
}

fn run() -> RunPath {
    RunPath { entity: "e".to_owned(), project: "p".to_owned(), run: "r".to_owned() }
}

async fn send(server: &Server, folder: &Path, names: &[&str]) -> Result<Sent, ApiError> {
    let api = Api::new(&server.url(), Key::new("k".repeat(40)), pace()).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let run = run();
    let sending = send_files(&api, &run, folder, &names);
    tokio::time::timeout(Duration::from_secs(20), sending).await.unwrap()
}

fn asked_names(asked: &Asked) -> Vec<String> {
    let names = asked.json()["variables"]["files"].clone();
    serde_json::from_value(names).unwrap()
}

/// Names an address for each file, on the same server.
fn addressed(asked: &Asked) -> Reply {
    let files: Vec<Value> = asked_names(asked)
        .iter()
        .map(|name| json!({ "name": name, "uploadUrl": format!("/put/{}", name.replace('/', "%2F")) }))
        .collect();
    let headers = ["X-Signed:yes", "Content-Type: a/b"];
    Reply::data(&json!({ "createRunFiles": { "runID": "x", "uploadHeaders": headers, "files": files } }))
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn puts(server: &Server) -> Vec<Asked> {
    server.asked().into_iter().filter(|asked| asked.method == "PUT").collect()
}

#[tokio::test]
async fn files_are_named_once_and_put_with_the_headers() {
    let server = Server::start(|asked| match asked.operation().as_str() {
        "CreateRunFiles" => addressed(asked),
        _ => Reply::status(200, ""),
    });
    let folder = folder(&[("media/images/a b.png", "picture"), ("empty", "")]);
    let sent = send(&server, folder.path(), &["media/images/a b.png", "empty", "empty"]).await.unwrap();
    let mut uploaded = sent.uploaded;
    uploaded.sort();
    assert_eq!(
        (uploaded, sent.refused),
        (vec!["empty".to_owned(), "media/images/a b.png".to_owned()], Vec::new())
    );
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    let variables = asked[0].json()["variables"].clone();
    assert_eq!(
        variables,
        json!({"entity": "e", "project": "p", "run": "r", "files": ["media/images/a b.png", "empty"]})
    );
    for put in puts(&server) {
        let (content, length) = if put.path == "/put/empty" { ("", "0") } else { ("picture", "7") };
        assert_eq!((put.body.as_slice(), put.header("content-length")), (content.as_bytes(), Some(length)));
        assert_eq!((put.header("x-signed"), put.header("content-type")), (Some("yes"), Some("a/b")));
        assert_eq!(put.header("authorization"), None);
    }
}

#[tokio::test]
async fn what_is_gone_or_leads_out_is_told_and_keeps_no_other() {
    let server = Server::start(|asked| match asked.operation().as_str() {
        "CreateRunFiles" => addressed(asked),
        _ => Reply::status(200, ""),
    });
    let folder = folder(&[("good", "x"), ("sub/inner", "y")]);
    let bad = ["gone", "sub", "../good", "/etc/hostname", "", "sub/../good", "a\0b"];
    let sent = send(&server, folder.path(), &[&bad[..], &["good"]].concat()).await.unwrap();
    assert_eq!(sent.uploaded, ["good"]);
    let reasons: Vec<(&str, &str)> =
        sent.refused.iter().map(|(name, why)| (name.as_str(), why.split(':').next().unwrap())).collect();
    let out = OUTSIDE;
    let expected = [
        ("gone", "it can not be read"),
        ("sub", "it is no file"),
        ("../good", out),
        ("/etc/hostname", out),
        ("", out),
        ("sub/../good", out),
        ("a\0b", out),
    ];
    assert_eq!(reasons, expected);
    let sent = send(&server, folder.path(), &["gone"]).await.unwrap();
    assert_eq!(sent.refused.len(), 1);
    assert_eq!(server.asked().len(), 2, "nothing is asked where nothing can be sent");
}

#[tokio::test]
async fn an_expired_address_is_asked_for_once_more() {
    let expired = Mutex::new(2);
    let server = Server::start(move |asked| match asked.operation().as_str() {
        "CreateRunFiles" => addressed(asked),
        _ if asked.path == "/put/never" => Reply::status(403, "<Message>Request has expired</Message>"),
        _ if asked.path == "/put/fine" => Reply::status(200, ""),
        _ => {
            let mut left = expired.lock().unwrap();
            *left -= 1;
            Reply::status(if *left > 0 { 400 } else { 200 }, "")
        }
    });
    let folder = folder(&[("late", "x"), ("never", "y"), ("fine", "z")]);
    let sent = send(&server, folder.path(), &["late", "never", "fine"]).await.unwrap();
    assert_eq!(sent.uploaded, ["fine", "late"]);
    assert_eq!(sent.refused.len(), 1);
    assert!(
        sent.refused[0].0 == "never" && sent.refused[0].1.ends_with("Request has expired"),
        "{:?}",
        sent.refused
    );
    let batches: Vec<Vec<String>> =
        server.asked().iter().filter(|asked| asked.method == "POST").map(asked_names).collect();
    assert_eq!(batches, [vec!["late", "never", "fine"], vec!["late", "never"]]);
}

#[tokio::test]
async fn one_bad_name_does_not_keep_a_batch_from_being_sent() {
    let server = Server::start(|asked| match asked.operation().as_str() {
        "CreateRunFiles" if asked_names(asked).contains(&"bad".to_owned()) => {
            Reply::status(400, r#"{"errors": [{"message": "bad name"}]}"#)
        }
        "CreateRunFiles" => addressed(asked),
        _ => Reply::status(200, ""),
    });
    let folder = folder(&[("a", ""), ("b", ""), ("bad", ""), ("c", ""), ("d", "")]);
    let mut sent = send(&server, folder.path(), &["a", "b", "bad", "c", "d"]).await.unwrap();
    sent.uploaded.sort();
    assert_eq!(sent.uploaded, ["a", "b", "c", "d"]);
    assert_eq!(sent.refused.len(), 1);
    assert!(sent.refused[0].1.ends_with("bad name"), "{:?}", sent.refused);
}

#[tokio::test]
async fn a_refused_run_is_an_error_and_no_address_a_refused_file() {
    let server = Server::start(|_| Reply::status(404, "no such run"));
    let folder = folder(&[("a", ""), ("b", "")]);
    assert_eq!(send(&server, folder.path(), &["a", "b"]).await.unwrap_err().status(), Some(404));
    assert_eq!(server.asked().len(), 1);

    let unwilling = Server::start(|_| {
        let files = json!([{"name": "a", "uploadUrl": null}]);
        Reply::data(&json!({"createRunFiles": {"uploadHeaders": [], "files": files}}))
    });
    let sent = send(&unwilling, folder.path(), &["a", "b"]).await.unwrap();
    assert_eq!(sent.refused.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let without = Server::start(|_| Reply::data(&json!({"createRunFiles": null})));
    let sent = send(&without, folder.path(), &["a"]).await.unwrap();
    assert!(sent.refused[0].1.ends_with("its answer lacks files"), "{:?}", sent.refused);
}

#[tokio::test]
async fn a_storage_that_is_down_is_an_error() {
    let server = Server::start(|asked| match asked.operation().as_str() {
        "CreateRunFiles" => addressed(asked),
        _ => Reply::status(503, ""),
    });
    let folder = folder(&[("a", "x")]);
    let error = send(&server, folder.path(), &["a"]).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer to the upload of a: status 503: it gives no reason");
}

#[tokio::test]
async fn a_file_that_grows_meanwhile_is_sent_again() {
    let folder = folder(&[("once", "x"), ("always", "x")]);
    let path = folder.path().to_owned();
    let grown = Mutex::new(false);
    let server = Server::start(move |asked| {
        let grow = |name: &str| {
            let old = fs::read_to_string(path.join(name)).unwrap();
            fs::write(path.join(name), old + "y").unwrap();
        };
        match (asked.operation().as_str(), asked.path.as_str()) {
            ("CreateRunFiles", _) => return addressed(asked),
            (_, "/put/once") if !std::mem::replace(&mut *grown.lock().unwrap(), true) => grow("once"),
            (_, "/put/always") => grow("always"),
            _ => {}
        }
        Reply::status(200, "")
    });
    let sent = send(&server, folder.path(), &["once", "always"]).await.unwrap();
    assert_eq!(sent.uploaded, ["once"]);
    assert_eq!(sent.refused, [("always".to_owned(), "it changed while it was sent".to_owned())]);
    let last = puts(&server).into_iter().rfind(|put| put.path == "/put/once").unwrap();
    assert_eq!(last.body, b"xy");
}

#[tokio::test]
async fn many_files_go_in_batches_and_eight_at_a_time() {
    let server = Server::start(|asked| match asked.operation().as_str() {
        "CreateRunFiles" => addressed(asked),
        _ => Reply::Late(Duration::from_millis(2), Box::new(Reply::status(200, ""))),
    });
    let names: Vec<String> = (0..250).map(|number| format!("media/{number}")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let folder = folder(&files);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let sent = send(&server, folder.path(), &names).await.unwrap();
    assert_eq!(sent.uploaded.len(), 250);
    let batches: Vec<usize> = server
        .asked()
        .iter()
        .filter(|asked| asked.method == "POST")
        .map(|asked| asked_names(asked).len())
        .collect();
    assert_eq!(batches, [100, 100, 50]);
    assert!(server.most_at_once() <= TRANSFERS_AT_ONCE, "{} at once", server.most_at_once());
}
