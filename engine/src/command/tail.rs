//! The file that a program writes metrics to, read while it grows.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::csv::{CsvTail, Row};

/// A line longer than this is not kept for being read.
pub(super) const LINE_BYTES: usize = 1 << 20;
const CHUNK_BYTES: usize = 64 * 1024;

/// What has come since the last look.
#[derive(Debug, PartialEq)]
pub(super) enum Come {
    Rows(Vec<Row>),
    Lines(Vec<String>),
}

/// The reading of a file of metrics.
#[derive(Debug)]
pub(super) enum Tail {
    Csv(CsvTail),
    Lines(LineTail),
}

/// Whether the program may still write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    Lives,
    IsGone,
}

impl Tail {
    /// Begins with a file that is not there: one of an earlier attempt is moved aside first, whoever writes it anew and however.
    ///
    /// # Errors
    /// What the system says if it can not be moved.
    pub(super) fn begin(path: PathBuf) -> io::Result<Self> {
        set_aside(&path)?;
        let is_csv = path.extension().is_some_and(|extension| extension == "csv");
        Ok(if is_csv { Self::Csv(CsvTail::of(path)) } else { Self::Lines(LineTail::of(path)) })
    }

    /// What has come.
    ///
    /// # Errors
    /// What the system says if the file can not be read.
    pub(super) fn take(&mut self, writer: Writer) -> io::Result<Come> {
        match self {
            Self::Csv(tail) => tail.take().map(Come::Rows),
            Self::Lines(tail) => tail.take(writer).map(Come::Lines),
        }
    }
}

fn set_aside(path: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let mut number = 1_u32;
    loop {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        let aside = path.with_file_name(format!("{stem}-{number}.{extension}"));
        if !aside.exists() {
            return fs::rename(path, aside);
        }
        number += 1;
    }
}

/// Lines of a file that only grows.
#[derive(Debug)]
pub(super) struct LineTail {
    path: PathBuf,
    offset: u64,
    lines: LineBuffer,
}

impl LineTail {
    fn of(path: PathBuf) -> Self {
        Self { path, offset: 0, lines: LineBuffer::default() }
    }

    fn take(&mut self, writer: Writer) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(mut file) => {
                file.seek(SeekFrom::Start(self.offset))?;
                let mut chunk = vec![0; CHUNK_BYTES];
                loop {
                    let count = file.read(&mut chunk)?;
                    if count == 0 {
                        break;
                    }
                    self.offset += count as u64;
                    self.lines.push(&chunk[..count], |line| lines.push(line));
                }
            }
        }
        if writer == Writer::IsGone {
            lines.extend(self.lines.rest());
        }
        Ok(lines)
    }
}

/// Lines put together of pieces, in bounded memory: of one that is too long the beginning.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    open: Vec<u8>,
}

impl LineBuffer {
    /// Takes a piece, and gives every line that ends in it.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(String)) {
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..at]);
            line(self.close());
            bytes = &bytes[at + 1..];
        }
        self.extend(bytes);
    }

    /// What has no end, and will have none.
    pub(super) fn rest(&mut self) -> Option<String> {
        (!self.open.is_empty()).then(|| self.close())
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES.saturating_sub(self.open.len());
        self.open.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn close(&mut self) -> String {
        let line = String::from_utf8_lossy(&self.open).trim_end_matches('\r').to_owned();
        self.open.clear();
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(tail: &mut Tail, writer: Writer) -> Vec<String> {
        match tail.take(writer).unwrap() {
            Come::Lines(lines) => lines,
            Come::Rows(rows) => unreachable!("{rows:?}"),
        }
    }

    #[test]
    fn a_torn_line_is_waited_for_and_taken_when_nobody_writes_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut tail = Tail::begin(path.clone()).unwrap();
        assert_eq!(lines(&mut tail, Writer::Lives), Vec::<String>::new());
        fs::write(&path, "one\r\ntw").unwrap();
        assert_eq!(lines(&mut tail, Writer::Lives), ["one"]);
        fs::write(&path, "one\r\ntwo\nthree").unwrap();
        assert_eq!(lines(&mut tail, Writer::Lives), ["two"]);
        assert_eq!(lines(&mut tail, Writer::IsGone), ["three"]);
        assert_eq!(lines(&mut tail, Writer::IsGone), Vec::<String>::new());
    }

    #[test]
    fn what_an_earlier_attempt_wrote_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        for attempt in ["a", "b"] {
            fs::write(&path, attempt).unwrap();
            Tail::begin(path.clone()).unwrap();
            assert!(!path.exists());
        }
        assert_eq!(fs::read_to_string(folder.path().join("metrics-1.csv")).unwrap(), "a");
        assert_eq!(fs::read_to_string(folder.path().join("metrics-2.csv")).unwrap(), "b");
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let mut buffer = LineBuffer::default();
        for _ in 0..40 {
            buffer.push(&[b'x'; CHUNK_BYTES], |line| unreachable!("{}", line.len()));
        }
        assert!(buffer.open.len() == LINE_BYTES);
        let mut came = Vec::new();
        buffer.push(b"\nnext\n", |line| came.push(line.len()));
        assert_eq!(came, [LINE_BYTES, 4]);
    }
}
