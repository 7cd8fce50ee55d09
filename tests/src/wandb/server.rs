//! A small fake W&B server: what the tests need of it, with faults.
//!
//! It answers as the larger one that the tests also use where it is at hand; what neither of them knows is how the real
//! server differs.

use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::backend::{Backend, Refusal, unescaped};
use super::faults::{FakeServer, Faults};
use super::http::{Answer, Request};
use super::seen::Seen;

/// A request as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// When.
    pub at: Instant,
    /// `METHOD /path Operation`.
    pub label: String,
    /// Status it was answered with; none where the connection was cut.
    pub status: Option<u16>,
    /// Size of its body.
    pub bytes: usize,
    /// Whether it met a fault.
    pub faulted: bool,
}

/// The server. Dropped, it is down: no connection and no thread of it is left.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    url: String,
    inner: Mutex<Inner>,
    /// Told when faults change or the server goes down.
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    backend: Backend,
    faults: Faults,
    window: (Instant, u32),
    heard: Vec<Heard>,
    connections: Vec<TcpStream>,
    closing: bool,
}

/// What becomes of a request before anybody looks at it.
enum Fate {
    Done,
    Cut { processed: bool },
    Refused(Answer),
}

impl FakeServer for Server {
    fn start(port: Option<u16>, faults: &Faults) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port.unwrap_or(0))).unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Inner {
            backend: Backend::default(),
            faults: faults.clone(),
            window: (Instant::now(), 0),
            heard: Vec::new(),
            connections: Vec::new(),
            closing: false,
        };
        let url = format!("http://{address}");
        let shared = Arc::new(Shared { url, inner: Mutex::new(inner), changed: Condvar::new() });
        let of_acceptor = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || accept(&listener, &of_acceptor));
        Self { shared, address, acceptor: Some(acceptor) }
    }

    fn url(&self) -> String {
        self.shared.url.clone()
    }

    fn seen(&self) -> Seen {
        let inner = self.shared.lock();
        let met: Vec<_> = (0..inner.heard.len()).filter(|at| inner.heard[*at].faulted).collect();
        let next = |at: usize| {
            let (one, mut behind) = (&inner.heard[at], inner.heard[at + 1..].iter());
            Some(behind.find(|other| other.label == one.label)?.at - one.at)
        };
        let waits_after_fault = met.iter().filter_map(|at| next(*at)).collect();
        Seen { faults_met: met.len(), waits_after_fault, ..inner.backend.seen() }
    }

    fn press_stop(&self, run_id: &str) {
        self.shared.lock().backend.press_stop(run_id);
    }

    fn heal(&mut self) {
        self.shared.lock().faults = Faults::default();
        self.shared.changed.notify_all();
    }
}

impl Server {
    /// Every request so far, in the order of their answers.
    pub fn heard(&self) -> Vec<Heard> {
        self.shared.lock().heard.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        {
            let mut inner = self.shared.lock();
            inner.closing = true;
            // One that is gone already can not be shut down, and need not be.
            inner.connections.drain(..).for_each(|one| drop(one.shutdown(Shutdown::Both)));
        }
        self.shared.changed.notify_all();
        // Wakes the acceptor; where nobody listens any more there is none to wake.
        drop(TcpStream::connect(self.address));
        let joined = self.acceptor.take().map(JoinHandle::join);
        assert!(
            matches!(joined, Some(Ok(()))) || std::thread::panicking(),
            "a thread of the server panicked"
        );
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut served = Vec::new();
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        {
            let mut inner = shared.lock();
            if inner.closing {
                break;
            }
            inner.connections.push(stream.try_clone().unwrap());
        }
        let shared = Arc::clone(shared);
        served.push(std::thread::spawn(move || serve(stream, &shared)));
    }
    served.into_iter().for_each(|one| one.join().unwrap());
}

/// Serves a connection until one side closes it.
fn serve(mut stream: TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    // A client that breaks off in mid-request was killed, which is what some tests do.
    while let Ok(Some(request)) = Request::read(&mut reader) {
        let written = match shared.answer(&request) {
            Some(answer) => answer.write(&mut stream),
            None => break,
        };
        if written.is_err() {
            break;
        }
    }
    drop(stream.flush());
    drop(stream.shutdown(Shutdown::Both));
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None`: the connection is cut.
    fn answer(&self, request: &Request) -> Option<Answer> {
        let path = unescaped(request.target.split('?').next().unwrap_or_default());
        let body = match path.starts_with("/storage/") {
            true => Value::Null,
            false => serde_json::from_slice(&request.body).unwrap_or_default(),
        };
        let operation = operation(&body);
        let label = format!("{} {path} {operation}", request.method).trim_end().to_owned();
        let (fate, further) = self.wait().fate(&label, request);
        let routed = |inner: &mut Inner| inner.route(&self.url, request, &path, &operation, &body);
        let faulted = !matches!(fate, Fate::Done);
        let mut inner = self.lock();
        let answer = match fate {
            Fate::Refused(answer) => Some(answer),
            Fate::Cut { processed } => {
                if processed {
                    routed(&mut inner);
                }
                None
            }
            Fate::Done => Some(routed(&mut inner)),
        };
        let answer = answer.map(|mut answer| {
            answer.headers.extend(further);
            answer
        });
        let status = answer.as_ref().map(|answer| answer.status);
        inner.heard.push(Heard { at: Instant::now(), label, status, bytes: request.body.len(), faulted });
        answer
    }

    /// Waits as long as an answer takes, less where the fault ends before.
    fn wait(&self) -> MutexGuard<'_, Inner> {
        let begun = Instant::now();
        let mut inner = self.lock();
        while !inner.closing && begun.elapsed() < inner.faults.latency {
            let left = inner.faults.latency.saturating_sub(begun.elapsed());
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        inner
    }
}

impl Inner {
    fn fate(&mut self, label: &str, request: &Request) -> (Fate, Vec<(&'static str, String)>) {
        let refuse = |status: u16, why: &str| Fate::Refused(Answer::json(status, &json!({"error": why})));
        let signed = label.contains(" /storage/");
        let faults = &mut self.faults;
        if !signed && faults.require_key.is_some_and(|key| !knows(request, key)) {
            return (refuse(401, "user is not logged in"), Vec::new());
        }
        if !label.contains(faults.only) {
            return (Fate::Done, Vec::new());
        }
        if faults.behind > 0 {
            faults.behind -= 1;
            return (Fate::Done, Vec::new());
        }
        if faults.drop > 0 {
            faults.drop -= 1;
            return (Fate::Cut { processed: faults.drop_after }, Vec::new());
        }
        if faults.fail > 0 {
            faults.fail -= 1;
            return (refuse(faults.fail_status, "fault injected"), Vec::new());
        }
        if faults.rate_limit > 0 {
            faults.rate_limit -= 1;
            let after = faults.retry_after.map(|seconds| ("Retry-After", seconds.to_string()));
            return (refuse(429, "rate limit exceeded"), after.into_iter().collect());
        }
        let Some((requests, seconds)) = faults.quota else { return (Fate::Done, Vec::new()) };
        let window = Duration::from_secs_f64(seconds);
        if self.window.0.elapsed() >= window {
            self.window = (Instant::now(), 0);
        }
        self.window.1 += 1;
        let left = window.saturating_sub(self.window.0.elapsed()).as_secs_f64();
        let headers = vec![
            ("RateLimit-Remaining", requests.saturating_sub(self.window.1).to_string()),
            ("RateLimit-Reset", format!("{left:.0}")),
        ];
        let beyond = self.window.1 > requests;
        (if beyond { refuse(429, "rate limit exceeded") } else { Fate::Done }, headers)
    }

    fn route(&mut self, url: &str, request: &Request, path: &str, operation: &str, body: &Value) -> Answer {
        let answered = |done: Result<Value, Refusal>| match done {
            Ok(value) => Answer::json(200, &value),
            Err((status, why)) => Answer::json(status, &json!({"errors": [{"message": why}]})),
        };
        if path == "/graphql" {
            let data = self.backend.graphql(url, operation, &body["variables"]);
            return answered(data.map(|data| json!({"data": data})));
        }
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["files", entity, project, run, "file_stream"]) => {
                let key = [entity, project, run].map(|part| (*part).to_owned());
                answered(self.backend.stream(&key.into(), body))
            }
            ("PUT", ["storage", ..]) => {
                let place = path.trim_start_matches("/storage/").to_owned();
                match self.backend.put(place, request.header("content-md5"), &request.body) {
                    Ok(md5) => Answer {
                        status: 200,
                        headers: vec![("ETag", format!("\"{md5}\""))],
                        body: Vec::new(),
                    },
                    Err(refusal) => answered(Err(refusal)),
                }
            }
            _ => answered(Err((404, format!("nothing at {path}")))),
        }
    }
}

/// Whether a request has this key.
fn knows(request: &Request, key: &str) -> bool {
    let header = request.header("authorization").and_then(|value| value.strip_prefix("Basic "));
    let login = header.and_then(|code| STANDARD.decode(code).ok());
    login.is_some_and(|login| login == format!("api:{key}").as_bytes())
}

/// The operation a GraphQL body names; nothing for other bodies.
fn operation(body: &Value) -> String {
    if let Some(named) = body["operationName"].as_str() {
        return named.to_owned();
    }
    let query = body["query"].as_str().unwrap_or_default();
    let words =
        query.split(|other: char| !other.is_alphanumeric() && other != '_').filter(|word| !word.is_empty());
    words.skip_while(|word| !["query", "mutation"].contains(word)).nth(1).unwrap_or_default().to_owned()
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
