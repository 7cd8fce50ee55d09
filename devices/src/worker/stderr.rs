//! What a worker prints: its lines on their way to whoever watches, and the end of them, however much there is.
//!
//! A worker's standard output and standard error are one pipe. It is always read, so that printing never holds a
//! worker up; what nobody takes in time is dropped, the oldest first.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};

/// Lines of the end that is told of a failure.
const TAIL_LINES: usize = 40;
/// Lines that wait to be taken. Full: the oldest go, and are counted. A worker is listened to every two seconds at
/// least; who prints more in that time is not being read by people.
const PRINTED_LINES: usize = 256;
const LINE_CHARS: usize = 500;
/// A character has at most four bytes in UTF-8, and one that is none becomes one character.
const LINE_BYTES: usize = LINE_CHARS * 4;
const CHUNK_BYTES: usize = 64 * 1024;

/// How long the end of the stream is waited for after the worker is gone. Only a grandchild that left the worker's
/// process group can hold the stream open longer; what it still prints is dropped. And how long the end of a run's
/// lines is waited for when the worker has said that they are all in the pipe.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Reads what a worker prints, on a thread of its own.
pub(super) struct StderrDrain {
    heard: Arc<Heard>,
    ended: Receiver<()>,
}

/// What a worker has printed in a turn and nobody has taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Printed {
    /// Lines nobody has taken yet, oldest first.
    pub(super) lines: Vec<String>,
    /// The last lines, taken or not, oldest first.
    pub(super) tail: Vec<String>,
}

struct Heard {
    lines: Mutex<Lines>,
    turn_over: Condvar,
}

impl Heard {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StderrDrain {
    /// Reads what the process `pid` prints; `worker` is for people.
    pub(super) fn start(worker: &str, pid: u32, stderr: impl Read + Send + 'static) -> io::Result<Self> {
        let lines = Mutex::new(Lines::new(turn_mark(pid)));
        let heard = Arc::new(Heard { lines, turn_over: Condvar::new() });
        let shared = Arc::clone(&heard);
        let (alive, ended) = bounded(0);
        thread::Builder::new().name(format!("stderr {worker}")).spawn(move || {
            drain(stderr, &shared);
            drop::<Sender<()>>(alive);
        })?;
        Ok(Self { heard, ended })
    }

    /// The whole lines of this turn that nobody has taken yet, oldest first.
    pub(super) fn take(&self) -> Vec<String> {
        self.heard.lines().now.waiting.take()
    }

    /// What was printed in the turn that the worker says is over, up to its mark: what follows is said in other work.
    /// None if the mark does not come.
    pub(super) fn end_turn(&self) -> Option<Printed> {
        let no_mark = |lines: &mut Lines| lines.over.is_none();
        let (mut lines, _) = self
            .heard
            .turn_over
            .wait_timeout_while(self.heard.lines(), LAST_WORDS, no_mark)
            .unwrap_or_else(PoisonError::into_inner);
        Some(lines.over.take()?.into_printed())
    }

    /// To drop what is printed between two turns with.
    pub(super) fn between_turns(&self) -> BetweenTurns {
        BetweenTurns(Arc::clone(&self.heard))
    }

    /// All that is left, for when the worker is gone.
    pub(super) fn finish(self) -> Printed {
        // Either the thread has dropped its end, or the time is over: nothing is ever sent.
        let _: Result<(), _> = self.ended.recv_timeout(LAST_WORDS);
        let mut lines = self.heard.lines();
        lines.close(End::Line);
        std::mem::take(&mut lines.now).into_printed()
    }
}

/// What a worker prints while it rests, which is nobody's.
pub(super) struct BetweenTurns(Arc<Heard>);

impl BetweenTurns {
    /// Drops it. To be called before the worker is given its next work, or that would lose lines too.
    pub(super) fn forget(&self) {
        self.0.lines().now = Turn::default();
    }
}

/// Line that parts what a worker prints in one turn from what it prints in the next.
fn turn_mark(pid: u32) -> String {
    format!("\u{1e}turn of {pid} over")
}

/// Marks the end of a turn, by the worker itself: whatever it printed before is in the pipe before the mark.
///
/// # Errors
/// If standard error can not be written to.
pub(super) fn mark_end_of_turn() -> io::Result<()> {
    io::stdout().flush()?;
    // At the beginning of a line, wherever the last one was left.
    let mark = format!("\n{}\n", turn_mark(std::process::id()));
    io::stderr().lock().write_all(mark.as_bytes())
}

fn drain(mut stderr: impl Read, heard: &Heard) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match stderr.read(&mut chunk) {
            Ok(0) => return,
            Ok(n) => {
                let mut lines = heard.lines();
                lines.push(&chunk[..n]);
                if lines.over.is_some() {
                    heard.turn_over.notify_all();
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return tracing::warn!(%error, "a worker's standard error was lost"),
        }
    }
}

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Line,
    /// With a carriage return: progress bars end theirs so, and write the next over it.
    Return,
}

/// The lines of a stream, in bounded memory.
#[derive(Debug)]
struct Lines {
    open: Vec<u8>,
    mark: String,
    now: Turn,
    /// The turn before the last mark, until it is taken.
    over: Option<Turn>,
}

impl Lines {
    fn new(mark: String) -> Self {
        Self { open: Vec::new(), mark, now: Turn::default(), over: None }
    }

    fn push(&mut self, mut bytes: &[u8]) {
        while let Some(at) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&bytes[..at]);
            self.close(if bytes[at] == b'\r' { End::Return } else { End::Line });
            bytes = &bytes[at + 1..];
        }
        self.extend(bytes);
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES.saturating_sub(self.open.len());
        self.open.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn close(&mut self, end: End) {
        if self.open == self.mark.as_bytes() {
            self.over = Some(std::mem::take(&mut self.now));
        } else {
            self.now.keep(&self.open, end);
        }
        self.open.clear();
    }
}

/// The lines of one turn.
#[derive(Debug, Default)]
struct Turn {
    tail: VecDeque<String>,
    waiting: Waiting,
}

impl Turn {
    fn keep(&mut self, line: &[u8], end: End) {
        if line.is_empty() {
            return self.waiting.end_empty(end);
        }
        let line = text(line);
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line.clone());
        self.waiting.push(line, end);
    }

    fn into_printed(mut self) -> Printed {
        Printed { lines: self.waiting.take(), tail: self.tail.into() }
    }
}

/// Lines that wait to be taken.
#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<String>,
    dropped: u64,
    /// Whether the next line is written over the last one.
    returned: bool,
}

impl Waiting {
    fn push(&mut self, line: String, end: End) {
        if self.returned {
            self.lines.pop_back();
        }
        if self.lines.len() == PRINTED_LINES {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(line);
        self.returned = end == End::Return;
    }

    /// A line's end with nothing before it: after a carriage return it ends the line that is there.
    fn end_empty(&mut self, end: End) {
        self.returned &= end == End::Return;
    }

    fn take(&mut self) -> Vec<String> {
        self.returned = false;
        let dropped = match std::mem::take(&mut self.dropped) {
            0 => None,
            1 => Some("… 1 line was not kept".to_owned()),
            many => Some(format!("… {many} lines were not kept")),
        };
        dropped.into_iter().chain(self.lines.drain(..)).collect()
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().take(LINE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Lines {
        Lines::new(turn_mark(7))
    }

    fn printed(pieces: &[&[u8]]) -> Printed {
        let mut lines = lines();
        for piece in pieces {
            lines.push(piece);
        }
        lines.close(End::Line);
        std::mem::take(&mut lines.now).into_printed()
    }

    #[test]
    fn lines_are_joined_across_chunks_and_the_last_needs_no_end() {
        let printed = printed(&[b"one\ntw", b"o\r\n\nthr", b"ee"]);
        assert_eq!(printed.tail, ["one", "two", "three"]);
        assert_eq!(printed.lines, ["one", "two", "three"]);
    }

    #[test]
    fn only_the_last_forty_lines_are_told_of_a_failure() {
        let text: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let kept = printed(&[text.as_bytes()]).tail;
        assert_eq!((kept.len(), kept[0].as_str(), kept[39].as_str()), (40, "line 60", "line 99"));
    }

    #[test]
    fn lines_that_nobody_takes_make_room_and_are_counted_until_the_next_taking() {
        let mut lines = lines();
        for n in 0..PRINTED_LINES + 3 {
            lines.push(format!("line {n}\n").as_bytes());
        }
        let taken = lines.now.waiting.take();
        assert_eq!(taken.len(), PRINTED_LINES + 1);
        assert_eq!(taken[..2], ["… 3 lines were not kept", "line 3"]);
        lines.push(b"after\n");
        assert_eq!(lines.now.waiting.take(), ["after"]);
        assert_eq!(lines.now.waiting.take(), Vec::<String>::new());
    }

    #[test]
    fn a_line_that_is_not_over_waits_for_its_end() {
        let mut lines = lines();
        lines.push(b"whole\nha");
        assert_eq!(lines.now.waiting.take(), ["whole"]);
        lines.push(b"lf\n");
        assert_eq!(lines.now.waiting.take(), ["half"]);
    }

    #[test]
    fn a_line_without_end_is_cut_at_500_characters_and_takes_no_more_memory() {
        let mut lines = lines();
        for _ in 0..1000 {
            lines.push("ä".repeat(1000).as_bytes());
        }
        assert!(lines.open.len() <= LINE_BYTES);
        lines.close(End::Line);
        assert_eq!(lines.now.into_printed().tail, ["ä".repeat(500)]);
    }

    #[test]
    fn a_progress_bar_is_one_line_and_its_states_are_told_of_a_failure() {
        let bar = printed(&[b"start\n\r10%\r20", b"%\r\r30%\nend\n"]);
        assert_eq!(bar.lines, ["start", "30%", "end"]);
        assert_eq!(bar.tail, ["start", "10%", "20%", "30%", "end"]);
        let mut lines = lines();
        lines.push(b"10%\r");
        assert_eq!(lines.now.waiting.take(), ["10%"], "a state that has been taken");
        lines.push(b"20%\r");
        assert_eq!(lines.now.waiting.take(), ["20%"], "is not taken back");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(printed(&[b"a\xffb\n"]).lines, ["a\u{fffd}b"]);
    }

    #[test]
    fn a_turn_ends_at_its_mark_and_at_nothing_like_it() {
        let mut lines = lines();
        let mark = turn_mark(7);
        lines.push(format!("said {mark}\n{}\nold", turn_mark(8)).as_bytes());
        assert!(lines.over.is_none());
        lines.push(format!("\n{mark}\nnew\n").as_bytes());
        let over = lines.over.take().unwrap().into_printed();
        assert_eq!(over.lines, [format!("said {mark}"), turn_mark(8), "old".into()]);
        assert_eq!(over.tail, over.lines);
        assert_eq!(std::mem::take(&mut lines.now).into_printed().tail, ["new"]);
    }

    #[test]
    fn a_turn_whose_mark_does_not_come_does_not_end() {
        let drain = StderrDrain::start("w", 7, io::Cursor::new(b"one\n".to_vec())).unwrap();
        assert_eq!(drain.end_turn(), None);
        assert_eq!(drain.finish().lines, ["one"]);
    }
}
