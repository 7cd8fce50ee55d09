//! The examples of the library, built with the tests and run as a user runs them.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use engine::{Event, read_event_line};
use engine_tests::cli::example_binary;
use rustix::process::{Pid, Signal, kill_process};

/// Lines an example may have.
const LINES: usize = 100;

fn run(name: &str, folder: &Path) -> String {
    let ended = Command::new(example_binary(name)).arg(folder).output().unwrap();
    let (out, err) = (String::from_utf8(ended.stdout).unwrap(), String::from_utf8(ended.stderr).unwrap());
    assert!(ended.status.success(), "{out}\n{err}");
    out
}

#[test]
fn examples_are_short() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/examples");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines < LINES, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn plain_loop_finds_the_learning_rate_that_learns() {
    let folder = tempfile::tempdir().unwrap();
    let out = run("plain_loop", folder.path());
    let best = out.lines().last().unwrap();
    assert!(best.starts_with("best ") && best.ends_with("-cv1"), "{out}");
    let name = out.split(' ').next().unwrap();
    assert!(folder.path().join(name).join(format!("{name}.parquet")).is_file());
}

#[test]
fn inside_actix_the_applications_actor_hears_of_every_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = run("inside_actix", folder.path());
    let (runs, loss) = out.trim().rsplit_once(": ").unwrap().1.split_once(" runs, lowest loss ").unwrap();
    assert_eq!(runs, "6", "{out}");
    assert!(loss.parse::<f64>().unwrap() < 0.1, "{out}");
}

/// The service, ended when it is dropped.
struct Service {
    process: Child,
    address: String,
}

impl Service {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(example_binary("axum_service"));
        let mut process = command.arg(folder).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap().to_owned();
        Self { process, address }
    }

    /// Asks, and gives the connection with the head of the answer read.
    fn ask(&self, request: &str, body: &str) -> (String, BufReader<TcpStream>) {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        // Of version 1.0 an answer is not cut into chunks, and the connection ends with it.
        let length = body.len();
        write!(connection, "{request} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = BufReader::new(connection);
        let mut status = String::new();
        answer.read_line(&mut status).unwrap();
        let mut line = String::new();
        while answer.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        (status.trim().to_owned(), answer)
    }

    fn interrupt(&self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Gone already, where the test came to its end.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn events(answer: impl BufRead) -> Vec<Event> {
    answer.lines().map(|line| read_event_line(line.unwrap().as_bytes()).unwrap()).collect()
}

#[test]
fn axum_service_tells_each_client_of_its_own_tune_and_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = Service::start(folder.path());

    let (status, mut devices) = service.ask("GET /devices", "");
    let mut listed = String::new();
    devices.read_to_string(&mut listed).unwrap();
    assert_eq!((&*status, &*listed), ("HTTP/1.0 200 OK", "cpu:0\ncpu:1\n"));

    let (status, mut why) = service.ask("POST /tunes", r#"{"rates": []}"#);
    let mut told = String::new();
    why.read_to_string(&mut told).unwrap();
    assert_eq!(status, "HTTP/1.0 400 Bad Request", "{told}");

    // Two clients at once, on the same devices.
    let (_, one) = service.ask("POST /tunes", r#"{"rates": [0.001, 0.1]}"#);
    let (_, other) = service.ask("POST /tunes", r#"{"rates": [0.1]}"#);
    for (answer, cvs) in [(one, 2), (other, 1)] {
        let events = events(answer);
        let count = |is_it: fn(&Event) -> bool| events.iter().filter(|event| is_it(event)).count();
        assert_eq!(count(|event| matches!(event, Event::TuneStarted { .. })), 1);
        assert_eq!(count(|event| matches!(event, Event::CvFinished { .. })), cvs);
        assert_eq!(count(|event| matches!(event, Event::RunFinished { .. })), 3 * cvs);
        assert!(events.iter().any(|event| matches!(event, Event::TuneFinished { cancelled: false, .. })));
    }

    service.interrupt();
    assert!(service.process.wait().unwrap().success());
}
