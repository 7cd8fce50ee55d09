//! What journals come to, as lines: by example, and whatever the size of a request.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::batch::{Bases, Beside, LineFile};
use super::console::Structured;
use super::gather::{Form, Gathered, Gatherer, Portion};
use super::log::LogWriter;
use super::record::{
    Alert, Exit, Files, FilesItem, History, Item, Items, Kind, OutputRaw, Record, Run, Stats, Step,
    Timestamp, Typed,
};
use super::side::Lane;
use super::source::{Place, Source};
use super::stream::{Fold, Share, Shift, Told, console_line, event_line, row_line};

const PLAIN: Form = Form { structured: Structured::Plain, shift: Shift { step: 0, runtime: 0.0 } };
const AT: Timestamp = Timestamp { seconds: 100, nanos: 500_000_000 };

fn item(key: &str, value: &str) -> Item {
    Item { key: key.to_owned(), value_json: value.to_owned(), ..Item::default() }
}

fn nested(path: &[&str], typed: Typed) -> Item {
    let nested_key = path.iter().map(|key| (*key).to_owned()).collect();
    Item { nested_key, typed: Some(typed), ..Item::default() }
}

fn row(at: i64, mut item_: Vec<Item>) -> Kind {
    item_.push(item("_step", &at.to_string()));
    Kind::History(History { item: item_, step: Some(Step { num: at }) })
}

fn printed(text: &str) -> Kind {
    Kind::OutputRaw(OutputRaw { output_type: 1, timestamp: Some(AT), line: text.to_owned() })
}

fn stats(value: &str) -> Kind {
    Kind::Stats(Stats { stats_type: 0, timestamp: Some(AT), item: vec![item("cpu", value)] })
}

fn begin() -> Kind {
    let start_time = Some(Timestamp { seconds: 90, nanos: 0 });
    Kind::Run(Run { run_id: "r".to_owned(), start_time, runtime: 5, ..Run::default() })
}

fn summary(update: Vec<Item>, remove: Vec<Item>) -> Kind {
    Kind::Summary(Items { update, remove })
}

fn file(path: &str, policy: i32) -> FilesItem {
    FilesItem { path: path.to_owned(), policy, r#type: 0 }
}

fn write(path: &Path, kinds: Vec<Kind>) {
    let mut log = LogWriter::open(path).unwrap();
    for (at, kind) in kinds.into_iter().enumerate() {
        log.append(&Record { num: at as i64 + 1, control: None, kind: Some(kind) }).unwrap();
    }
}

fn open(path: &Path, position: u64) -> Gatherer {
    Gatherer::new(Source::open(path, Place { position, rows: u64::MAX }).unwrap())
}

fn body(got: &Gathered) -> Value {
    serde_json::from_slice(&got.batch.body(Bases::default(), &Beside::default())).unwrap()
}

#[test]
fn records_become_the_lines_the_official_client_sends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run-r.wandb");
    let kinds = vec![
        begin(),
        row(0, vec![item("loss", "NaN"), item("_runtime", "1.5"), nested(&["a", "b"], Typed::Integer(3))]),
        summary(
            vec![item("loss", "NaN"), item("gone", "1"), item("_step", "0"), item("x", r#"{"y":1,"z":2}"#)],
            vec![],
        ),
        summary(vec![], vec![item("gone", ""), nested(&["x", "y"], Typed::None(0))]),
        stats("12.5"),
        printed("10 %\r"),
        printed("20 %\n"),
        printed("last"),
        Kind::Files(Files { files: vec![file("now.png", 0)] }),
        Kind::Files(Files { files: vec![file("live.txt", 2)] }),
        Kind::Alert(Alert::default()),
        Kind::Exit(Exit { exit_code: 3, runtime: 12 }),
    ];
    write(&path, kinds);
    let mut gatherer = open(&path, 0);
    let got = gatherer.gather(PLAIN, Portion::default()).unwrap();
    let ts = "1970-01-01T00:01:40.500000";
    let want = json!({ "files": {
        "wandb-history.jsonl": { "offset": 0, "content": [r#"{"_runtime":1.5,"_step":0,"a":{"b":3},"loss":NaN}"#] },
        "wandb-events.jsonl":
            { "offset": 0, "content": [r#"{"_runtime":15.5,"_timestamp":100.5,"_wandb":true,"system.cpu":12.5}"#] },
        "output.log": { "offset": 0, "content": [format!("{ts} 20 %"), format!("{ts} last")] },
    } });
    assert_eq!(body(&got), want);
    let fold = &gatherer.source.fold;
    assert_eq!(
        fold.summary(None, Shift::default()).text,
        r#"{"_step":0,"_wandb":{"runtime":12},"loss":NaN,"x":{"z":2}}"#
    );
    let moved = fold.summary(Some(r#"{"old":1,"loss":2}"#), Shift { step: 7, runtime: 0.0 });
    assert_eq!(moved.text, r#"{"_step":7,"_wandb":{"runtime":12},"loss":NaN,"old":1,"x":{"z":2}}"#);
    assert_eq!(fold.exit.as_ref().unwrap().exit_code, 3);
    let marks: Vec<Lane> = got.marks.iter().map(|(lane, _)| *lane).collect();
    assert_eq!(marks, [Lane::Files, Lane::LastFiles, Lane::Alerts]);
    assert!(got.is_all && got.has_summary && got.has_config && got.losses.is_empty());
}

#[test]
fn moved_rows_keep_all_but_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run-r.wandb");
    write(&path, vec![begin(), row(2, vec![item("_runtime", "1.5"), item("x", "Infinity")])]);
    let form = Form { structured: Structured::Plain, shift: Shift { step: 100, runtime: 10.0 } };
    let got = open(&path, 0).gather(form, Portion::default()).unwrap();
    let line = r#"{"_runtime":11.5,"_step":102,"x":Infinity}"#;
    assert_eq!(body(&got)["files"]["wandb-history.jsonl"]["content"], json!([line]));
}

#[test]
fn a_line_the_server_refuses_again_and_again_keeps_only_its_place() {
    let mut portion = Portion::default();
    let mut tries = 0;
    while !portion.is_place_only() {
        portion.refused(1 << 20);
        tries += 1;
    }
    assert!(tries < 12, "{tries}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run-r.wandb");
    write(&path, vec![begin(), row(0, vec![item("bad", "1")]), row(1, vec![item("good", "1")])]);
    let mut gatherer = open(&path, 0);
    let got = gatherer.gather(PLAIN, portion).unwrap();
    assert_eq!(body(&got)["files"]["wandb-history.jsonl"]["content"], json!([r#"{"_step":0}"#]));
    assert!(got.losses[0].contains("row 0") && got.losses[0].contains("bad"), "{:?}", got.losses);
    portion.taken();
    let got = gatherer.gather(PLAIN, portion).unwrap();
    assert_eq!(body(&got)["files"]["wandb-history.jsonl"]["content"], json!([r#"{"_step":1,"good":1}"#]));
}

#[derive(Debug, Clone)]
enum Any {
    Row(u8),
    Stats(u8),
    Print(String),
    Summary,
}

fn any_record() -> impl Strategy<Value = Any> {
    prop_oneof![
        any::<u8>().prop_map(Any::Row),
        any::<u8>().prop_map(Any::Stats),
        "[ab\n\r]{0,6}".prop_map(Any::Print),
        Just(Any::Summary),
    ]
}

/// The server's files after requests, which must leave no gap.
#[derive(Debug, Default, PartialEq)]
struct Server {
    files: std::collections::BTreeMap<String, Vec<String>>,
}

impl Server {
    fn take(&mut self, got: &Gathered) {
        let body = body(got);
        for (name, chunk) in body["files"].as_object().into_iter().flatten() {
            let lines = self.files.entry(name.clone()).or_default();
            let offset = chunk["offset"].as_u64().unwrap() as usize;
            assert!(offset <= lines.len(), "a gap in {name} at {offset}");
            for (at, line) in chunk["content"].as_array().unwrap().iter().enumerate() {
                let line = line.as_str().unwrap().to_owned();
                match lines.get_mut(offset + at) {
                    Some(known) => *known = line,
                    None => lines.push(line),
                }
            }
        }
    }
}

proptest! {
    /// Also where the upload begins anew behind any request.
    #[test]
    fn whatever_the_size_of_requests_the_server_has_the_same_lines(
        records in prop::collection::vec(any_record(), 0..40),
        sizes in prop::collection::vec((1_usize..400, any::<bool>()), 1..12),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run-r.wandb");
        let mut step = -1;
        let kinds = records.iter().map(|record| match record {
            Any::Row(size) => {
                step += 1;
                row(step, vec![item("x", &format!("\"{}\"", "x".repeat(usize::from(*size))))])
            }
            Any::Stats(size) => stats(&size.to_string()),
            Any::Print(text) => printed(text),
            Any::Summary => summary(vec![item("a", "1")], vec![]),
        });
        write(&path, std::iter::once(begin()).chain(kinds).collect());
        let (mut whole, mut parts) = (Server::default(), Server::default());
        let all = open(&path, 0).gather(PLAIN, Portion::default()).unwrap();
        whole.take(&all);
        let mut gatherer = open(&path, 0);
        for (limit, is_cut) in sizes.iter().cycle() {
            let got = gatherer.gather(PLAIN, Portion::of(*limit)).unwrap();
            parts.take(&got);
            prop_assert!(got.batch.bytes() <= *limit || got.batch.lines(LineFile::History) <= 1);
            if got.is_all {
                prop_assert_eq!((got.end, got.rows), (all.end, all.rows));
                break;
            }
            if *is_cut {
                gatherer = open(&path, got.end);
                prop_assert_eq!((gatherer.source.position, gatherer.source.fold.rows), (got.end, got.rows));
            }
        }
        prop_assert_eq!(whole, parts);
    }
}

/// Numbers at which arithmetic ends, among others.
fn hostile() -> impl Strategy<Value = i64> {
    prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), Just(-1), any::<i64>()]
}

fn hostile_time() -> impl Strategy<Value = Option<Timestamp>> {
    let nanos = prop_oneof![Just(i32::MIN), Just(i32::MAX), any::<i32>()];
    proptest::option::of((hostile(), nanos).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos }))
}

fn hostile_item() -> impl Strategy<Value = Item> {
    let key = prop_oneof![Just("_step"), Just("_runtime"), Just("_timestamp"), Just("a"), Just("")];
    let value =
        prop_oneof![hostile().prop_map(|number| number.to_string()), ".{0,12}", Just("1e999".to_owned())];
    let path = proptest::collection::vec("[a-c]{0,2}", 0..40);
    (key, value, path).prop_map(|(key, value_json, nested_key)| Item {
        key: key.to_owned(),
        value_json,
        nested_key,
        ..Item::default()
    })
}

fn hostile_kind() -> impl Strategy<Value = Kind> {
    let items = || proptest::collection::vec(hostile_item(), 0..4);
    let step = proptest::option::of(hostile().prop_map(|num| Step { num }));
    prop_oneof![
        (items(), step).prop_map(|(item, step)| Kind::History(History { item, step })),
        (items(), hostile_time()).prop_map(|(item, timestamp)| Kind::Stats(Stats {
            stats_type: 0,
            timestamp,
            item
        })),
        (any::<i32>(), hostile_time(), ".{0,40}").prop_map(|(output_type, timestamp, line)| {
            Kind::OutputRaw(OutputRaw { output_type, timestamp, line })
        }),
        (hostile_time(), any::<i32>()).prop_map(|(start_time, runtime)| {
            Kind::Run(Run { run_id: "r".to_owned(), start_time, runtime, ..Run::default() })
        }),
        (items(), items()).prop_map(|(update, remove)| Kind::Summary(Items { update, remove })),
        (items(), items()).prop_map(|(update, remove)| Kind::Config(Items { update, remove })),
        (any::<i32>(), any::<i32>()).prop_map(|(exit_code, runtime)| Kind::Exit(Exit { exit_code, runtime })),
    ]
}

proptest! {
    /// The journal may be another program's, and right by its checksums.
    #[test]
    fn whatever_a_record_holds_it_is_folded_and_becomes_lines(
        kinds in proptest::collection::vec(hostile_kind(), 1..12),
        step in hostile(),
    ) {
        let shift = Shift { step, runtime: f64::MAX };
        let mut fold = Fold::default();
        for kind in kinds {
            let record = Record { kind: Some(kind), num: step, ..Record::default() };
            let line = match fold.apply(record) {
                Told::Row(_, items) => row_line(items, shift, Share::Whole),
                Told::Event(_, event) => event_line(event, shift, Share::Whole),
                Told::Console(lines) => {
                    for line in lines {
                        drop(console_line(line, Structured::Json, Share::Whole));
                    }
                    continue;
                }
                _ => fold.summary(Some("{\"a\":{\"b\":1}}"), shift),
            };
prop_assert!(line.text.starts_with('{') && line.text.ends_with('}'), "{}", line.text);
        }
    }
}

/// On the stack of a test's thread, which is as small as those of the uploader.
#[test]
fn what_is_nested_without_end_is_read_to_a_depth() {
    const LEVELS: usize = 50_000;
    let value = format!("{}1{}", "{\"a\":".repeat(LEVELS), "}".repeat(LEVELS));
    let path = vec!["a".to_owned(); LEVELS];
    let deep = || Item { nested_key: path.clone(), value_json: "1".to_owned(), ..Item::default() };
    let mut fold = Fold::default();
    for kind in [
        Kind::Config(Items { update: vec![item("a", &value), deep()], remove: vec![deep()] }),
        Kind::Summary(Items { update: vec![item("a", &value), deep()], remove: vec![deep()] }),
        Kind::History(History { item: vec![deep()], step: None }),
    ] {
        let record = Record { kind: Some(kind), ..Record::default() };
        if let Told::Row(_, items) = fold.apply(record) {
            assert!(row_line(items, Shift::default(), Share::Whole).text.contains("{\"a\":{\"a\":"));
        }
    }
    assert!(fold.summary(Some(&value), Shift::default()).text.contains("{\"a\":{\"a\":"));
}
