//! Reads the next request from a journal.

use super::batch::{Batch, LARGEST_REQUEST, LineFile};
use super::console::Structured;
use super::log::{LogError, Position};
use super::side::Lane;
use super::source::{Next, Source};
use super::stream::{Line, Share, Shift, Told, console_line, event_line, row_line};

/// A refused request is halved down to this; then records are sent one by one.
const SMALL_REQUEST: usize = 64 << 10;
/// Times a single line is refused before only its place is sent.
const MOST_REFUSALS: u32 = 3;

/// How lines are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// How printed lines are.
    pub(super) structured: Structured,
    /// How far rows are moved.
    pub(super) shift: Shift,
}

/// How much goes into a request: less while the server refuses what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Portion {
    limit: usize,
    refusals: u32,
    share: Share,
}

impl Default for Portion {
    fn default() -> Self {
        Self { limit: LARGEST_REQUEST, refusals: 0, share: Share::Whole }
    }
}

impl Portion {
    /// The server refused a request of so many bytes for what is in it: half of it is tried, at the end one line, and then
    /// only its place.
    pub(super) fn refused(&mut self, bytes: usize) {
        let half = self.limit.min(bytes) / 2;
        if half > SMALL_REQUEST {
            self.limit = half;
            return;
        }
        if self.limit > 1 {
            self.limit = 1;
            return;
        }
        self.refusals += 1;
        if self.refusals >= MOST_REFUSALS {
            self.share = Share::PlaceOnly;
        }
    }

    /// Requests of at most so many bytes.
    #[cfg(test)]
    pub(super) fn of(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Whether the server refused even a single line.
    pub(super) fn is_place_only(&self) -> bool {
        self.share == Share::PlaceOnly
    }

    /// The server took a request: the next one may be twice as large.
    pub(super) fn taken(&mut self) {
        let limit = self.limit.saturating_mul(2).clamp(SMALL_REQUEST, LARGEST_REQUEST);
        *self = Self { limit, ..Self::default() };
    }
}

/// A journal, and the lines read from it that did not fit into the last request.
#[derive(Debug)]
pub(super) struct Gatherer {
    /// The journal.
    pub(super) source: Source,
    carried: Vec<(LineFile, u64, Line)>,
}

/// What was read for a request.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Its lines.
    pub(super) batch: Batch,
    /// All of the journal before here is in it or was sent.
    pub(super) end: Position,
    /// Rows up to there.
    pub(super) rows: u64,
    /// Whether the journal was read to its end.
    pub(super) is_all: bool,
    /// Whether the summary is another.
    pub(super) has_summary: bool,
    /// Whether the configuration is another.
    pub(super) has_config: bool,
    /// Whether a pause is coming.
    pub(super) is_preempting: bool,
    /// What else stands there from where on.
    pub(super) marks: Vec<(Lane, Position)>,
    /// What the server will not have.
    pub(super) losses: Vec<String>,
}

impl Gatherer {
    /// Goes on where the journal stands.
    pub(super) fn new(source: Source) -> Self {
        Self { source, carried: Vec::new() }
    }

    /// Reads until a request is full or the journal ends. At least one record is taken, however long.
    ///
    /// # Errors
    /// [`LogError`] if the journal can not be read. What was read before is lost: it is to be opened again.
    pub(super) fn gather(&mut self, form: Form, portion: Portion) -> Result<Gathered, LogError> {
        let mut got =
            Gathered { end: self.source.position, rows: self.source.fold.rows, ..Gathered::default() };
        let carried = std::mem::take(&mut self.carried);
        got.put(carried);
        loop {
            let lines = match self.source.next()? {
                Next::End => {
                    got.is_all = true;
                    break;
                }
                Next::Damage(from, to) => {
                    got.losses.push(format!(
                        "bytes {from} to {to} of the journal are damaged, what stood there is lost"
                    ));
                    got.end = self.source.position;
                    continue;
                }
                Next::Told(at, told) => {
                    let share = if got.batch.is_empty() { portion.share } else { Share::Whole };
                    got.take(at, told, form, share)
                }
            };
            let bytes: usize = lines.iter().map(|(_, _, line)| line.text.len()).sum();
            if !got.batch.is_empty() && got.batch.bytes() + bytes > portion.limit {
                self.carried = lines;
                break;
            }
            got.put(lines);
            got.end = self.source.position;
            got.rows = self.source.fold.rows;
            if got.batch.bytes() >= portion.limit {
                break;
            }
        }
        Ok(got)
    }

    /// Whether lines were read that are not sent.
    pub(super) fn has_carried(&self) -> bool {
        !self.carried.is_empty()
    }
}

impl Gathered {
    /// Notes what a record adds, and gives its lines.
    fn take(&mut self, at: Position, told: Told, form: Form, share: Share) -> Vec<(LineFile, u64, Line)> {
        match told {
            Told::Row(number, items) => {
                return vec![(LineFile::History, number, row_line(items, form.shift, share))];
            }
            Told::Event(number, event) => {
                return vec![(LineFile::Events, number, event_line(event, form.shift, share))];
            }
            Told::Console(lines) => {
                let line = |line: super::console::ConsoleLine| {
                    (LineFile::Console, line.number, console_line(line, form.structured, share))
                };
                return lines.into_iter().map(line).collect();
            }
            Told::Summary => self.has_summary = true,
            Told::Exit => self.has_summary = true,
            Told::Config => self.has_config = true,
            Told::Preempting => self.is_preempting = true,
            Told::Files(lanes) => lanes.into_iter().for_each(|lane| self.mark(lane, at)),
            Told::Artifact => self.mark(Lane::Artifacts, at),
            Told::Alert => self.mark(Lane::Alerts, at),
            Told::Nothing => {}
        }
        Vec::new()
    }

    fn mark(&mut self, lane: Lane, at: Position) {
        if !self.marks.iter().any(|(known, _)| *known == lane) {
            self.marks.push((lane, at));
        }
    }

    fn put(&mut self, lines: Vec<(LineFile, u64, Line)>) {
        for (file, number, line) in lines {
            if !line.left_out.is_empty() {
                self.losses.push(too_long(file, number, &line.left_out));
            }
            self.batch.put(file, number, line.text);
        }
    }
}

/// Says what was too long, and where it still is.
fn too_long(file: LineFile, number: u64, keys: &[String]) -> String {
    let what = match file {
        LineFile::History => "row",
        LineFile::Events => "line of system metrics",
        LineFile::Console => "line printed",
    };
    let named = keys.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
    let further = keys.len().saturating_sub(5);
    let further = if further > 0 { format!(" and {further} more") } else { String::new() };
    format!(
        "{what} {number} is too long for the server, or was refused: sent without {named}{further}, which stand in the journal and, \
         if they are metrics, in metrics.csv"
    )
}
