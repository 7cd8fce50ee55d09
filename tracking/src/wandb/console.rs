//! What a run prints, as the lines a terminal would show.

use super::record::Timestamp;

/// Letters a line may have; what is behind them is not sent. A line is read by people, and a request holds 10 MiB.
const LONGEST_LINE: usize = 64 * 1024;

/// A line as it stands now. The newest line may be told again with another text, no earlier one ever is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ConsoleLine {
    /// Its number, from 0.
    pub(super) number: u64,
    /// Whether it was printed to standard error.
    pub(super) is_error: bool,
    /// When it began.
    pub(super) at: Timestamp,
    /// Its text.
    pub(super) text: String,
}

/// Makes lines of pieces. A piece of one stream ends an open line of the other: so only the last line ever changes, and a
/// request holds one stretch of lines.
#[derive(Debug, Clone, Default)]
pub(super) struct Console {
    next: u64,
    open: Option<Open>,
}

#[derive(Debug, Clone)]
struct Open {
    line: ConsoleLine,
    letters: Vec<char>,
    column: usize,
}

impl Console {
    /// How many lines there are.
    pub(super) fn lines(&self) -> u64 {
        self.next
    }

    /// Takes a piece of output, and gives the lines that are new or changed.
    pub(super) fn feed(&mut self, is_error: bool, at: Timestamp, piece: &str) -> Vec<ConsoleLine> {
        let mut told = Vec::new();
        if self.open.as_ref().is_some_and(|open| open.line.is_error != is_error) && !piece.is_empty() {
            // It was told when its last piece came.
            self.open = None;
        }
        let mut changed = false;
        for letter in piece.chars() {
            match letter {
                '\n' => {
                    let open = self.open_line(is_error, at);
                    told.push(open.told());
                    self.open = None;
                    changed = false;
                }
                '\r' => {
                    if let Some(open) = &mut self.open {
                        open.column = 0;
                    }
                }
                letter => {
                    self.open_line(is_error, at).put(letter);
                    changed = true;
                }
            }
        }
        if let (true, Some(open)) = (changed, &self.open) {
            told.push(open.told());
        }
        told
    }

    fn open_line(&mut self, is_error: bool, at: Timestamp) -> &mut Open {
        let next = &mut self.next;
        self.open.get_or_insert_with(|| {
            let number = *next;
            *next += 1;
            let line = ConsoleLine { number, is_error, at, text: String::new() };
            Open { line, letters: Vec::new(), column: 0 }
        })
    }
}

impl Open {
    fn put(&mut self, letter: char) {
        if let Some(place) = self.letters.get_mut(self.column) {
            *place = letter;
        } else if self.letters.len() < LONGEST_LINE {
            self.letters.push(letter);
        } else {
            return;
        }
        self.column += 1;
    }

    fn told(&self) -> ConsoleLine {
        ConsoleLine { text: self.letters.iter().collect(), ..self.line.clone() }
    }
}

impl ConsoleLine {
    /// As the server takes it: JSON where it knows structured lines, else plain text.
    ///
    /// # Sources
    /// W&B client 0.31.0: level only for standard error, time in UTC with microseconds and without zone.
    pub(super) fn write(&self, structured: Structured) -> String {
        let nanos = u32::try_from(self.at.nanos).unwrap_or(0);
        let at = chrono::DateTime::from_timestamp(self.at.seconds, nanos)
            .unwrap_or_default()
            .format("%Y-%m-%dT%H:%M:%S%.6f");
        match (structured, self.is_error) {
            (Structured::Json, false) => {
                format!(r#"{{"ts":"{at}","content":{}}}"#, super::tree::text(&self.text))
            }
            (Structured::Json, true) => {
                format!(r#"{{"level":"error","ts":"{at}","content":{}}}"#, super::tree::text(&self.text))
            }
            (Structured::Plain, false) => format!("{at} {}", self.text),
            (Structured::Plain, true) => format!("ERROR {at} {}", self.text),
        }
    }
}

/// How a server takes lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Structured {
    /// As JSON.
    Json,
    /// As text.
    Plain,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const AT: Timestamp = Timestamp { seconds: 1_795_413_845, nanos: 403_528_000 };

    fn told(pieces: &[(bool, &str)]) -> BTreeMap<u64, (bool, String)> {
        let mut console = Console::default();
        let mut lines = BTreeMap::new();
        for (is_error, piece) in pieces {
            for line in console.feed(*is_error, AT, piece) {
                lines.insert(line.number, (line.is_error, line.text));
            }
        }
        assert_eq!(lines.len() as u64, console.lines());
        lines
    }

    fn texts(pieces: &[(bool, &str)]) -> Vec<String> {
        told(pieces).into_values().map(|(_, text)| text).collect()
    }

    #[test]
    fn a_carriage_return_writes_over_the_line() {
        assert_eq!(
            texts(&[(false, "progress 10\r"), (false, "progress 9\n"), (false, "x\r\n")]),
            ["progress 90", "x"]
        );
    }

    #[test]
    fn an_open_line_is_told_and_told_again() {
        let mut console = Console::default();
        assert_eq!(console.feed(false, AT, "10 %")[0].text, "10 %");
        let again = console.feed(false, AT, "\r20 %");
        assert_eq!((again[0].number, again[0].text.as_str()), (0, "20 %"));
        assert_eq!(console.feed(false, AT, ""), []);
        assert_eq!(console.feed(false, AT, "\n").len(), 1);
        assert_eq!(console.feed(false, AT, "next")[0].number, 1);
    }

    #[test]
    fn another_stream_ends_the_open_line() {
        let lines = told(&[(false, "ab"), (true, "bad\n"), (false, "cd\n")]);
        let want = [(false, "ab"), (true, "bad"), (false, "cd")];
        assert_eq!(lines.into_values().collect::<Vec<_>>(), want.map(|(err, text)| (err, text.to_owned())));
    }

    #[test]
    fn lines_are_written_as_the_official_client_does() {
        let line = ConsoleLine { number: 0, is_error: true, at: AT, text: "a \"b\"".to_owned() };
        assert_eq!(
            line.write(Structured::Json),
            r#"{"level":"error","ts":"2026-11-23T06:04:05.403528","content":"a \"b\""}"#
        );
        assert_eq!(line.write(Structured::Plain), "ERROR 2026-11-23T06:04:05.403528 a \"b\"");
    }

    #[test]
    fn a_line_without_end_stays_small() {
        let piece = "x".repeat(1000);
        let mut console = Console::default();
        for _ in 0..100 {
            assert!(console.feed(false, AT, &piece)[0].text.len() <= LONGEST_LINE);
        }
    }

    proptest! {
        #[test]
        fn only_the_last_line_changes_and_none_is_left_out(
            pieces in prop::collection::vec((any::<bool>(), "[ab\n\r]{0,6}"), 0..40)
        ) {
            let mut console = Console::default();
            let mut known = 0_u64;
            for (is_error, piece) in &pieces {
                for line in console.feed(*is_error, AT, piece) {
                    prop_assert!(line.number + 1 >= known && line.number <= known);
                    known = line.number + 1;
                }
            }
        }
    }
}
