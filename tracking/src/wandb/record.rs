//! The records of a `run-<id>.wandb` file, as protobuf messages.
//!
//! Only the fields that are written or read here; what other clients write beside them is skipped on reading.
//!
//! # Sources
//! Field numbers: `wandb_internal.proto` of the official client 0.31.0.

use std::collections::HashMap;

use prost::Message;

/// One record of the file. Numbered from 1 without gaps.
#[derive(Clone, PartialEq, Message)]
pub struct Record {
    /// Number of the record, from 1.
    #[prost(int64, tag = "1")]
    pub num: i64,
    /// For the official client's own routing; any slot on `Run` and `Exit` keeps its older `sync` from hanging.
    #[prost(message, optional, tag = "16")]
    pub control: Option<Control>,
    /// What it records; `None` for kinds not listed here.
    #[prost(oneof = "Kind", tags = "2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 17, 18, 21, 23, 26")]
    pub kind: Option<Kind>,
}

/// What a record records.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// A row of the history.
    #[prost(message, tag = "2")]
    History(History),
    /// Values of the summary.
    #[prost(message, tag = "3")]
    Summary(Items),
    /// Values of the configuration.
    #[prost(message, tag = "5")]
    Config(Items),
    /// Files of the run, whole on disk.
    #[prost(message, tag = "6")]
    Files(Files),
    /// System metrics.
    #[prost(message, tag = "7")]
    Stats(Stats),
    /// An artifact.
    #[prost(message, tag = "8")]
    Artifact(Artifact),
    /// An alert.
    #[prost(message, tag = "10")]
    Alert(Alert),
    /// What wrote the file.
    #[prost(message, tag = "11")]
    Telemetry(Telemetry),
    /// The definition of a metric.
    #[prost(message, tag = "12")]
    Metric(Metric),
    /// What the run printed.
    #[prost(message, tag = "13")]
    OutputRaw(OutputRaw),
    /// The run.
    #[prost(message, tag = "17")]
    Run(Run),
    /// The end of the run.
    #[prost(message, tag = "18")]
    Exit(Exit),
    /// The first record.
    #[prost(message, tag = "21")]
    Header(Header),
    /// A pause is coming.
    #[prost(message, tag = "23")]
    Preempting(Preempting),
    /// The machine and the program.
    #[prost(message, tag = "26")]
    Environment(Environment),
}

/// See [`Record::control`].
#[derive(Clone, PartialEq, Message)]
pub struct Control {
    /// Any text.
    #[prost(string, tag = "4")]
    pub mailbox_slot: String,
}

/// The first record.
#[derive(Clone, PartialEq, Message)]
pub struct Header {
    /// Who wrote the file.
    #[prost(message, optional, tag = "1")]
    pub version_info: Option<VersionInfo>,
}

/// Versions of writer and readers.
#[derive(Clone, PartialEq, Message)]
pub struct VersionInfo {
    /// Version of the writer.
    #[prost(string, tag = "1")]
    pub producer: String,
    /// Oldest version that can read the file.
    #[prost(string, tag = "2")]
    pub min_consumer: String,
}

/// The run as the server is to file it.
#[derive(Clone, PartialEq, Message)]
pub struct Run {
    /// Its id.
    #[prost(string, tag = "1")]
    pub run_id: String,
    /// Owner of the project; empty for the user's default.
    #[prost(string, tag = "2")]
    pub entity: String,
    /// Its project.
    #[prost(string, tag = "3")]
    pub project: String,
    /// Its configuration.
    #[prost(message, optional, tag = "4")]
    pub config: Option<Items>,
    /// Its summary at the start.
    #[prost(message, optional, tag = "5")]
    pub summary: Option<Items>,
    /// Its group.
    #[prost(string, tag = "6")]
    pub run_group: String,
    /// Its job type.
    #[prost(string, tag = "7")]
    pub job_type: String,
    /// Its name.
    #[prost(string, tag = "8")]
    pub display_name: String,
    /// Notes.
    #[prost(string, tag = "9")]
    pub notes: String,
    /// Tags.
    #[prost(string, repeated, tag = "10")]
    pub tags: Vec<String>,
    /// The sweep it belongs to.
    #[prost(string, tag = "12")]
    pub sweep_id: String,
    /// Name of the machine.
    #[prost(string, tag = "13")]
    pub host: String,
    /// `_step` of its first row.
    #[prost(int64, tag = "14")]
    pub starting_step: i64,
    /// When it began.
    #[prost(message, optional, tag = "17")]
    pub start_time: Option<Timestamp>,
    /// Whether it goes on from an earlier part.
    #[prost(bool, tag = "18")]
    pub resumed: bool,
    /// What wrote the file.
    #[prost(message, optional, tag = "19")]
    pub telemetry: Option<Telemetry>,
    /// Seconds it ran before.
    #[prost(int32, tag = "20")]
    pub runtime: i32,
    /// Where its code comes from.
    #[prost(message, optional, tag = "21")]
    pub git: Option<Git>,
}

/// Where code comes from.
#[derive(Clone, PartialEq, Message)]
pub struct Git {
    /// Address of the repository.
    #[prost(string, tag = "1")]
    pub remote_url: String,
    /// Hash of the commit.
    #[prost(string, tag = "2")]
    pub commit: String,
}

/// A value with its key.
#[derive(Clone, PartialEq, Message)]
pub struct Item {
    /// The key, unless it is nested.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The key's parts, where it is nested; `key` is then empty.
    #[prost(string, repeated, tag = "2")]
    pub nested_key: Vec<String>,
    /// The value, where the official client wrote it by its type; `value_json` is then empty. Not written by us.
    #[prost(oneof = "Typed", tags = "3, 4, 5, 6, 7, 8")]
    pub typed: Option<Typed>,
    /// The value as JSON with the bare words NaN, Infinity and -Infinity.
    #[prost(string, tag = "16")]
    pub value_json: String,
}

/// See [`Item::typed`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Typed {
    /// Null.
    #[prost(int32, tag = "3")]
    None(i32),
    /// True or false.
    #[prost(bool, tag = "4")]
    Boolean(bool),
    /// A whole number.
    #[prost(sint64, tag = "5")]
    Integer(i64),
    /// A number.
    #[prost(double, tag = "6")]
    Number(f64),
    /// A text.
    #[prost(string, tag = "7")]
    Text(String),
    /// Anything else, as JSON.
    #[prost(string, tag = "8")]
    Json(String),
}

/// Values to set and keys to remove: a summary or a configuration.
#[derive(Clone, PartialEq, Message)]
pub struct Items {
    /// Values to set.
    #[prost(message, repeated, tag = "1")]
    pub update: Vec<Item>,
    /// Keys to remove.
    #[prost(message, repeated, tag = "2")]
    pub remove: Vec<Item>,
}

/// A row.
#[derive(Clone, PartialEq, Message)]
pub struct History {
    /// Its values, `_step`, `_timestamp` and `_runtime` among them.
    #[prost(message, repeated, tag = "1")]
    pub item: Vec<Item>,
    /// Its number.
    #[prost(message, optional, tag = "2")]
    pub step: Option<Step>,
}

/// Number of a row.
#[derive(Clone, PartialEq, Message)]
pub struct Step {
    /// From 0, without gaps.
    #[prost(int64, tag = "1")]
    pub num: i64,
}

/// The definition of a metric.
#[derive(Clone, PartialEq, Message)]
pub struct Metric {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// A pattern in place of a name.
    #[prost(string, tag = "2")]
    pub glob_name: String,
    /// The metric on its x axis.
    #[prost(string, tag = "4")]
    pub step_metric: String,
    /// How it is shown.
    #[prost(message, optional, tag = "6")]
    pub options: Option<MetricOptions>,
    /// What the summary holds of it.
    #[prost(message, optional, tag = "7")]
    pub summary: Option<MetricSummary>,
    /// 0 none, 1 minimize, 2 maximize.
    #[prost(int32, tag = "8")]
    pub goal: i32,
}

/// How a metric is shown.
#[derive(Clone, PartialEq, Message)]
pub struct MetricOptions {
    /// Rows without the step metric get its last value.
    #[prost(bool, tag = "1")]
    pub step_sync: bool,
    /// It is not charted.
    #[prost(bool, tag = "2")]
    pub hidden: bool,
    /// It was defined by name.
    #[prost(bool, tag = "3")]
    pub defined: bool,
}

/// What the summary holds of a metric.
#[derive(Clone, PartialEq, Message)]
pub struct MetricSummary {
    /// The least.
    #[prost(bool, tag = "1")]
    pub min: bool,
    /// The greatest.
    #[prost(bool, tag = "2")]
    pub max: bool,
    /// The mean.
    #[prost(bool, tag = "3")]
    pub mean: bool,
    /// The best by the goal.
    #[prost(bool, tag = "4")]
    pub best: bool,
    /// The last.
    #[prost(bool, tag = "5")]
    pub last: bool,
    /// Nothing.
    #[prost(bool, tag = "6")]
    pub none: bool,
    /// The first.
    #[prost(bool, tag = "8")]
    pub first: bool,
}

/// Files of the run.
#[derive(Clone, PartialEq, Message)]
pub struct Files {
    /// The files.
    #[prost(message, repeated, tag = "1")]
    pub files: Vec<FilesItem>,
}

/// A file of the run.
#[derive(Clone, PartialEq, Message)]
pub struct FilesItem {
    /// Path below `files/`.
    #[prost(string, tag = "1")]
    pub path: String,
    /// 0 upload now, 1 at the end, 2 whenever it changes.
    #[prost(int32, tag = "2")]
    pub policy: i32,
    /// 0 other, 1 the client's own, 2 media, 3 artifact.
    #[prost(int32, tag = "3")]
    pub r#type: i32,
}

/// System metrics at one time.
#[derive(Clone, PartialEq, Message)]
pub struct Stats {
    /// 0: of the system.
    #[prost(int32, tag = "1")]
    pub stats_type: i32,
    /// When.
    #[prost(message, optional, tag = "2")]
    pub timestamp: Option<Timestamp>,
    /// The values; keys without `system.`.
    #[prost(message, repeated, tag = "3")]
    pub item: Vec<Item>,
}

/// An alert.
#[derive(Clone, PartialEq, Message)]
pub struct Alert {
    /// Its title.
    #[prost(string, tag = "1")]
    pub title: String,
    /// Its text.
    #[prost(string, tag = "2")]
    pub text: String,
    /// INFO, WARN or ERROR.
    #[prost(string, tag = "3")]
    pub level: String,
    /// Milliseconds before another of the same title is sent.
    #[prost(int64, tag = "4")]
    pub wait_duration: i64,
}

/// What wrote the file.
#[derive(Clone, PartialEq, Message)]
pub struct Telemetry {
    /// Features used: a message of flags, as its bytes. Not written by us.
    #[prost(bytes = "vec", tag = "3")]
    pub feature: Vec<u8>,
    /// Version of the language; empty.
    #[prost(string, tag = "4")]
    pub python_version: String,
    /// Version of the client whose format this is.
    #[prost(string, tag = "5")]
    pub cli_version: String,
    /// Version of this engine.
    #[prost(string, tag = "12")]
    pub core_version: String,
    /// Like `linux-x86_64`.
    #[prost(string, tag = "13")]
    pub platform: String,
}

/// What the run printed.
#[derive(Clone, PartialEq, Message)]
pub struct OutputRaw {
    /// 0 standard error, 1 standard output.
    #[prost(int32, tag = "1")]
    pub output_type: i32,
    /// When.
    #[prost(message, optional, tag = "2")]
    pub timestamp: Option<Timestamp>,
    /// The text, its line end included.
    #[prost(string, tag = "3")]
    pub line: String,
}

/// The end of the run.
#[derive(Clone, PartialEq, Message)]
pub struct Exit {
    /// 0 if it ended well.
    #[prost(int32, tag = "1")]
    pub exit_code: i32,
    /// Seconds it ran.
    #[prost(int32, tag = "2")]
    pub runtime: i32,
}

/// A pause is coming.
#[derive(Clone, PartialEq, Message)]
pub struct Preempting {}

/// A moment.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Timestamp {
    /// Seconds since 1970, UTC.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds within the second.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// The machine and the program.
#[derive(Clone, PartialEq, Message)]
pub struct Environment {
    /// Operating system.
    #[prost(string, tag = "1")]
    pub os: String,
    /// When the run began.
    #[prost(message, optional, tag = "3")]
    pub started_at: Option<Timestamp>,
    /// Arguments of the program.
    #[prost(string, repeated, tag = "5")]
    pub args: Vec<String>,
    /// The program.
    #[prost(string, tag = "6")]
    pub program: String,
    /// Its code.
    #[prost(string, tag = "7")]
    pub code_path: String,
    /// Where its code comes from.
    #[prost(message, optional, tag = "9")]
    pub git: Option<Git>,
    /// Working folder.
    #[prost(string, tag = "11")]
    pub root: String,
    /// Name of the machine.
    #[prost(string, tag = "12")]
    pub host: String,
    /// The executable.
    #[prost(string, tag = "14")]
    pub executable: String,
    /// Physical cores.
    #[prost(uint32, tag = "16")]
    pub cpu_count: u32,
    /// Logical cores.
    #[prost(uint32, tag = "17")]
    pub cpu_count_logical: u32,
    /// Name of the GPUs.
    #[prost(string, tag = "18")]
    pub gpu_type: String,
    /// Number of GPUs.
    #[prost(uint32, tag = "19")]
    pub gpu_count: u32,
    /// Disks by mount point.
    #[prost(map = "string, message", tag = "20")]
    pub disk: HashMap<String, Disk>,
    /// Main memory.
    #[prost(message, optional, tag = "21")]
    pub memory: Option<Memory>,
    /// Settings of the batch system.
    #[prost(map = "string, string", tag = "27")]
    pub slurm: HashMap<String, String>,
    /// Id of the writer within the run.
    #[prost(string, tag = "199")]
    pub writer_id: String,
}

/// A disk.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Disk {
    /// Bytes in all.
    #[prost(uint64, tag = "1")]
    pub total: u64,
    /// Bytes in use.
    #[prost(uint64, tag = "2")]
    pub used: u64,
}

/// Main memory.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Memory {
    /// Bytes in all.
    #[prost(uint64, tag = "1")]
    pub total: u64,
}

/// An artifact: files under a name, with versions.
#[derive(Clone, PartialEq, Message)]
pub struct Artifact {
    /// The run that made it.
    #[prost(string, tag = "1")]
    pub run_id: String,
    /// Project of the run.
    #[prost(string, tag = "2")]
    pub project: String,
    /// Entity of the project.
    #[prost(string, tag = "3")]
    pub entity: String,
    /// `model` and the like.
    #[prost(string, tag = "4")]
    pub r#type: String,
    /// Its name.
    #[prost(string, tag = "5")]
    pub name: String,
    /// Digest of its manifest.
    #[prost(string, tag = "6")]
    pub digest: String,
    /// Description.
    #[prost(string, tag = "7")]
    pub description: String,
    /// JSON.
    #[prost(string, tag = "8")]
    pub metadata: String,
    /// Whether a person asked for it.
    #[prost(bool, tag = "9")]
    pub user_created: bool,
    /// Whether the run uses it as soon as it is there.
    #[prost(bool, tag = "10")]
    pub use_after_commit: bool,
    /// Further names of this version.
    #[prost(string, repeated, tag = "11")]
    pub aliases: Vec<String>,
    /// Its files.
    #[prost(message, optional, tag = "12")]
    pub manifest: Option<Manifest>,
    /// Whether it is whole; true.
    #[prost(bool, tag = "14")]
    pub finalize: bool,
    /// Id of this version, 128 characters of `[a-z0-9]`.
    #[prost(string, tag = "15")]
    pub client_id: String,
    /// Id of all versions of this name.
    #[prost(string, tag = "16")]
    pub sequence_client_id: String,
    /// Tags.
    #[prost(string, repeated, tag = "19")]
    pub tags: Vec<String>,
    /// How the digest is made.
    #[prost(string, tag = "20")]
    pub digest_algorithm: String,
}

/// The files of an artifact.
#[derive(Clone, PartialEq, Message)]
pub struct Manifest {
    /// 1.
    #[prost(int32, tag = "1")]
    pub version: i32,
    /// `wandb-storage-policy-v1`.
    #[prost(string, tag = "2")]
    pub storage_policy: String,
    /// `storageLayout` is `"V2"`.
    #[prost(message, repeated, tag = "3")]
    pub storage_policy_config: Vec<StoragePolicyItem>,
    /// The files.
    #[prost(message, repeated, tag = "4")]
    pub contents: Vec<ManifestEntry>,
}

/// A setting of the storage policy.
#[derive(Clone, PartialEq, Message)]
pub struct StoragePolicyItem {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value, JSON.
    #[prost(string, tag = "2")]
    pub value_json: String,
}

/// A file of an artifact.
#[derive(Clone, PartialEq, Message)]
pub struct ManifestEntry {
    /// Path within the artifact.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Base64 of its MD5.
    #[prost(string, tag = "2")]
    pub digest: String,
    /// An address in place of a file.
    #[prost(string, tag = "3")]
    pub r#ref: String,
    /// Bytes.
    #[prost(int64, tag = "4")]
    pub size: i64,
    /// MIME type.
    #[prost(string, tag = "5")]
    pub mimetype: String,
    /// Where it lies on this machine; absolute.
    #[prost(string, tag = "6")]
    pub local_path: String,
    /// The artifact that first held it.
    #[prost(string, tag = "7")]
    pub birth_artifact_id: String,
    /// Whether the official client is to send it from where it lies, without a copy of its own first.
    #[prost(bool, tag = "8")]
    pub skip_cache: bool,
}
