//! The end of a worker's standard error, however much of it there is.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam::channel::{Receiver, bounded};

const LINES: usize = 40;
const LINE_CHARS: usize = 500;
/// A character has at most four bytes in UTF-8, and one that is none becomes one character.
const LINE_BYTES: usize = LINE_CHARS * 4;
const CHUNK_BYTES: usize = 64 * 1024;

/// How long the end of the stream is waited for after the worker is gone. Only a grandchild that left the worker's
/// process group can hold the stream open longer; what it still prints is dropped.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Reads a worker's standard error on a thread of its own.
pub(super) struct StderrDrain {
    tail: Arc<Mutex<Tail>>,
    ended: Receiver<()>,
}

impl StderrDrain {
    pub(super) fn start(worker: &str, stderr: impl Read + Send + 'static) -> io::Result<Self> {
        let tail = Arc::new(Mutex::new(Tail::default()));
        let shared = Arc::clone(&tail);
        let (alive, ended) = bounded(0);
        thread::Builder::new().name(format!("stderr {worker}")).spawn(move || {
            drain(stderr, &shared);
            drop::<crossbeam::channel::Sender<()>>(alive);
        })?;
        Ok(Self { tail, ended })
    }

    /// The last lines so far, oldest first, and forgets them: what follows is said in other work.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.tail.lock().unwrap_or_else(PoisonError::into_inner)).lines()
    }

    /// The last lines, oldest first; for when the worker is gone.
    pub(super) fn finish(self) -> Vec<String> {
        // Either the thread has dropped its end, or the time is over: nothing is ever sent.
        let _: Result<(), _> = self.ended.recv_timeout(LAST_WORDS);
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).lines()
    }
}

fn drain(mut stderr: impl Read, tail: &Mutex<Tail>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match stderr.read(&mut chunk) {
            Ok(0) => return,
            Ok(n) => tail.lock().unwrap_or_else(PoisonError::into_inner).push(&chunk[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return tracing::warn!(%error, "a worker's standard error was lost"),
        }
    }
}

/// The last lines of a stream, in bounded memory.
#[derive(Debug, Default)]
struct Tail {
    whole: VecDeque<String>,
    open: Vec<u8>,
}

impl Tail {
    fn push(&mut self, mut bytes: &[u8]) {
        // A carriage return ends a line too: progress bars end theirs with nothing else.
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&bytes[..end]);
            self.close();
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES.saturating_sub(self.open.len());
        self.open.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            if self.whole.len() == LINES {
                self.whole.pop_front();
            }
            self.whole.push_back(text(&self.open));
            self.open.clear();
        }
    }

    fn lines(&mut self) -> Vec<String> {
        self.close();
        self.whole.iter().cloned().collect()
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().take(LINE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(pieces: &[&[u8]]) -> Vec<String> {
        let mut tail = Tail::default();
        for piece in pieces {
            tail.push(piece);
        }
        tail.lines()
    }

    #[test]
    fn lines_are_joined_across_chunks_and_the_last_needs_no_end() {
        assert_eq!(tail(&[b"one\ntw", b"o\r\n\nthr", b"ee"]), ["one", "two", "three"]);
    }

    #[test]
    fn only_the_last_forty_lines_are_kept() {
        let text: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let kept = tail(&[text.as_bytes()]);
        assert_eq!((kept.len(), kept[0].as_str(), kept[39].as_str()), (40, "line 60", "line 99"));
    }

    #[test]
    fn a_line_without_end_is_cut_at_500_characters_and_takes_no_more_memory() {
        let mut tail = Tail::default();
        for _ in 0..1000 {
            tail.push("ä".repeat(1000).as_bytes());
        }
        assert!(tail.open.len() <= LINE_BYTES);
        assert_eq!(tail.lines(), ["ä".repeat(500)]);
    }

    #[test]
    fn a_progress_bar_keeps_its_latest_states() {
        assert_eq!(tail(&[b"10%\r20%\r30%"]), ["10%", "20%", "30%"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(tail(&[b"a\xffb\n"]), ["a\u{fffd}b"]);
    }
}
