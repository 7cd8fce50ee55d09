//! What the records of a journal come to: the lines of a run's files on the server, and its state beside them.
//!
//! [`Fold`] is a function of the journal's beginning: read again from there, it is the same. So a cursor holds where it
//! was, and not what it was.

use super::config::Config;
use super::console::{Console, ConsoleLine, Structured};
use super::record::{Exit, Item, Items, Kind, Record, Run, Timestamp};
use super::side::Lane;
use super::tree::{self, Tree, path_of, value_of};

/// Bytes a line may have.
///
/// # Sources
/// W&B client 0.31.0: a request holds 10 MiB, a row 100 KiB less.
pub(super) const LONGEST_LINE: usize = (10 << 20) - (100 << 10);
/// Bytes of a value that stays in a row which is too long.
const SHORT_VALUE: usize = 1024;
/// Bytes of the summary that are sent with every request; its longest values are left out beyond.
const LONGEST_SUMMARY: usize = 4 << 20;
/// What a row is found by.
const PLACE: [&str; 4] = ["_step", "_timestamp", "_runtime", "_wandb"];

/// A run so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Fold {
    /// What it is filed under; `None` before its record came.
    pub(super) run: Option<Run>,
    /// Its configuration.
    pub(super) config: Config,
    /// Its end.
    pub(super) exit: Option<Exit>,
    /// Rows so far.
    pub(super) rows: u64,
    /// Lines of system metrics so far.
    pub(super) events: u64,
    /// `_step` of the last row.
    pub(super) last_step: i64,
    summary: Tree,
    console: Console,
    started: Timestamp,
    ran_before: f64,
}

/// What a record adds.
#[derive(Debug)]
pub(super) enum Told {
    /// Nothing that is sent.
    Nothing,
    /// Line of the history by its number.
    Row(u64, Vec<Item>),
    /// Line of system metrics by its number.
    Event(u64, Event),
    /// Lines printed, new or changed.
    Console(Vec<ConsoleLine>),
    /// The summary is another.
    Summary,
    /// The configuration is another, or what the run is filed under.
    Config,
    /// Files, and when they are to be sent: one to be sent whenever it changes is sent now and at the end.
    Files(Vec<Lane>),
    /// An artifact.
    Artifact,
    /// An alert.
    Alert,
    /// A pause is coming.
    Preempting,
    /// The end.
    Exit,
}

/// System metrics at one time.
#[derive(Debug)]
pub(super) struct Event {
    at: f64,
    ran: f64,
    items: Vec<Item>,
}

/// How far a run that goes on where the server's rows end is moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Shift {
    /// Added to every `_step`.
    pub(super) step: i64,
    /// Seconds, added to every `_runtime`.
    pub(super) runtime: f64,
}

/// How much of a line is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// All that a line may hold.
    Whole,
    /// Only where it stands: the server refused the rest.
    PlaceOnly,
}

/// A line as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its text.
    pub(super) text: String,
    /// Keys that were too long for it.
    pub(super) left_out: Vec<String>,
}

impl Fold {
    /// Takes the next record.
    #[must_use = "what it adds is to be sent"]
    pub(super) fn apply(&mut self, record: Record) -> Told {
        match record.kind {
            Some(Kind::Run(run)) => self.begin(run),
            Some(Kind::History(row)) => {
                self.exit = None;
                let mut items = row.item;
                let step = row.step.unwrap_or_default().num;
                if !items.iter().any(|item| path_of(item) == ["_step"]) {
                    let value_json = step.to_string();
                    items.push(Item { key: "_step".to_owned(), value_json, ..Item::default() });
                }
                self.last_step = step;
                self.rows += 1;
                Told::Row(self.rows - 1, items)
            }
            Some(Kind::Summary(items)) => {
                set_all(&mut self.summary, items);
                Told::Summary
            }
            Some(Kind::Config(items)) => {
                self.config.update(items);
                Told::Config
            }
            Some(Kind::Stats(stats)) if !stats.item.is_empty() => {
                let at = stats.timestamp.unwrap_or(self.started);
                self.events += 1;
                let ran = seconds_between(self.started, at) + self.ran_before;
                Told::Event(self.events - 1, Event { at: seconds(at), ran, items: stats.item })
            }
            Some(Kind::OutputRaw(output)) => {
                let at = output.timestamp.unwrap_or_default();
                Told::Console(self.console.feed(output.output_type == 0, at, &output.line))
            }
            Some(Kind::Metric(metric)) => {
                self.config.define(metric);
                Told::Config
            }
            Some(Kind::Telemetry(telemetry)) => {
                self.config.written_by(telemetry);
                Told::Config
            }
            Some(Kind::Environment(environment)) => {
                self.config.ran_on(environment);
                Told::Config
            }
            Some(Kind::Files(files)) => {
                let any = |not: i32| files.files.iter().any(|file| file.policy != not);
                let lanes = [(Lane::Files, any(1)), (Lane::LastFiles, any(0))];
                Told::Files(lanes.into_iter().filter_map(|(lane, any)| any.then_some(lane)).collect())
            }
            Some(Kind::Artifact(_)) => Told::Artifact,
            Some(Kind::Alert(_)) => Told::Alert,
            Some(Kind::Preempting(_)) => Told::Preempting,
            Some(Kind::Exit(exit)) => {
                let runtime = exit.runtime;
                self.exit = Some(exit);
                let summary = &mut self.summary;
                if summary.get("_wandb").is_none_or(|wandb| wandb.get("runtime").is_none()) {
                    summary.set(["_wandb", "runtime"], Tree::leaf(runtime.to_string()));
                }
                Told::Exit
            }
            Some(Kind::Stats(_) | Kind::Header(_)) | None => Told::Nothing,
        }
    }

    /// A run, or the next part of one: what it is filed under stays, its time goes on.
    fn begin(&mut self, mut run: Run) -> Told {
        self.exit = None;
        self.started = run.start_time.unwrap_or(self.started);
        self.ran_before = f64::from(run.runtime);
        self.config.update(run.config.take().unwrap_or_default());
        set_all(&mut self.summary, run.summary.take().unwrap_or_default());
        if let Some(telemetry) = run.telemetry.take() {
            self.config.written_by(telemetry);
        }
        self.run.get_or_insert(run);
        Told::Config
    }

    /// Lines printed so far.
    pub(super) fn console_lines(&self) -> u64 {
        self.console.lines()
    }

    /// The whole summary as one line, over what the server held before. Its longest values are left out where it is too
    /// long.
    pub(super) fn summary(&self, before: Option<&str>, shift: Shift) -> Line {
        let mut all = before.map(Tree::parse).unwrap_or_default();
        for (key, value) in std::mem::take(self.summary.clone().members()) {
            all.set([key.as_str()], value);
        }
        move_by(&mut all, shift);
        fit(all, LONGEST_SUMMARY)
    }
}

/// A row of the history as a line.
pub(super) fn row_line(items: Vec<Item>, shift: Shift, share: Share) -> Line {
    let mut row = tree_of(items);
    move_by(&mut row, shift);
    match share {
        Share::Whole => fit(row, LONGEST_LINE),
        Share::PlaceOnly => place_only(row),
    }
}

/// System metrics as a line.
pub(super) fn event_line(event: Event, shift: Shift, share: Share) -> Line {
    let mut line = Tree::default();
    for item in event.items {
        let key = format!("system.{}", path_of(&item).join("."));
        line.set([key.as_str()], Tree::leaf(value_of(item)));
    }
    line.set(["_wandb"], Tree::leaf("true"));
    line.set(["_timestamp"], Tree::leaf(tree::number(event.at)));
    line.set(["_runtime"], Tree::leaf(tree::number(event.ran + shift.runtime)));
    match share {
        Share::Whole => fit(line, LONGEST_LINE),
        Share::PlaceOnly => place_only(line),
    }
}

/// What was printed as a line.
pub(super) fn console_line(mut line: ConsoleLine, structured: Structured, share: Share) -> Line {
    let mut left_out = Vec::new();
    if share == Share::PlaceOnly {
        line.text.clear();
        left_out.push("its text".to_owned());
    }
    Line { text: line.write(structured), left_out }
}

/// The line, without its longest values where it is too long.
fn fit(mut values: Tree, limit: usize) -> Line {
    let text = values.to_json();
    if text.len() <= limit {
        return Line { text, left_out: Vec::new() };
    }
    let left_out = values.shorten(&PLACE, SHORT_VALUE, limit / 2);
    Line { text: values.to_json(), left_out }
}

fn place_only(mut values: Tree) -> Line {
    let left_out = values.shorten(&PLACE, 0, 0);
    Line { text: values.to_json(), left_out }
}

fn move_by(values: &mut Tree, shift: Shift) {
    if shift == Shift::default() {
        return;
    }
    if let Some(step) = values.get("_step").and_then(|step| step.to_json().parse::<i64>().ok()) {
        values.set(["_step"], Tree::leaf(step.saturating_add(shift.step).to_string()));
    }
    if let Some(ran) = values.number("_runtime") {
        values.set(["_runtime"], Tree::leaf(tree::number(ran + shift.runtime)));
    }
}

/// The values of a row.
pub(super) fn tree_of(items: Vec<Item>) -> Tree {
    let mut out = Tree::default();
    set_all(&mut out, Items { update: items, remove: Vec::new() });
    out
}

fn set_all(values: &mut Tree, items: Items) {
    for item in items.update {
        let path: Vec<String> = path_of(&item).into_iter().map(str::to_owned).collect();
        values.set(path.iter().map(String::as_str), Tree::leaf(value_of(item)));
    }
    for item in &items.remove {
        values.remove(&path_of(item));
    }
}

/// Seconds from one time to another.
fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    // A run is far shorter than the 104 days whose nanoseconds have 53 bits; beyond, the last ones are rounded.
    let nanos = |at: Timestamp| i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
    (nanos(to) - nanos(from)) as f64 / 1e9
}

/// Seconds since 1970, to the microsecond that the server keeps.
fn seconds(at: Timestamp) -> f64 {
    // Microseconds since 1970 have 53 bits until the year 2255.
    let micros = i128::from(at.seconds) * 1_000_000 + (i128::from(at.nanos) + 500) / 1000;
    micros as f64 / 1e6
}
