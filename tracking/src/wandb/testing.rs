//! A scripted HTTP/1.1 server for tests: answers by a closure, records what it was asked.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// `POST`, `PUT`.
    pub(crate) method: String,
    /// Path and query, as sent.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// When it was read.
    pub(crate) at: Instant,
}

impl Asked {
    /// The first header of this name, which is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// `operationName` of a GraphQL request, empty for others.
    pub(crate) fn operation(&self) -> String {
        self.json()["operationName"].as_str().unwrap_or_default().to_owned()
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Answers.
    Answer {
        /// HTTP status.
        status: u16,
        /// Further headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// Cuts the connection without an answer. Whether the request was done before is the closure's business.
    Cut,
    /// Never answers; the connection stays open until the server ends.
    Hang,
    /// Does something after a while.
    Late(Duration, Box<Reply>),
}

impl Reply {
    /// Status 200 and a JSON body.
    pub(crate) fn json(body: &Value) -> Self {
        Self::status(200, &body.to_string())
    }

    /// Status 200 and `{"data": …}`.
    pub(crate) fn data(data: &Value) -> Self {
        Self::json(&serde_json::json!({ "data": data }))
    }

    /// A status and a body.
    pub(crate) fn status(status: u16, body: &str) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    /// The same with a further header.
    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        match self {
            Self::Answer { status, mut headers, body } => {
                headers.push((name.to_owned(), value.to_owned()));
                Self::Answer { status, headers, body }
            }
            other => other,
        }
    }
}

type Script = dyn Fn(&Asked) -> Reply + Send + Sync;

struct Shared {
    script: Box<Script>,
    asked: Mutex<Vec<Asked>>,
    open: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
    now: AtomicUsize,
    most: AtomicUsize,
}

/// The server. Dropped, it cuts every connection and joins its threads.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on a free port of this machine and answers by `script`, which may be called by several threads at once.
    pub(crate) fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            asked: Mutex::default(),
            open: Mutex::default(),
            ended: AtomicBool::new(false),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything asked so far, in the order it came.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Most requests that were open at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        for stream in self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            drop(stream.shutdown(Shutdown::Both)); // it may be closed already
        }
        drop(TcpStream::connect(self.address)); // wakes `accept`
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut serving = Vec::new();
    for stream in listener.incoming() {
        if shared.ended.load(Ordering::SeqCst) {
            break;
        }
        let Ok(stream) = stream else { continue };
        if let Ok(clone) = stream.try_clone() {
            shared.open.lock().unwrap_or_else(PoisonError::into_inner).push(clone);
        }
        let shared = Arc::clone(shared);
        serving.push(thread::spawn(move || drop(serve(&stream, &shared)))); // a cut connection ends it
    }
    // Connections that came while the end was told.
    for stream in shared.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        drop(stream.shutdown(Shutdown::Both));
    }
    for thread in serving {
        drop(thread.join());
    }
}

/// Answers the requests of one connection until it is closed.
fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(asked) = read_request(&mut reader)? {
        shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
        let now = shared.now.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most.fetch_max(now, Ordering::SeqCst);
        let mut reply = (shared.script)(&asked);
        while let Reply::Late(wait, then) = reply {
            sleep(wait, shared);
            reply = *then;
        }
        if matches!(reply, Reply::Hang) {
            sleep(Duration::from_secs(600), shared);
        }
        shared.now.fetch_sub(1, Ordering::SeqCst);
        let Reply::Answer { status, headers, body } = reply else {
            return stream.shutdown(Shutdown::Both);
        };
        let mut head = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        (&*stream).write_all(&[head.as_bytes(), &body].concat())?;
    }
    Ok(())
}

/// Sleeps, but no longer than the server lives.
fn sleep(wait: Duration, shared: &Shared) {
    let until = Instant::now() + wait;
    while Instant::now() < until && !shared.ended.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(5).min(until.saturating_duration_since(Instant::now())));
    }
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Asked>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let found = |name: &str| {
        headers.iter().find(|(key, _)| key == name).map(|(_, value): &(_, String)| value.as_str())
    };
    let mut body = Vec::new();
    if found("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        read_chunks(reader, &mut body)?;
    } else if let Some(length) = found("content-length").and_then(|value| value.parse().ok()) {
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
    }
    Ok(Some(Asked { method, path, headers, body, at: Instant::now() }))
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim(), 16).unwrap_or(0);
        reader.by_ref().take(length).read_to_end(body)?;
        reader.read_line(&mut String::new())?;
        if length == 0 {
            return Ok(());
        }
    }
}

/// The fake server of the shared tools, a process of its own. Ends when dropped.
pub(crate) struct PythonServer {
    process: std::process::Child,
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
}

impl PythonServer {
    /// Starts it with these options; `None`, and said so, where it is not there.
    pub(crate) fn start(options: &[&str]) -> Option<Self> {
        let shared = match std::env::var_os("ENGINE_SHARED") {
            Some(folder) if !folder.is_empty() => folder.into(),
            _ => std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        };
        let script = shared.join("tools/wandb/wandb_fake_server.py");
        if !script.is_file() {
            let told =
                "skipped: the fake W&B server is not here; ENGINE_SHARED names the folder with tools/wandb\n";
            io::stderr().write_all(told.as_bytes()).unwrap(); // past the harness, which hides what a test prints
            return None;
        }
        let mut process = std::process::Command::new("python3")
            .arg(script)
            .args(options)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("LISTENING ").unwrap().to_owned();
        Some(Self { process, url })
    }

    /// Everything it has received.
    pub(crate) async fn state(&self) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("{}/__state", self.url)).send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
