//! What an engine and its workers say to each other, read at either end of the pipe.

use engine_actors::outcome::{Cause, Failure};
use engine_actors::protocol::{FromWorker, Phase, Progress, RunOrder, RunSummary, ToWorker};
use engine_devices::frame;
use engine_tracking::{Figure, FigureContent, MetricPoint, RunPlace, Series};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::framing::{FRAME_HEAD, frames, joined};
use crate::harness::Target;

/// What stands around a worker's words on its pipe.
#[derive(Serialize, Deserialize)]
enum Frame {
    Said(FromWorker),
    Over { then: engine_devices::AfterWork, memory: Memory },
}

#[derive(Serialize, Deserialize)]
struct Memory {
    resident_bytes: Option<u64>,
    peak_bytes: Option<u64>,
}

/// A frame's own bound, once for the frame and once for what is decoded of it.
const ALLOWED_BYTES: usize = 2 * frame::MAX_PAYLOAD_BYTES;

/// The contents of the frames that hold these messages.
fn payloads<T: Serialize>(messages: &[T]) -> Vec<u8> {
    let contents: Vec<Vec<u8>> = messages
        .iter()
        .map(|message| {
            let mut bytes = Vec::new();
            frame::write(&mut bytes, message).unwrap();
            bytes.split_off(FRAME_HEAD)
        })
        .collect();
    joined(contents.iter().map(Vec::as_slice))
}

fn order() -> ToWorker {
    let order = json!({
        "plan": {
            "run_name": "t-cv0-run-f0s42", "run_id": "abcd1234", "run_dir": "out/t/r", "cv_name": "t-cv0", "tune_name": null,
            "cell": {"fold": 0, "seed": 42}, "task": {"test": {"checkpoint": "c"}},
            "hyperparameters": {"learning_rate": 1e-3, "bands": ["red"], "deep": [[[{"a": null}]]]},
            "settings": {"max_epochs": 3, "nested": {"list": [1, 2.5, true, null]}},
        },
        "grant": {"places": [{
            "device": "cuda:0", "kind": "cuda", "index": 0, "token": {"vendor": "nvidia", "value": "GPU-1"}, "cores": [0, 1],
            "threads": 2, "lock": "/tmp/lock",
        }]},
        "attempt": 2,
        "goes_on": true,
    });
    let order: RunOrder = serde_json::from_value(order).unwrap();
    ToWorker::Start(Box::new(order))
}

fn words() -> Vec<FromWorker> {
    let metrics = || [("val/a".to_owned(), f64::NAN), ("val/b".to_owned(), 0.5)].into();
    let series = || vec![Series { name: "1".into(), x: vec![0.0, 1.0], y: vec![f64::NAN, 1.0] }];
    let figure = |content| Figure { name: "val/x".into(), epoch: 1, step: 7, content };
    vec![
        FromWorker::Hello { protocol: 5, pid: 17 },
        FromWorker::Beat,
        FromWorker::Prepared {
            train_samples: 9,
            val_samples: 3,
            parameters: 1 << 40,
            device: "cpu".into(),
            from: Some(RunPlace { epoch: 1, step: 7 }),
            metrics: [("val/loss".to_owned(), f64::NAN)].into(),
        },
        FromWorker::Settle,
        FromWorker::Progress(Progress {
            epoch: 0,
            max_epochs: 3,
            batch: 1,
            batches: 9,
            phase: Phase::Validate,
        }),
        FromWorker::Logged(vec![MetricPoint { epoch: 0, step: 7, values: metrics() }]),
        FromWorker::Drawn(vec![
            figure(FigureContent::Roc(series())),
            figure(FigureContent::ConfusionMatrix { classes: vec!["a".into()], counts: vec![vec![1]] }),
            figure(FigureContent::Lines { x_name: "x".into(), series: series() }),
        ]),
        FromWorker::Validated { epoch: 0, step: 7, metrics: metrics() },
        FromWorker::CheckpointWritten { path: "c".into(), epoch: 0, step: 7, monitored: Some(f64::INFINITY) },
        FromWorker::Warned { message: "w".into() },
        FromWorker::Finished(RunSummary { metrics: metrics(), epochs: 3, ..RunSummary::default() }),
        FromWorker::Failed(Failure {
            cause: Cause::Data,
            message: "m".into(),
            stderr_tail: vec!["e".into()],
        }),
    ]
}

/// Reads a stream to its end, or to what ends it.
fn read_all<T: Serialize + for<'de> Deserialize<'de>>(mut stream: &[u8]) -> String {
    let mut read = 0;
    loop {
        match frame::read::<T>(&mut stream) {
            Ok(Some(message)) => {
                // What is read can be written again, else it could not have been sent.
                frame::write(&mut std::io::sink(), &message).unwrap();
                read += 1;
            }
            Ok(None) => return format!("read {}", if read > 9 { "many" } else { "some" }),
            Err(error) => return format!("refused: {}", crate::chain(&error)),
        }
    }
}

const WORDS: &[&str] = &[
    "\u{91}", "\u{dd}", "\u{de}", "\u{df}", "Said", "Over", "Start", "Stop", "Hello", "Beat", "Progress",
    "Logged", "Drawn", "Finished", "Failed", "plan", "grant", "places", "values", "metrics", "cause", "hang",
    "phase", "test",
];

fn target(name: &'static str, corpus: Vec<u8>) -> Target {
    Target { name, corpus: vec![corpus], words: WORDS, seal: Some(frames), allowed_bytes: ALLOWED_BYTES }
}

#[test]
fn frames_to_a_worker() {
    target("frames_to_worker", payloads(&[order(), ToWorker::Stop])).run(read_all::<ToWorker>);
}

#[test]
fn frames_from_a_worker() {
    let mut said: Vec<Frame> = words().into_iter().map(Frame::Said).collect();
    let memory = Memory { resident_bytes: Some(7), peak_bytes: None };
    said.push(Frame::Over { then: engine_devices::AfterWork::Rests, memory });
    target("frames_from_worker", payloads(&said)).run(read_all::<Frame>);
}
