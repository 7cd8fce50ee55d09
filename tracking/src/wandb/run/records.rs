//! The records of a run, from what is logged. No clock, no I/O.
//!
//! # Sources
//! Names of rows and steps: Lightning's `WandbLogger` (`trainer/global_step` on the x axis, `epoch` beside it). Order and rules of
//! records: files of the official client 0.31.0 and what its readers since 0.16 make of them.

use prost::Message as _;
use serde_json::{Map, Value};

use super::header::{RunHeader, Severity, Stream};
use crate::wandb::json;
use crate::wandb::record::{
    Alert, Control, Environment, Exit, Files, FilesItem, Header, History, Item, Items, Kind, Metric,
    MetricOptions, OutputRaw, Record, Run, Stats, Step, Telemetry, Timestamp, VersionInfo,
};

/// Number of a row within its run.
const STEP: &str = "_step";
/// When a row was logged, in seconds since 1970.
pub(super) const TIMESTAMP: &str = "_timestamp";
/// How long the run had run by then, in seconds.
pub(super) const RUNTIME: &str = "_runtime";
/// The epoch a row belongs to, from 0.
pub(super) const EPOCH: &str = "epoch";
/// Optimizer steps taken: the x axis of every metric.
pub(super) const STEP_METRIC: &str = "trainer/global_step";
/// What the server keeps for itself in summary and configuration.
const OWN_KEY: &str = "_wandb";
/// Where the configuration holds the panels of charts.
pub(super) const CHARTS_PATH: [&str; 2] = [OWN_KEY, "visualize"];

/// Names no metric can have in a row: they stand for its place there.
pub(super) const TAKEN_NAMES: [&str; 6] = [STEP, TIMESTAMP, RUNTIME, OWN_KEY, EPOCH, STEP_METRIC];

/// Client whose format this is; servers decide by it what they expect.
const CLIENT_VERSION: &str = "0.31.0";
/// Oldest client that reads the format, by the official client 0.31.0.
const OLDEST_READER: &str = "0.70.0";
/// Milliseconds before another alert of the same title is sent: the official client's default.
const ALERT_PAUSE_MS: i64 = 60_000;

/// Types of files that are uploaded.
const MEDIA_FILE: i32 = 2;

/// A name and its value as JSON.
pub(super) type Named = (String, String);

/// One place of a run, where a row belongs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub(super) row: i64,
    pub(super) epoch: u32,
    pub(super) step: u64,
    pub(super) at_secs: f64,
    pub(super) ran_secs: f64,
}

impl Place {
    fn named(&self) -> [Named; 5] {
        [
            (EPOCH, self.epoch.to_string()),
            (STEP_METRIC, self.step.to_string()),
            (STEP, self.row.to_string()),
            (TIMESTAMP, json::number(self.at_secs)),
            (RUNTIME, json::number(self.ran_secs)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }
}

pub(super) fn header() -> Kind {
    let version_info = VersionInfo {
        producer: concat!("engine ", env!("CARGO_PKG_VERSION")).to_owned(),
        min_consumer: OLDEST_READER.to_owned(),
    };
    Kind::Header(Header { version_info: Some(version_info) })
}

pub(super) fn run(header: &RunHeader, started: Timestamp, host: String) -> Kind {
    Kind::Run(Run {
        run_id: header.id.clone(),
        entity: header.entity.clone().unwrap_or_default(),
        project: header.project.clone(),
        config: Some(updates(named(&header.config))),
        run_group: header.group.clone().unwrap_or_default(),
        job_type: header.job_type.clone().unwrap_or_default(),
        display_name: header.name.clone(),
        notes: header.notes.clone().unwrap_or_default(),
        tags: header.tags.clone(),
        host,
        start_time: Some(started),
        telemetry: Some(telemetry()),
        ..Run::default()
    })
}

pub(super) fn telemetry() -> Telemetry {
    Telemetry {
        cli_version: CLIENT_VERSION.to_owned(),
        core_version: env!("CARGO_PKG_VERSION").to_owned(),
        platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
        ..Telemetry::default()
    }
}

/// The environment, in a record that readers older than it take for one of telemetry: they know no such kind and would end
/// there. Of several kinds in one message the last counts.
pub(super) fn environment(num: i64, environment: Environment) -> Vec<u8> {
    let mut bytes = Record { num, kind: Some(Kind::Telemetry(telemetry())), control: None }.encode_to_vec();
    bytes
        .extend(Record { num: 0, kind: Some(Kind::Environment(environment)), control: None }.encode_to_vec());
    bytes
}

/// What readers of several versions wait for on the first and the last record of a run.
pub(super) fn control_of(kind: &Kind) -> Option<Control> {
    let slot = match kind {
        Kind::Run(_) => "run",
        Kind::Exit(_) => "exit",
        _ => return None,
    };
    Some(Control { mailbox_slot: slot.to_owned() })
}

/// A record as long as that of an end, which every reader passes over: footers say nothing.
///
/// Readers stop at the first end they find, so that one in the middle would hide what follows.
pub(super) fn revoked(end: &Record) -> Option<Vec<u8>> {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Revoked {
        #[prost(int64, tag = "1")]
        num: i64,
        #[prost(message, optional, tag = "16")]
        control: Option<Control>,
        #[prost(message, optional, tag = "22")]
        footer: Option<Exit>,
    }
    let Some(Kind::Exit(exit)) = &end.kind else { return None };
    let revoked = Revoked { num: end.num, control: end.control.clone(), footer: Some(exit.clone()) };
    Some(revoked.encode_to_vec())
}

/// The definition of a metric over optimizer steps.
pub(super) fn metric(name: &str) -> Kind {
    let step_metric = if name == STEP_METRIC { "" } else { STEP_METRIC };
    let options = MetricOptions { step_sync: !step_metric.is_empty(), hidden: false, defined: true };
    Kind::Metric(Metric {
        name: name.to_owned(),
        step_metric: step_metric.to_owned(),
        options: Some(options),
        ..Metric::default()
    })
}

/// A row: its values, then its place.
pub(super) fn row(values: &[Named], place: &Place) -> Kind {
    let item = values.iter().cloned().chain(place.named()).map(item).collect();
    Kind::History(History { item, step: Some(Step { num: place.row }) })
}

/// Names a row defines as metrics, beside [`STEP_METRIC`].
pub(super) fn metrics_of(values: &[Named]) -> impl Iterator<Item = &str> {
    [STEP_METRIC, EPOCH].into_iter().chain(values.iter().map(|(name, _)| name.as_str()))
}

/// The last values of rows.
pub(super) fn summary_of_rows(values: impl IntoIterator<Item = Named>, last: &Place) -> Kind {
    Kind::Summary(updates(values.into_iter().chain(last.named())))
}

/// Last values of rows that were written before.
pub(super) fn summary_of_values(values: impl IntoIterator<Item = Named>) -> Kind {
    Kind::Summary(updates(values))
}

pub(super) fn summary(values: &Map<String, Value>) -> Kind {
    Kind::Summary(updates(named(values)))
}

/// What the summary says at the end.
pub(super) fn last_summary(ran_secs: f64) -> Kind {
    let runtime = Item {
        nested_key: vec![OWN_KEY.to_owned(), "runtime".to_owned()],
        value_json: whole_secs(ran_secs).to_string(),
        ..Item::default()
    };
    Kind::Summary(Items { update: vec![runtime], remove: vec![] })
}

pub(super) fn config(values: impl IntoIterator<Item = Named>) -> Kind {
    Kind::Config(updates(values))
}

/// Panels of charts, each at its own place within the configuration.
pub(super) fn charts(panels: Vec<Named>) -> Kind {
    let update = panels.into_iter().map(|(chart, value_json)| {
        let nested_key = CHARTS_PATH.into_iter().map(str::to_owned).chain([chart]).collect();
        Item { nested_key, value_json, ..Item::default() }
    });
    Kind::Config(Items { update: update.collect(), remove: vec![] })
}

pub(super) fn files(paths: Vec<String>) -> Kind {
    let files = paths.into_iter().map(|path| FilesItem { path, policy: 0, r#type: MEDIA_FILE }).collect();
    Kind::Files(Files { files })
}

pub(super) fn stats(values: impl IntoIterator<Item = Named>, at: Timestamp) -> Kind {
    Kind::Stats(Stats { stats_type: 0, timestamp: Some(at), item: values.into_iter().map(item).collect() })
}

pub(super) fn printed(stream: Stream, line: &str, at: Timestamp) -> Kind {
    let output_type = match stream {
        Stream::Err => 0,
        Stream::Out => 1,
    };
    let line = format!("{}\n", line.trim_end_matches(['\n', '\r']));
    Kind::OutputRaw(OutputRaw { output_type, timestamp: Some(at), line })
}

pub(super) fn alert(title: &str, text: &str, severity: Severity) -> Kind {
    let level = match severity {
        Severity::Info => "INFO",
        Severity::Warn => "WARN",
        Severity::Error => "ERROR",
    };
    Kind::Alert(Alert {
        title: title.to_owned(),
        text: text.to_owned(),
        level: level.to_owned(),
        wait_duration: ALERT_PAUSE_MS,
    })
}

pub(super) fn exit(exit_code: i32, ran_secs: f64) -> Kind {
    Kind::Exit(Exit { exit_code, runtime: whole_secs(ran_secs) })
}

/// Values as JSON texts.
pub(super) fn named(values: &Map<String, Value>) -> impl Iterator<Item = Named> {
    values.iter().map(|(name, value)| (name.clone(), value.to_string()))
}

fn updates(values: impl IntoIterator<Item = Named>) -> Items {
    Items { update: values.into_iter().map(item).collect(), remove: vec![] }
}

fn item((key, value_json): Named) -> Item {
    Item { key, value_json, ..Item::default() }
}

fn whole_secs(secs: f64) -> i32 {
    secs as i32
}
