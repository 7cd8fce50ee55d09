//! The client: what is asked of the server, tried again as it allows.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::error::ApiError;
use super::features::{Features, QUERY as FEATURES_QUERY};
use super::limiter::{Lane, Limiter};
use super::retry::{self, Kind};
use super::text;
use super::transport::{Answer, Failure, Payload, Timeouts, Transport};
use super::trouble::Troubles;
use super::{Part, RunPath, StreamAnswer};
use crate::wandb::key::Key;
use crate::wandb::settings::Pace;

/// One server and one key, for all runs of a process: connections, retries and the limiter are shared. Cheap to clone.
///
/// No request is given up before its retries are: those of rows last about seven days, the others about 20 minutes. Meanwhile
/// [`Api::trouble`] says what is wrong.
#[derive(Debug, Clone)]
pub struct Api {
    shared: Arc<Shared>,
    troubles: Arc<Troubles>,
}

#[derive(Debug)]
struct Shared {
    transport: Transport,
    limiter: Limiter,
    features: OnceCell<Features>,
    pace: Pace,
}

/// A request, as long as it is tried.
struct Call<'a> {
    kind: Kind,
    lane: Lane,
    what: &'a str,
    /// Whose distance it keeps.
    run: Option<&'a str>,
    payload: Payload<'a>,
}

impl Api {
    /// A client of the server at `base_url`. Nothing is sent.
    ///
    /// # Errors
    /// [`ApiError`] if the address is none or TLS can not be set up.
    pub fn new(base_url: &str, key: Key, pace: Pace) -> Result<Self, ApiError> {
        Self::with_timeouts(base_url, key, pace, Timeouts::default())
    }

    pub(super) fn with_timeouts(
        base_url: &str,
        key: Key,
        pace: Pace,
        timeouts: Timeouts,
    ) -> Result<Self, ApiError> {
        let transport = Transport::new(base_url, key, pace, timeouts)?;
        let (limiter, features) = (Limiter::new(&pace), OnceCell::new());
        let shared = Arc::new(Shared { transport, limiter, features, pace });
        Ok(Self { shared, troubles: Arc::default() })
    }

    /// The same client with troubles of its own: one for each run, so that [`Api::trouble`] tells of that run's
    /// requests only. A plain clone shares the troubles too.
    #[must_use]
    pub fn for_run(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), troubles: Arc::default() }
    }

    /// What is wrong at the moment with a request that is under way: it failed and is going to be repeated, or the
    /// server limits the rate. `None` while all goes well.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.troubles.first()
    }

    /// Sends a GraphQL query and gives its `data`. Retried as the operation allows.
    ///
    /// # Errors
    /// [`ApiError`] once it is not retried further, and for `errors` in the answer.
    ///
    /// # Cancel safety
    /// Dropped, the request may or may not have been done.
    pub async fn graphql(&self, operation: &str, query: &str, variables: Value) -> Result<Value, ApiError> {
        let refused =
            |message: String| ApiError::Refused { what: operation.to_owned(), status: 200, message };
        let body = json!({ "query": query, "operationName": operation, "variables": variables });
        let Some(request) = self.shared.transport.post(&["graphql"], body.to_string().into_bytes()) else {
            return Err(refused("it has no address".to_owned()));
        };
        let (kind, lane, payload) = (Kind::of(operation), Lane::Graphql, Payload::Json(&request));
        let mut answer = self.perform(&Call { kind, lane, what: operation, run: None, payload }).await?.json;
        if let Some(message) =
            answer["errors"].as_array().filter(|errors| !errors.is_empty()).and(text::of_json(&answer))
        {
            return Err(refused(self.shared.transport.cleaned(message)));
        }
        match answer.get_mut("data").map(Value::take) {
            Some(data @ Value::Object(_)) => Ok(data),
            _ => Err(ApiError::lacks(operation, "data")),
        }
    }

    /// Sends one `file_stream` body.
    ///
    /// # Errors
    /// As [`Api::graphql`]. [`ApiError::Refused`] at once with 404, 409 and 410: the server does not know the run.
    ///
    /// # Cancel safety
    /// As [`Api::graphql`]; the offsets in the body make a repetition harmless.
    pub async fn stream(&self, run: &RunPath, body: Vec<u8>) -> Result<StreamAnswer, ApiError> {
        let what = "file_stream";
        let path = ["files", &run.entity, &run.project, &run.run, "file_stream"];
        let Some(request) = self.shared.transport.post(&path, body) else {
            let message = "entity, project and run make no address".to_owned();
            return Err(ApiError::Refused { what: what.to_owned(), status: 400, message });
        };
        let (kind, lane, payload) = (Kind::Stream, Lane::Stream, Payload::Json(&request));
        let run = path[1..4].join("/");
        let answer = self.perform(&Call { kind, lane, what, run: Some(&run), payload }).await?;
        Ok(StreamAnswer { stopped: answer.json["stopped"] == true })
    }

    /// Puts a file to a signed address, without our key; `headers` are `Name: value`. Gives the answer's `ETag`.
    ///
    /// # Errors
    /// [`ApiError`] once it is not retried further; status 403 and 400 tell of an address that expired.
    ///
    /// # Cancel safety
    /// As [`Api::graphql`].
    pub async fn put(
        &self,
        url: &str,
        headers: &[String],
        body: Part<'_>,
    ) -> Result<Option<String>, ApiError> {
        let what = match body {
            Part::Bytes(_) => "an upload".to_owned(),
            Part::OfFile { path, .. } => {
                format!("the upload of {}", path.file_name().unwrap_or_default().display())
            }
        };
        let refused = |message: &str| {
            let (what, message) = (what.clone(), message.to_owned());
            ApiError::Refused { what, status: 200, message }
        };
        let headers = parsed(headers).ok_or_else(|| refused("it named a header that is none"))?;
        let bytes = match body {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::OfFile { bytes, .. } => bytes,
        };
        let mut request = self
            .shared
            .transport
            .put(url, headers, bytes)
            .ok_or_else(|| refused("it named an address that is none"))?;
        let payload = match body {
            Part::Bytes(bytes) => {
                *request.body_mut() = Some(bytes.to_vec().into());
                Payload::Bytes(&request)
            }
            Part::OfFile { path, offset, bytes } => Payload::File { request: &request, path, offset, bytes },
        };
        let (kind, lane) = (Kind::Transfer, Lane::Transfer);
        Ok(self.perform(&Call { kind, lane, what: &what, run: None, payload }).await?.etag)
    }

    /// What the server can do; asked once. A server that does not know the question can nothing of it, and neither can one
    /// that gives no answer; the latter is asked again the next time.
    ///
    /// # Cancel safety
    /// Dropped, the next one asks.
    pub async fn features(&self) -> Features {
        let ask = async || match self.graphql("ServerFeaturesQuery", FEATURES_QUERY, json!({})).await {
            Ok(data) => Ok(Features::from_answer(&data)),
            Err(error) if matches!(error.status(), Some(200 | 400 | 404 | 422 | 501)) => {
                Ok(Features::default())
            }
            Err(error) => Err(error),
        };
        match self.shared.features.get_or_try_init(ask).await {
            Ok(features) => *features,
            Err(error) => {
                tracing::debug!(%error, "the server does not tell what it can do");
                Features::default()
            }
        }
    }

    /// Whether rows were ever held back, for tests.
    #[cfg(test)]
    pub(super) fn was_paused(&self) -> bool {
        self.shared.limiter.was_paused(Lane::Stream)
    }

    /// A request as it is sent, for tests.
    #[cfg(test)]
    pub(super) fn shared_request(&self) -> reqwest::Request {
        self.shared.transport.post(&["graphql"], Vec::new()).unwrap()
    }

    /// Tries until there is an answer, or none is to be had.
    async fn perform(&self, call: &Call<'_>) -> Result<Answer, ApiError> {
        let Shared { transport, limiter, pace, .. } = &*self.shared;
        let telling = Troubles::begin(&self.troubles);
        for failed in 0.. {
            let pass = limiter.enter(call.lane, call.run, &telling).await;
            let (outcome, mut hint) = transport.attempt(call.kind, &call.payload).await;
            let wait = match &outcome {
                Err(Failure::Status { after: Some(after), .. }) => *after,
                _ => retry::wait(pace, failed, rand::random::<f64>() / 4.0),
            };
            hint.refused = hint.refused.and(Some(wait));
            limiter.hear(call.lane, hint);
            drop(pass);
            let failure = match outcome {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if !is_retried(call.kind, &failure) || failed >= call.kind.retries() {
                return Err(given_up(call, failure));
            }
            let next = seconds(wait);
            telling.tell(format!("{}: {}; attempt {} in {next}", call.what, failure.text(), failed + 2));
            tracing::debug!(
                what = call.what,
                attempt = failed + 1,
                failure = failure.text(),
                "request failed"
            );
            tokio::time::sleep(wait).await;
        }
        Err(given_up(call, Failure::Lost("it was tried too often".to_owned())))
    }
}

fn seconds(wait: Duration) -> String {
    format!("{:.0} s", wait.as_secs_f64().max(1.0))
}

fn is_retried(kind: Kind, failure: &Failure) -> bool {
    match failure {
        Failure::Lost(_) => true,
        Failure::Status { status, .. } => kind.retries_status(*status),
        Failure::File(_) => false,
    }
}

fn given_up(call: &Call<'_>, failure: Failure) -> ApiError {
    let what = call.what.to_owned();
    match (failure, &call.payload) {
        (Failure::Status { status, message, .. }, _) if !call.kind.retries_status(status) => {
            ApiError::Refused { what, status, message }
        }
        (Failure::File(source), Payload::File { path, .. }) => {
            ApiError::File { path: (*path).to_owned(), source }
        }
        (failure, _) => ApiError::Unreachable { what, message: failure.text() },
    }
}

impl Failure {
    fn text(&self) -> String {
        match self {
            Self::Lost(message) => message.clone(),
            Self::Status { status, message, .. } => format!("status {status}: {message}"),
            Self::File(error) => error.to_string(),
        }
    }
}

/// `Name: value` lines as headers.
fn parsed(lines: &[String]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_str(value.trim()).ok()?);
    }
    Some(headers)
}
