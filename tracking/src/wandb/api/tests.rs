use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::transport::Timeouts;
use super::*;
use crate::wandb::key::Key;
use crate::wandb::settings::Pace;
use crate::wandb::testing::{Asked, Reply, Server};

const KEY: &str = "0123456789abcdefMARKERabcdef0123456789abcdef";

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(20);

fn fast() -> Pace {
    let (first_wait, longest_wait) = (Duration::from_millis(5), Duration::from_millis(20));
    Pace { stream: Duration::from_millis(1), first_wait, longest_wait, ..Pace::default() }
}

fn api(server: &Server, pace: Pace) -> Api {
    Api::new(&server.url(), Key::new(KEY.to_owned()), pace).unwrap()
}

fn run(name: &str) -> RunPath {
    RunPath { entity: "team".to_owned(), project: "a b/ä".to_owned(), run: name.to_owned() }
}

/// Answers as in a list, then with the last of it.
fn in_turn(replies: Vec<Reply>) -> impl Fn(&Asked) -> Reply + Send + Sync {
    let next = AtomicUsize::new(0);
    move |_| replies[next.fetch_add(1, Ordering::SeqCst).min(replies.len() - 1)].clone()
}

async fn viewer(api: &Api) -> Result<serde_json::Value, ApiError> {
    tokio::time::timeout(
        DEADLINE,
        api.graphql("Viewer", "query Viewer { viewer { entity } }", json!({"a": 1})),
    )
    .await
    .unwrap()
}

async fn stream(api: &Api, name: &str) -> Result<StreamAnswer, ApiError> {
    tokio::time::timeout(DEADLINE, api.stream(&run(name), br#"{"files":{}}"#.to_vec())).await.unwrap()
}

#[tokio::test]
async fn a_query_carries_key_and_version_and_gives_its_data() {
    let server = Server::start(|_| Reply::data(&json!({"viewer": {"entity": "me"}})));
    assert_eq!(viewer(&api(&server, fast())).await.unwrap(), json!({"viewer": {"entity": "me"}}));
    let asked = server.asked();
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("POST", "/graphql"));
    // base64 of "api:" + KEY, made with another tool
    let basic = "Basic YXBpOjAxMjM0NTY3ODlhYmNkZWZNQVJLRVJhYmNkZWYwMTIzNDU2Nzg5YWJjZGVm";
    assert_eq!(asked[0].header("authorization"), Some(basic));
    assert_eq!(asked[0].header("user-agent"), Some(concat!("engine/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(asked[0].header("content-type"), Some("application/json"));
    let body = json!({"query": "query Viewer { viewer { entity } }", "operationName": "Viewer", "variables": {"a": 1}});
    assert_eq!(asked[0].json(), body);
}

#[tokio::test]
async fn rows_go_to_the_run_s_own_address_and_hear_of_stop() {
    let server = Server::start(|_| Reply::json(&json!({"stopped": true})));
    let api = Api::new(&format!("{}/prefix/", server.url()), Key::new(KEY.to_owned()), fast()).unwrap();
    assert_eq!(stream(&api, "r1").await.unwrap(), StreamAnswer { stopped: true });
    assert_eq!(server.asked()[0].path, "/prefix/files/team/a%20b%2F%C3%A4/r1/file_stream");
    assert_eq!(stream(&api, "..").await.unwrap_err().status(), Some(400));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn errors_in_a_good_answer_are_a_refusal_with_all_messages() {
    let server = Server::start(|_| {
        Reply::json(&json!({"data": null, "errors": [{"message": "no project"}, {"message": "no entity"}]}))
    });
    let error = viewer(&api(&server, fast())).await.unwrap_err();
    assert_eq!(error.to_string(), "the server refused Viewer with status 200: no project; no entity");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn an_overloaded_server_is_asked_again_after_doubling_pauses() {
    let down = Reply::status(503, "busy");
    let server = Server::start(in_turn(vec![down.clone(), down.clone(), down, Reply::data(&json!({}))]));
    let first_wait = Duration::from_millis(40);
    viewer(&api(&server, Pace { first_wait, longest_wait: DEADLINE, ..fast() })).await.unwrap();
    let at: Vec<Instant> = server.asked().iter().map(|asked| asked.at).collect();
    assert_eq!(at.len(), 4);
    for (failed, pair) in at.windows(2).enumerate() {
        assert!(pair[1] - pair[0] >= first_wait * (1 << failed), "{failed}: {:?}", pair[1] - pair[0]);
    }
}

#[tokio::test]
async fn a_cut_connection_is_tried_again_with_the_same_bytes() {
    let server = Server::start(in_turn(vec![Reply::Cut, Reply::Cut, Reply::json(&json!({}))]));
    assert_eq!(stream(&api(&server, fast()), "r1").await.unwrap(), StreamAnswer::default());
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|asked| asked.body == br#"{"files":{}}"#));
}

#[tokio::test]
async fn retries_end_and_the_last_reason_is_told() {
    let server = Server::start(|_| Reply::status(503, r#"{"error": "busy"}"#));
    let pace =
        Pace { first_wait: Duration::from_millis(1), longest_wait: Duration::from_millis(1), ..fast() };
    let error = viewer(&api(&server, pace)).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer to Viewer: status 503: busy");
    assert_eq!(server.asked().len(), 21);
}

#[tokio::test]
async fn nothing_listening_is_no_answer() {
    let url = Server::start(|_| Reply::Cut).url(); // it has ended by now
    let pace =
        Pace { first_wait: Duration::from_millis(1), longest_wait: Duration::from_millis(1), ..fast() };
    let api = Api::new(&url, Key::new(KEY.to_owned()), pace).unwrap();
    assert!(matches!(viewer(&api).await.unwrap_err(), ApiError::Unreachable { .. }));
}

#[tokio::test]
async fn retry_after_replaces_the_pause() {
    let limited = Reply::status(429, "rate limit exceeded").with("Retry-After", "0.2");
    let server = Server::start(in_turn(vec![limited, Reply::data(&json!({}))]));
    // Were it not replaced, the deadline would pass.
    viewer(&api(&server, Pace { first_wait: 2 * DEADLINE, longest_wait: 2 * DEADLINE, ..fast() }))
        .await
        .unwrap();
    let asked = server.asked();
    assert!(asked[1].at - asked[0].at >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_429_holds_back_every_run_and_one_goes_ahead_alone() {
    let pause = Duration::from_millis(300);
    let good = Reply::Late(Duration::from_millis(80), Box::new(Reply::json(&json!({}))));
    let limited = Reply::status(429, "rate limit exceeded").with("Retry-After", "0.3");
    let server = Server::start(in_turn(vec![limited, good]));
    let api = api(&server, fast());
    let first = tokio::spawn({
        let api = api.for_run();
        async move { stream(&api, "first").await }
    });
    let told = async {
        while !api.was_paused() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(DEADLINE, told).await.unwrap();
    let others: Vec<_> = (0..4)
        .map(|other| {
            let api = api.for_run();
            tokio::spawn(async move { stream(&api, &format!("other-{other}")).await })
        })
        .collect();
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    let at: Vec<Instant> = server.asked().iter().map(|asked| asked.at).collect();
    assert_eq!(at.len(), 6);
    assert!(at[1] - at[0] >= pause, "{:?}", at[1] - at[0]);
    assert!(at[2] - at[1] >= Duration::from_millis(80), "the second one did not wait for the first");
}

#[tokio::test]
async fn a_hundred_runs_do_not_open_a_hundred_connections() {
    let server = Server::start(|_| Reply::Late(Duration::from_millis(20), Box::new(Reply::json(&json!({})))));
    let api = api(&server, fast());
    let runs: Vec<_> = (0..100)
        .map(|number| {
            let api = api.for_run();
            tokio::spawn(async move { stream(&api, &format!("r{number}")).await })
        })
        .collect();
    for run in runs {
        run.await.unwrap().unwrap();
    }
    assert_eq!(server.asked().len(), 100);
    let most = server.most_at_once();
    assert!((2..=limiter::REQUESTS_AT_ONCE).contains(&most), "{most} at once");
}

#[tokio::test]
async fn the_requests_of_a_run_keep_their_distance() {
    let server = Server::start(|_| Reply::json(&json!({})));
    let gap = Duration::from_millis(60);
    let api = api(&server, Pace { stream: gap, ..fast() });
    let started = Instant::now();
    for _ in 0..3 {
        stream(&api, "r1").await.unwrap();
    }
    assert!(started.elapsed() >= 2 * gap, "{:?}", started.elapsed());
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn a_conflict_is_tried_again_for_a_run_s_creation_only() {
    let conflict = Reply::status(409, "conflict");
    let server = Server::start(in_turn(vec![conflict.clone(), Reply::data(&json!({}))]));
    api(&server, fast()).graphql("UpsertBucket", "mutation UpsertBucket { x }", json!({})).await.unwrap();
    assert_eq!(server.asked().len(), 2);
    for status in [400, 401, 403, 404, 409, 410, 413, 422, 501] {
        let server = Server::start(move |_| Reply::status(status, r#"{"error": "no such run"}"#));
        let error = stream(&api(&server, fast()), "r1").await.unwrap_err();
        assert_eq!(error.status(), Some(status));
        assert!(error.to_string().ends_with("no such run"), "{error}");
        assert_eq!(server.asked().len(), 1, "status {status}");
    }
}

#[tokio::test]
async fn neither_an_error_nor_debug_shows_the_key() {
    let server = Server::start(|asked| {
        let basic = asked.header("authorization").unwrap_or_default().to_owned();
        Reply::status(401, &format!("{basic} is not api:{KEY}"))
    });
    let api = api(&server, fast());
    let error = viewer(&api).await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    let basic = server.asked()[0].header("authorization").unwrap().trim_start_matches("Basic ").to_owned();
    let request = format!("{:?}", api.shared_request());
    let headers = format!("{:?}", api.shared_request().headers());
    for text in [error.to_string(), format!("{error:?}"), format!("{api:?} {api:#?}"), request, headers] {
        assert!(!text.contains("MARKER") && !text.contains(&basic), "{text}");
    }
    let echo = Server::start(|_| Reply::json(&json!({"errors": [{"message": format!("{KEY} is bad")}]})));
    let error = viewer(&self::api(&echo, fast())).await.unwrap_err();
    assert!(error.to_string().ends_with("… is bad"), "{error}");
}

#[test]
fn what_no_key_holds_is_told_without_showing_it() {
    for key in ["", "MARKER\n", "MARKER MARKER", "MARKERé"] {
        let error = Api::new("http://127.0.0.1:1", Key::new(key.to_owned()), fast()).unwrap_err();
        assert!(
            matches!(error, ApiError::Key) && !format!("{error} {error:?}").contains("MARKER"),
            "{error}"
        );
    }
}

#[test]
fn an_address_that_is_none_is_told() {
    let error = |address: &str| Api::new(address, Key::new(KEY.to_owned()), fast()).unwrap_err().to_string();
    for address in ["", "api.wandb.ai", "ftp://host", "https://", "https://host?x=1", "mailto:a@b"] {
        assert!(error(address).starts_with("this is no address of a server"), "{address}");
    }
    let with_password = error("https://me:MARKER@host");
    assert!(with_password.contains("password") && !with_password.contains("MARKER"), "{with_password}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_waited_for_so_long_only() {
    let server = Server::start(in_turn(vec![Reply::Hang, Reply::data(&json!({}))]));
    let short = Duration::from_millis(300);
    let timeouts = Timeouts { graphql: short, ..Timeouts::default() };
    let api = Api::with_timeouts(&server.url(), Key::new(KEY.to_owned()), fast(), timeouts).unwrap();
    viewer(&api).await.unwrap();
    assert!(server.asked().len() >= 2);
}

#[tokio::test]
async fn a_page_of_something_in_between_is_no_answer() {
    let page = Reply::status(200, "<html>please log in to the guest network</html>");
    let server = Server::start(in_turn(vec![page, Reply::json(&json!({}))]));
    stream(&api(&server, fast()), "r1").await.unwrap();
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_redirection_is_followed_on_the_same_host_only() {
    let elsewhere = Server::start(|_| Reply::data(&json!({})));
    let to = elsewhere.url();
    let server = Server::start(move |asked| match asked.path.as_str() {
        "/graphql" => Reply::status(308, "").with("Location", "/moved/graphql"),
        "/moved/graphql" => Reply::data(&json!({"moved": true})),
        _ => Reply::status(307, "").with("Location", &format!("{to}/graphql?MARKER")),
    });
    assert_eq!(viewer(&api(&server, fast())).await.unwrap(), json!({"moved": true}));
    assert!(server.asked()[1].header("authorization").is_some());
    let error = stream(&api(&server, fast()), "r1").await.unwrap_err();
    assert_eq!(error.status(), Some(307));
    assert!(error.to_string().contains(&elsewhere.url()), "{error}");
    assert!(!error.to_string().contains("MARKER"), "{error}");
    assert_eq!(elsewhere.asked().len(), 0);
}

#[tokio::test]
async fn features_are_asked_for_once_and_a_server_without_the_question_has_none() {
    let features =
        json!([{"name": "OTHER", "isEnabled": true}, {"name": "STRUCTURED_CONSOLE_LOGS", "isEnabled": true}]);
    let answer = Reply::data(&json!({"serverInfo": {"features": features}}));
    let server = Server::start(in_turn(vec![answer.clone()]));
    let known = api(&server, fast());
    assert!(known.features().await.structured_console_logs);
    assert!(known.for_run().features().await.structured_console_logs);
    assert_eq!(server.asked().len(), 1);

    let off = json!([{"name": "STRUCTURED_CONSOLE_LOGS", "isEnabled": false}]);
    let off = Server::start(in_turn(vec![Reply::data(&json!({"serverInfo": {"features": off}}))]));
    assert!(!api(&off, fast()).features().await.structured_console_logs);

    let unknown = Reply::status(400, r#"{"errors": [{"message": "unknown field features"}]}"#);
    let old = Server::start(in_turn(vec![unknown, answer.clone()]));
    let known = api(&old, fast());
    assert_eq!((known.features().await, known.features().await), (Features::default(), Features::default()));

    let refusing = Server::start(in_turn(vec![Reply::status(401, "who are you"), answer]));
    let later = api(&refusing, fast());
    assert!(!later.features().await.structured_console_logs);
    assert!(later.features().await.structured_console_logs);
}

#[tokio::test]
async fn trouble_is_told_while_it_lasts_and_to_its_own_run() {
    let up = Arc::new(AtomicBool::new(false));
    let server = Server::start({
        let up = Arc::clone(&up);
        move |_| match up.load(Ordering::SeqCst) {
            true => Reply::json(&json!({})),
            false => Reply::status(503, "busy"),
        }
    });
    let (api, other) = (api(&server, fast()), api(&server, fast()).for_run());
    assert_eq!(api.trouble(), None);
    let sending = tokio::spawn({
        let api = api.clone();
        async move { stream(&api, "r1").await }
    });
    let text = tokio::time::timeout(DEADLINE, async {
        loop {
            match api.trouble() {
                Some(text) => return text,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    });
    let text = text.await.unwrap();
    assert!(text.starts_with("file_stream: status 503: busy; attempt "), "{text}");
    assert_eq!(other.trouble(), None);
    up.store(true, Ordering::SeqCst);
    sending.await.unwrap().unwrap();
    assert_eq!(api.trouble(), None);
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

#[tokio::test]
async fn a_file_goes_to_its_address_without_the_key() {
    let server = Server::start(|_| Reply::status(200, "").with("ETag", "\"tag\""));
    let api = api(&server, fast());
    let content: Vec<u8> =
        (0..700_000_u32).map(|byte| byte.to_le_bytes()[0] ^ byte.to_le_bytes()[1]).collect();
    let file = file(&content);
    let url = format!("{}/storage/a?signature=1", server.url());
    let headers = ["X-Signed: yes:no".to_owned(), "Content-Type:image/png".to_owned()];
    let part = |offset, bytes| Part::OfFile { path: file.path(), offset, bytes };
    assert_eq!(api.put(&url, &headers, part(0, 700_000)).await.unwrap().as_deref(), Some("\"tag\""));
    api.put(&url, &headers, part(1000, 300_000)).await.unwrap();
    api.put(&url, &headers, part(0, 0)).await.unwrap();
    api.put("/relative?x=1", &headers, Part::Bytes(b"abc")).await.unwrap();
    let asked = server.asked();
    assert!(asked[0].body == content);
    assert!(asked[1].body == content[1000..301_000]);
    assert_eq!((asked[2].body.len(), asked[2].header("content-length")), (0, Some("0")));
    assert_eq!((asked[3].body.as_slice(), asked[3].path.as_str()), (b"abc".as_slice(), "/relative?x=1"));
    for asked in &asked {
        assert_eq!(asked.method, "PUT");
        assert_eq!(asked.header("authorization"), None);
        assert_eq!(asked.header("x-signed"), Some("yes:no"));
        assert_eq!(asked.header("content-length"), Some(asked.body.len().to_string().as_str()));
    }
    assert_eq!(asked[0].path, "/storage/a?signature=1");
}

#[tokio::test]
async fn a_file_is_sent_whole_again_after_a_failure() {
    let server = Server::start(in_turn(vec![Reply::Cut, Reply::status(500, ""), Reply::status(200, "")]));
    let content = vec![7; 400_000];
    let file = file(&content);
    let part = Part::OfFile { path: file.path(), offset: 0, bytes: 400_000 };
    api(&server, fast()).put(&format!("{}/a", server.url()), &[], part).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|asked| asked.body == content));
}

#[tokio::test]
async fn a_refused_file_is_told_without_its_address() {
    let server = Server::start(|_| {
        Reply::status(
            403,
            "<?xml?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
        )
    });
    let file = file(b"abc");
    let part = Part::OfFile { path: file.path(), offset: 0, bytes: 3 };
    let url = format!("{}/a?signature=MARKER", server.url());
    let error = api(&server, fast()).put(&url, &[], part).await.unwrap_err();
    assert_eq!(error.status(), Some(403));
    assert!(error.to_string().ends_with("Request has expired"), "{error}");
    assert!(!format!("{error:?}").contains("MARKER"), "{error:?}");
    assert_eq!(server.asked().len(), 1);
    drop(server);
    let gone = Server::start(|_| Reply::Cut);
    let pace =
        Pace { first_wait: Duration::from_millis(1), longest_wait: Duration::from_millis(1), ..fast() };
    let url = format!("{}/a?signature=MARKER", gone.url());
    let error = api(&gone, pace).put(&url, &[], part).await.unwrap_err();
    assert!(
        matches!(error, ApiError::Unreachable { .. }) && !format!("{error:?}").contains("MARKER"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_file_that_is_gone_or_became_shorter_is_no_matter_of_the_server() {
    let server = Server::start(|_| Reply::status(200, ""));
    let api = api(&server, fast());
    let url = format!("{}/a", server.url());
    let file = file(&[1; 1000]);
    let part = Part::OfFile { path: file.path(), offset: 0, bytes: 2000 };
    let error = tokio::time::timeout(DEADLINE, api.put(&url, &[], part)).await.unwrap().unwrap_err();
    assert!(
        matches!(&error, ApiError::File { source, .. } if source.to_string().contains("shorter")),
        "{error:?}"
    );
    let gone = Part::OfFile { path: Path::new("/nowhere/at all"), offset: 0, bytes: 1 };
    let error = api.put(&url, &[], gone).await.unwrap_err();
    assert!(error.to_string().ends_with("/nowhere/at all"), "{error}");
}

#[tokio::test]
async fn a_transfer_that_stands_still_is_begun_again() {
    let server = Server::start(in_turn(vec![Reply::Hang, Reply::status(200, "")]));
    let timeouts = Timeouts { idle: Duration::from_millis(300), ..Timeouts::default() };
    let api = Api::with_timeouts(&server.url(), Key::new(KEY.to_owned()), fast(), timeouts).unwrap();
    let file = file(&[1; 1000]);
    let part = Part::OfFile { path: file.path(), offset: 0, bytes: 1000 };
    tokio::time::timeout(DEADLINE, api.put(&format!("{}/a", server.url()), &[], part))
        .await
        .unwrap()
        .unwrap();
    assert!(server.asked().len() >= 2);
}

#[tokio::test]
async fn headers_and_addresses_that_are_none_are_told() {
    let server = Server::start(|_| Reply::status(200, ""));
    let api = api(&server, fast());
    let put = |url: &'static str, header: &'static str| {
        let api = api.clone();
        async move { api.put(url, &[header.to_owned()], Part::Bytes(b"x")).await.unwrap_err().status() }
    };
    assert_eq!(put("/a", "no colon").await, Some(200));
    assert_eq!(put("/a", "bad name: x").await, Some(200));
    assert_eq!(put("http://[", "a: b").await, Some(200));
    assert_eq!(server.asked().len(), 0);
}

/// The certificates are looked for in the environment, so this runs a test again, in another one.
#[test]
fn a_machine_without_certificates_reaches_a_server_without_encryption() {
    let run = |test: &str| {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("wandb::api::tests::{test}")])
            .envs([("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")])
            .output()
            .unwrap()
    };
    let plain = run("a_cut_connection_is_tried_again_with_the_same_bytes");
    let told = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert!(plain.status.success() && told.contains("1 passed"), "{told}");
    let encrypted = run("an_encrypted_server_needs_certificates");
    let told = String::from_utf8_lossy(&encrypted.stdout).into_owned();
    assert!(encrypted.status.success() && told.contains("1 passed"), "{told}");
}

#[test]
fn an_encrypted_server_needs_certificates() {
    match Api::new("https://127.0.0.1:1", Key::new(KEY.to_owned()), fast()) {
        Ok(_) => assert_ne!(std::env::var("SSL_CERT_FILE").as_deref(), Ok("/nowhere")),
        Err(error) => assert!(error.to_string().contains("SSL_CERT_FILE"), "{error}"),
    }
}

/// A follower runs as a task of its own.
#[test]
fn what_is_asked_can_be_asked_by_a_task() {
    fn is_send(_: &impl Send) {}
    let api = Api::new("http://127.0.0.1:1", Key::new(KEY.to_owned()), fast()).unwrap();
    let run = run("r");
    is_send(&api.features());
    is_send(&api.stream(&run, Vec::new()));
    is_send(&crate::wandb::files::send_files(&api, &run, Path::new(""), &[]));
    is_send(&crate::wandb::artifact::send_artifact(
        &api,
        &run,
        &crate::wandb::record::Artifact::default(),
        0,
    ));
}
