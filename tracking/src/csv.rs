//! `metrics.csv`: what was logged during a run, laid out as Lightning's `CSVLogger` does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::atomic::{self, AtomicError};
use crate::line_file::{LineFile, LineFileError};
use crate::metric::{self, MetricPoint, Metrics, RunPlace};

/// Columns that stand before the metrics.
const PLACE_COLUMNS: [&str; 2] = ["epoch", "step"];

/// Why metrics could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CsvError {
    /// The file refuses lines.
    #[error(transparent)]
    File(#[from] LineFileError),
    /// The file with further columns could not be put in place.
    #[error(transparent)]
    Rewrite(#[from] AtomicError),
    /// The file could not be read or copied on the way to further columns or fewer rows.
    #[error("can not copy the metrics written so far, check the free space of the disk: {}", path.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is there was not written by this module.
    #[error("the file does not begin with the columns epoch and step, move it away: {}", path.display())]
    NotMetrics {
        /// The file.
        path: PathBuf,
    },
    /// A metric's name can be no column.
    #[error("metric {name:?} can not be a column, give it a name without line breaks that is neither `epoch` nor `step`: {}", path.display())]
    UnusableName {
        /// Name of the metric.
        name: String,
        /// The file.
        path: PathBuf,
    },
}

/// The metrics file of one run, added to by one writer.
///
/// Columns are `epoch`, `step`, then the metrics in the order they appear, those that appear in one row by name. A
/// cell is blank where nothing was logged; values that are not finite are written `nan`, `inf` and `-inf`. A metric
/// seen for the first time rewrites the file once with a column more; otherwise the cost is that of the new rows.
#[derive(Debug)]
pub struct MetricsCsv {
    file: LineFile,
    columns: Columns,
    /// A rewrite failed: whether the old or the new file stands under the name is not known here.
    is_in_doubt: bool,
}

/// Place of each metric among the metric columns.
#[derive(Debug, Default)]
struct Columns {
    names: Vec<String>,
    places: BTreeMap<String, usize>,
}

impl Columns {
    fn push(&mut self, name: String) {
        self.places.insert(name.clone(), self.names.len());
        self.names.push(name);
    }

    fn header(&self) -> String {
        let names = PLACE_COLUMNS.into_iter().chain(self.names.iter().map(String::as_str));
        let mut header = names.map(quoted).collect::<Vec<_>>().join(",");
        header.push('\n');
        header
    }
}

impl MetricsCsv {
    /// Opens the file, made where there is none. Rows already there stay until [`MetricsCsv::go_on_from`] says which come
    /// anew, except a last one torn by a crash.
    ///
    /// # Errors
    /// [`CsvError`] if the file can not be opened for writing or holds something else.
    pub fn create(path: &Path) -> Result<Self, CsvError> {
        let file = LineFile::open(path)?;
        let mut columns = Columns::default();
        if !file.is_empty() {
            read_header(path)?.into_iter().for_each(|name| columns.push(name));
        }
        Ok(Self { file, columns, is_in_doubt: false })
    }

    /// Adds rows: one for each (epoch, step) among the points, in order, the later value winning. They are with the
    /// operating system when this returns, and on the disk after [`MetricsCsv::close`]. Points without values leave
    /// no row.
    ///
    /// # Errors
    /// [`CsvError`] if a name can be no column or the file refuses; it then holds what it held.
    pub fn append(&mut self, points: &[MetricPoint]) -> Result<(), CsvError> {
        let rows = metric::rows(points);
        if rows.is_empty() {
            return Ok(());
        }
        if self.is_in_doubt {
            *self = Self::create(self.file.path())?;
        }
        let fresh = self.fresh_names(&rows)?;
        if !fresh.is_empty() {
            self.widen(fresh)?;
        }
        let mut lines = String::new();
        for ((epoch, step), values) in &rows {
            self.write_row(&mut lines, (*epoch, *step), values);
        }
        Ok(self.file.append(&lines)?)
    }

    /// Drops the rows that come anew: the first at this place or behind it, or out of the order of places (what follows the
    /// course of a run steps back: a test of its best weights), and all after that one. Without a place all of them, columns
    /// included. In one step: a crash leaves the old file or the new one.
    ///
    /// # Errors
    /// [`CsvError`] if the file can not be read or replaced; it then holds what it held.
    pub fn go_on_from(&mut self, place: Option<RunPlace>) -> Result<(), CsvError> {
        if self.file.is_empty() {
            return Ok(());
        }
        let path = self.file.path().to_owned();
        let copied = |source| CsvError::Copy { path: path.clone(), source };
        let kept = match place {
            Some(place) => rows_before(&path, place).map_err(copied)?,
            None => Kept::Rows(0),
        };
        let Kept::Rows(kept) = kept else { return Ok(()) };
        self.file.sync()?;
        atomic::write(&path, |aside| {
            if kept == 0 { Ok(()) } else { copy_first(&path, aside, kept).map_err(copied) }
        })?;
        self.file = LineFile::open(&path)?;
        if kept == 0 {
            self.columns = Columns::default();
        }
        Ok(())
    }

    /// Brings the rows so far to the disk.
    ///
    /// # Errors
    /// [`CsvError::File`] if the disk refuses.
    pub fn sync(&mut self) -> Result<(), CsvError> {
        Ok(self.file.sync()?)
    }

    /// Brings the file to the disk.
    ///
    /// # Errors
    /// [`CsvError::File`] if the disk refuses.
    pub fn close(mut self) -> Result<(), CsvError> {
        Ok(self.file.sync()?)
    }

    /// In the order of rows, so that columns do not hang on how rows came together.
    fn fresh_names(&self, rows: &[((u32, u64), Metrics)]) -> Result<Vec<String>, CsvError> {
        let mut fresh = Vec::new();
        let mut seen = BTreeSet::new();
        for name in rows.iter().flat_map(|(_, values)| values.keys()) {
            if self.columns.places.contains_key(name) || !seen.insert(name) {
                continue;
            }
            if PLACE_COLUMNS.contains(&name.as_str()) || name.contains(['\n', '\r']) {
                return Err(CsvError::UnusableName { name: name.clone(), path: self.file.path().to_owned() });
            }
            fresh.push(name.clone());
        }
        Ok(fresh)
    }

    /// Writes the file anew with further columns, blank in the rows already there.
    fn widen(&mut self, fresh: Vec<String>) -> Result<(), CsvError> {
        let path = self.file.path().to_owned();
        let padding = ",".repeat(fresh.len());
        let mut wider = Columns::default();
        self.columns.names.iter().cloned().chain(fresh).for_each(|name| wider.push(name));
        self.file.sync()?;
        self.is_in_doubt = true;
        atomic::write(&path, |aside| {
            copy_padded(&path, aside, &wider.header(), &padding)
                .map_err(|source| CsvError::Copy { path: path.clone(), source })
        })?;
        self.file = LineFile::open(&path)?;
        self.columns = wider;
        self.is_in_doubt = false;
        Ok(())
    }

    fn write_row(&self, lines: &mut String, (epoch, step): (u32, u64), values: &Metrics) {
        let mut cells = vec![None; self.columns.names.len()];
        for (name, value) in values {
            cells[self.columns.places[name]] = Some(*value);
        }
        lines.push_str(&format!("{epoch},{step}"));
        for cell in cells {
            lines.push(',');
            if let Some(value) = cell {
                lines.push_str(&number(value));
            }
        }
        lines.push('\n');
    }
}

/// The shortest text that reads back as the same number, in the words pandas knows.
fn number(value: f64) -> String {
    match value {
        nan if nan.is_nan() => "nan".to_owned(),
        f64::INFINITY => "inf".to_owned(),
        f64::NEG_INFINITY => "-inf".to_owned(),
        // `{:?}` turns to exponents where `{}` would write hundreds of zeros.
        finite => format!("{finite:?}"),
    }
}

/// A field as RFC 4180 writes it.
fn quoted(field: &str) -> String {
    if field.contains([',', '"']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() }
}

/// Takes a line apart, by RFC 4180.
#[must_use]
pub fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars().peekable();
    let mut within_quotes = false;
    while let Some(character) = characters.next() {
        let Some(field) = fields.last_mut() else { break };
        match character {
            '"' if within_quotes && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => within_quotes = !within_quotes,
            ',' if !within_quotes => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

/// The metric columns of a file that has a first line.
fn read_header(path: &Path) -> Result<Vec<String>, CsvError> {
    let not_metrics = || CsvError::NotMetrics { path: path.to_owned() };
    let mut header = String::new();
    let file = File::open(path).map_err(|source| LineFileError::Open { path: path.to_owned(), source })?;
    BufReader::new(file).read_line(&mut header).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData => not_metrics(),
        _ => LineFileError::Open { path: path.to_owned(), source }.into(),
    })?;
    let mut names = fields(header.trim_end_matches(['\n', '\r']));
    let metrics =
        if names.len() >= PLACE_COLUMNS.len() { names.split_off(PLACE_COLUMNS.len()) } else { vec![] };
    if names != PLACE_COLUMNS || metrics.iter().collect::<BTreeSet<_>>().len() != metrics.len() {
        return Err(not_metrics());
    }
    Ok(metrics)
}

/// Copies a file line by line under a new header, each row longer by `padding`.
fn copy_padded(from: &Path, to: &mut File, header: &str, padding: &str) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    to.write_all(header.as_bytes())?;
    for line in BufReader::new(File::open(from)?).lines().skip(1) {
        writeln!(to, "{}{padding}", line?)?;
    }
    to.flush()
}

/// How much of a file belongs to a run that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    All,
    /// So many of the first rows.
    Rows(u64),
}

/// The rows before the first one at this place, behind it, or out of order.
fn rows_before(path: &Path, place: RunPlace) -> io::Result<Kept> {
    let mut last = None;
    for (row, line) in (0..).zip(BufReader::new(File::open(path)?).lines().skip(1)) {
        let here = place_of(&line?);
        // A row that can not be read was not written here; nothing is kept behind it.
        if here.is_none() || here >= Some(place) || here <= last {
            return Ok(Kept::Rows(row));
        }
        last = here;
    }
    Ok(Kept::All)
}

/// The first two cells of a row.
fn place_of(row: &str) -> Option<RunPlace> {
    let mut cells = row.splitn(3, ',');
    let (epoch, step) = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
    Some(RunPlace { epoch, step })
}

/// Copies the header and so many rows.
fn copy_first(from: &Path, to: &mut File, rows: u64) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    let mut from = BufReader::new(File::open(from)?);
    let mut line = Vec::new();
    for _ in 0..=rows {
        line.clear();
        from.read_until(b'\n', &mut line)?;
        to.write_all(&line)?;
    }
    to.flush()
}

#[cfg(test)]
#[path = "csv_tests.rs"]
mod tests;
