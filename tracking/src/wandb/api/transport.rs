//! One attempt of a request: sent, answered, read.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Request, Response, Url};
use serde_json::Value;

use super::error::ApiError;
use super::limiter::{Hint, REQUESTS_AT_ONCE};
use super::part::{Pieces, Watched};
use super::retry::{self, Kind};
use super::text;
use crate::wandb::key::Key;
use crate::wandb::settings::Pace;

/// Longest answer that is read: thousands of signed addresses are a few MiB, a summary at most as much.
const LONGEST_ANSWER: usize = 64 << 20;

/// Longest refusal that is read to find its message.
const LONGEST_REFUSAL: usize = 64 << 10;

/// How long attempts may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) connect: Duration,
    pub(super) graphql: Duration,
    pub(super) stream: Duration,
    /// Of a transfer: without any progress.
    pub(super) idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            graphql: Duration::from_secs(30),
            stream: Duration::from_secs(180),
            idle: Duration::from_secs(180),
        }
    }
}

/// What is sent.
pub(super) enum Payload<'a> {
    /// All of it stands in the request. Its answer is a JSON object.
    Json(&'a Request),
    /// All of it stands in the request. Its answer has no body that counts.
    Bytes(&'a Request),
    /// A part of a file; the request has the rest.
    File { request: &'a Request, path: &'a std::path::Path, offset: u64, bytes: u64 },
}

/// An answer with status 2xx.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) json: Value,
    pub(super) etag: Option<String>,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// No whole answer came.
    Lost(String),
    /// Another status than 2xx.
    Status { status: u16, message: String, after: Option<Duration> },
    /// The file can not be read.
    File(io::Error),
}

/// What an attempt brought, and what it tells of limits.
pub(super) type Outcome = (Result<Answer, Failure>, Hint);

/// Connections to one server with one key, and to the storage it names.
pub(super) struct Transport {
    client: Client,
    base: Url,
    authorization: HeaderValue,
    /// What no text may show: the key, and the key as it is sent.
    secrets: [Key; 2],
    timeouts: Timeouts,
    pace: Pace,
}

impl fmt::Debug for Transport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Transport").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Transport {
    pub(super) fn new(base_url: &str, key: Key, pace: Pace, timeouts: Timeouts) -> Result<Self, ApiError> {
        let base = base_address(base_url)?;
        if key.reveal().is_empty() || !key.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ApiError::Key);
        }
        let basic = STANDARD.encode(format!("api:{}", key.reveal()));
        let mut authorization =
            HeaderValue::from_str(&format!("Basic {basic}")).map_err(|_| ApiError::Key)?;
        authorization.set_sensitive(true);
        let client = client(&base, &timeouts)?;
        Ok(Self { client, base, authorization, secrets: [key, Key::new(basic)], timeouts, pace })
    }

    /// A request to the server itself, with the key; `body` is JSON. `None` for a path that is none.
    pub(super) fn post(&self, path: &[&str], body: Vec<u8>) -> Option<Request> {
        if path.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return None;
        }
        let mut url = self.base.clone();
        url.path_segments_mut().ok()?.pop_if_empty().extend(path);
        let mut request = Request::new(reqwest::Method::POST, url);
        request.headers_mut().insert(AUTHORIZATION, self.authorization.clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(body.into());
        Some(request)
    }

    /// A request to a signed address, without the key. `None` for an address that is none.
    pub(super) fn put(&self, url: &str, headers: HeaderMap, bytes: u64) -> Option<Request> {
        let url = self.base.join(url).ok().filter(|url| url.has_host())?;
        let mut request = Request::new(reqwest::Method::PUT, url);
        *request.headers_mut() = headers;
        request.headers_mut().insert(CONTENT_LENGTH, bytes.into());
        Some(request)
    }

    /// Sends a request once.
    pub(super) async fn attempt(&self, kind: Kind, payload: &Payload<'_>) -> Outcome {
        let lost = |message: String| (Err(Failure::Lost(message)), Hint::default());
        match payload {
            Payload::Json(request) => {
                let limit = if kind == Kind::Stream { self.timeouts.stream } else { self.timeouts.graphql };
                let Some(request) = request.try_clone() else {
                    return lost("it can not be repeated".to_owned());
                };
                match tokio::time::timeout(limit, self.exchange(request, Reading::Json)).await {
                    Ok(outcome) => outcome,
                    Err(_) => lost(format!("no answer within {limit:?}")),
                }
            }
            Payload::Bytes(request) => {
                let Some(request) = request.try_clone() else {
                    return lost("it can not be repeated".to_owned());
                };
                let idle = self.timeouts.idle;
                match tokio::time::timeout(idle, self.exchange(request, Reading::Nothing)).await {
                    Ok(outcome) => outcome,
                    Err(_) => lost(format!("no answer within {idle:?}")),
                }
            }
            Payload::File { request, path, offset, bytes } => {
                let file = match open(path).await {
                    Ok(file) => file,
                    Err(error) => return (Err(Failure::File(error)), Hint::default()),
                };
                let Some(mut request) = request.try_clone() else {
                    return lost("it can not be repeated".to_owned());
                };
                let watched = Arc::new(Watched::default());
                let pieces = Pieces::new(file, *offset, *bytes, &watched);
                *request.body_mut() = Some(reqwest::Body::wrap_stream(pieces));
                let idle = self.timeouts.idle;
                let outcome = tokio::select! {
                    outcome = self.exchange(request, Reading::Nothing) => outcome,
                    () = watched.stalled(idle) => lost(format!("nothing went on for {idle:?}")),
                };
                match watched.failure() {
                    Some(error) if outcome.0.is_err() => {
                        (Err(Failure::File(io::Error::new(error.kind(), error.to_string()))), outcome.1)
                    }
                    _ => outcome,
                }
            }
        }
    }

    async fn exchange(&self, request: Request, reading: Reading) -> Outcome {
        let mut response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(error) => return (Err(Failure::Lost(self.cleaned(text::of_error(error)))), Hint::default()),
        };
        let status = response.status().as_u16();
        let header = |response: &Response, name: &str| -> Option<String> {
            Some(response.headers().get(name)?.to_str().ok()?.to_owned())
        };
        let mut hint = Hint {
            refused: None,
            remaining: header(&response, "ratelimit-remaining").and_then(|value| value.trim().parse().ok()),
            reset: header(&response, "ratelimit-reset").and_then(|value| retry::seconds(&value)),
        };
        if response.status().is_success() {
            let etag = header(&response, "etag");
            return (read_answer(&mut response, reading).await.map(|json| Answer { json, etag }), hint);
        }
        let after = header(&response, RETRY_AFTER.as_str())
            .and_then(|value| retry::retry_after(&self.pace, &value, SystemTime::now()));
        if status == 429 {
            hint.refused = Some(after.unwrap_or(Duration::ZERO));
        }
        let elsewhere =
            response.status().is_redirection().then(|| header(&response, LOCATION.as_str())).flatten();
        let message = match elsewhere {
            Some(address) => text::of_redirect(response.url(), &address),
            // A refusal that breaks off is one all the same.
            None => text::of_refusal(&read(&mut response, LONGEST_REFUSAL).await.unwrap_or_default()),
        };
        (Err(Failure::Status { status, message: self.cleaned(message), after }), hint)
    }

    /// Takes out what no text may show: a server may send back what it was sent.
    pub(super) fn cleaned(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| text.replace(secret.reveal(), "…"))
    }
}

fn client(base: &Url, timeouts: &Timeouts) -> Result<Client, ApiError> {
    // Another part of the process may have chosen a provider; then that one is used.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = || {
        let builder = Client::builder()
            .user_agent(concat!("engine/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::custom(|attempt| {
                let kept = matches!(attempt.status().as_u16(), 307 | 308);
                let from = attempt.previous().last().map(Url::origin);
                let here = from.is_some_and(|from| from == attempt.url().origin());
                if kept && here && attempt.previous().len() <= 5 { attempt.follow() } else { attempt.stop() }
            }))
            .referer(false)
            .connect_timeout(timeouts.connect)
            .pool_max_idle_per_host(REQUESTS_AT_ONCE);
        if is_this_machine(base) { builder.no_proxy() } else { builder }
    };
    let client = match builder().build() {
        // A server without encryption needs no certificates of the system; a small container has none.
        Err(_) if base.scheme() == "http" => builder().tls_certs_only([]).build(),
        built => built,
    };
    client.map_err(|error| ApiError::Tls { message: text::of_error(error) })
}

/// What to make of a body.
#[derive(Debug, Clone, Copy)]
enum Reading {
    Json,
    Nothing,
}

/// The body of a good answer. What is no JSON comes from something in between, and is no answer.
async fn read_answer(response: &mut Response, reading: Reading) -> Result<Value, Failure> {
    let body = match reading {
        Reading::Nothing => return Ok(Value::Null),
        Reading::Json => read(response, LONGEST_ANSWER).await.map_err(Failure::Lost)?,
    };
    match serde_json::from_slice(&body) {
        Ok(json @ Value::Object(_)) => Ok(json),
        _ => Err(Failure::Lost(
            "the answer is not a W&B server's; does a proxy or a login page stand in between?".to_owned(),
        )),
    }
}

/// Reads a body, at most so many bytes; more are cut off.
async fn read(response: &mut Response, most: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while body.len() < most {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Err(text::of_error(error)),
        }
    }
    body.truncate(most);
    Ok(body)
}

async fn open(path: &std::path::Path) -> io::Result<std::fs::File> {
    Ok(tokio::fs::File::open(path).await?.into_std().await)
}

fn base_address(base_url: &str) -> Result<Url, ApiError> {
    let wrong = |message: &str, address: &str| ApiError::Address {
        message: message.to_owned(),
        address: address.to_owned(),
    };
    let url = Url::parse(base_url).map_err(|error| wrong(&error.to_string(), "(not shown)"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it holds a user or a password", url.host_str().unwrap_or_default()));
    }
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("it is neither http nor https", url.as_str()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it goes on behind its path", url.host_str().unwrap_or_default()));
    }
    Ok(url)
}

/// No proxy stands between a machine and itself.
fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
