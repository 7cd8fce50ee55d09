//! Reading a `metrics.csv` while Lightning's `CSVLogger` writes it.
//!
//! The logger adds rows, or writes all of them anew, with a column more whenever a metric comes for the first time. So a row is known by
//! its number: those that were taken are passed over when the columns have changed, and a file that is shorter than it was is being
//! written right now and looked at later. A line without its end is never taken: half a number is a number too.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Seek, SeekFrom};
use std::path::PathBuf;

use engine_tracking::csv::fields;

use super::lines::{At, Cell, number, whole};

/// A row longer than this is none.
const LINE_BYTES: usize = 1 << 20;

/// A row as it was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) at: At,
    pub(super) values: Vec<(String, Cell)>,
}

/// The reading of one file.
#[derive(Debug)]
pub(super) struct CsvTail {
    path: PathBuf,
    /// The first line, with its end.
    header: Vec<u8>,
    columns: Vec<String>,
    /// Where the first row that was not taken begins.
    offset: u64,
    rows: u64,
}

impl CsvTail {
    pub(super) fn of(path: PathBuf) -> Self {
        Self { path, header: Vec::new(), columns: Vec::new(), offset: 0, rows: 0 }
    }

    /// Rows that have come since. A file that is not there yet has none.
    ///
    /// # Errors
    /// What the system says if the file can not be read.
    pub(super) fn take(&mut self) -> io::Result<Vec<Row>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let bytes = file.metadata()?.len();
        let mut reader = BufReader::new(file);
        let Some(header) = whole_line(&mut reader)? else { return Ok(Vec::new()) };
        let same = header == self.header;
        if same {
            if bytes < self.offset {
                return Ok(Vec::new());
            }
            reader.seek(SeekFrom::Start(self.offset))?;
        } else {
            let mut offset = header.len() as u64;
            for _ in 0..self.rows {
                let Some(row) = whole_line(&mut reader)? else { return Ok(Vec::new()) };
                offset += row.len() as u64;
            }
            self.columns = fields(&text(&header));
            self.header = header;
            self.offset = offset;
        }
        let mut rows = Vec::new();
        while let Some(line) = whole_line(&mut reader)? {
            self.offset += line.len() as u64;
            self.rows += 1;
            rows.extend(self.row(&text(&line)));
        }
        Ok(rows)
    }

    fn row(&self, line: &str) -> Option<Row> {
        if line.trim().is_empty() {
            return None;
        }
        let (mut at, mut values) = (At::default(), Vec::new());
        for (name, written) in self.columns.iter().zip(fields(line)) {
            match name.as_str() {
                "epoch" => at.epoch = number(&written).and_then(whole).and_then(|n| u32::try_from(n).ok()),
                "step" => at.step = number(&written).and_then(whole),
                _ if written.trim().is_empty() => {}
                _ => values.push((name.clone(), number(&written).map_or(Cell::No("a text"), Cell::Number))),
            }
        }
        Some(Row { at, values })
    }
}

/// The next line with its end; none if it has none yet.
fn whole_line(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    // One without an end does not fill the memory.
    io::Read::take(&mut *reader, LINE_BYTES as u64).read_until(b'\n', &mut line)?;
    Ok(line.ends_with(b"\n").then_some(line))
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']).to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use super::*;

    struct Case {
        _folder: tempfile::TempDir,
        path: PathBuf,
        tail: CsvTail,
    }

    fn case() -> Case {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let tail = CsvTail::of(path.clone());
        Case { _folder: folder, path, tail }
    }

    impl Case {
        fn write(&self, text: &str) {
            fs::write(&self.path, text).unwrap();
        }

        fn add(&self, text: &str) {
            OpenOptions::new().append(true).open(&self.path).unwrap().write_all(text.as_bytes()).unwrap();
        }

        /// Epochs and steps of the rows that came, with the numbers in them.
        fn taken(&mut self) -> Vec<(Option<u32>, Option<u64>, Vec<(String, f64)>)> {
            let number = |(name, cell): (String, Cell)| match cell {
                Cell::Number(number) => (name, number),
                other => unreachable!("{other:?}"),
            };
            let rows = self.tail.take().unwrap().into_iter();
            rows.map(|row| (row.at.epoch, row.at.step, row.values.into_iter().map(number).collect()))
                .collect()
        }
    }

    fn value(name: &str, number: f64) -> Vec<(String, f64)> {
        vec![(name.to_owned(), number)]
    }

    #[test]
    fn rows_are_taken_once_and_a_torn_one_is_waited_for() {
        let mut case = case();
        assert_eq!(case.taken(), [], "there is no file yet");
        case.write("epoch,ste");
        assert_eq!(case.taken(), [], "nor its columns");
        case.write("epoch,step,loss\r\n0,1,0.5\r\n0,2,0.2");
        assert_eq!(case.taken(), [(Some(0), Some(1), value("loss", 0.5))]);
        assert_eq!(case.taken(), []);
        case.add("5\r\n1,3,nan\r\n");
        let rows = case.taken();
        assert_eq!(rows[0], (Some(0), Some(2), value("loss", 0.25)));
        assert!(rows[1].2[0].1.is_nan() && rows.len() == 2);
    }

    #[test]
    fn a_file_that_is_written_anew_with_a_further_column_gives_its_new_rows_alone() {
        let mut case = case();
        case.write("loss,step\n0.5,1\n0.4,2\n");
        assert_eq!(case.taken().len(), 2);
        // Cut in the middle of the rewriting.
        case.write("acc,epoch,loss,step\n,,0.5,1\n,,0.");
        assert_eq!(case.taken(), []);
        case.write("acc,epoch,loss,step\n,,0.5,1\n,,0.4,2\n0.9,0,,2\n");
        assert_eq!(case.taken(), [(Some(0), Some(2), value("acc", 0.9))]);
        // The same columns, written anew from the beginning.
        case.write("acc,epoch,loss,step\n,,0.5,1\n");
        assert_eq!(case.taken(), []);
        case.write("acc,epoch,loss,step\n,,0.5,1\n,,0.4,2\n0.9,0,,2\n,1.0,0.3,3\n");
        assert_eq!(case.taken(), [(Some(1), Some(3), value("loss", 0.3))]);
    }

    #[test]
    fn names_in_quotes_and_texts_are_read() {
        let mut case = case();
        case.write("\"a,b\",epoch,step,model\n1,0,1,resnet\n\n");
        let rows = case.tail.take().unwrap();
        let expected = vec![("a,b".to_owned(), Cell::Number(1.0)), ("model".to_owned(), Cell::No("a text"))];
        assert_eq!((rows.len(), &rows[0].values), (1, &expected));
    }

    #[test]
    fn however_a_growing_file_is_cut_every_row_comes_once() {
        let whole = "epoch,step,loss\n0,1,0.125\n0,2,0.25\n1,3,0.5\n1,4,\n";
        for first in 0..whole.len() {
            for second in first..whole.len() {
                let mut case = case();
                let mut steps = Vec::new();
                for end in [first, second, whole.len()] {
                    case.write(&whole[..end]);
                    let rows = case.taken();
                    assert!(rows.iter().all(|row| row.2.iter().all(|(_, n)| [0.125, 0.25, 0.5].contains(n))));
                    steps.extend(rows.iter().filter_map(|row| row.1));
                }
                assert_eq!(steps, [1, 2, 3, 4], "cut at {first} and {second}");
            }
        }
    }
}
