//! Following a program from its start to its end: what it prints, what it is asked, how it ended.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::process::ChildStdout;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use engine_actors::outcome::{Cause, Failure};
use engine_actors::run::{out_of_memory, signal_name};
use engine_devices::{Exit, ExitReport, Program, is_worker_process, threads};

use super::course::Course;
use super::tail::{Come, LineBuffer, Tail, Writer};
use crate::workload::RunContext;

/// Time between two looks at the program, its file of metrics and what is asked of it.
const LOOK: Duration = Duration::from_millis(100);

/// Lines of standard output that wait. Full: the program waits.
const LINES: usize = 16;

/// How long lines are waited for once the program and its group are gone.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Lines of standard output that are told of a failure without a word on standard error.
const TAIL_LINES: usize = 40;
const TAIL_CHARS: usize = 500;
const CHUNK_BYTES: usize = 64 * 1024;

/// How a program ended.
pub(super) struct Ended {
    pub(super) report: ExitReport,
    /// Whether it was asked to.
    pub(super) was_stopped: bool,
    /// Last lines of its standard output.
    pub(super) stdout_tail: Vec<String>,
}

/// A program under way, and all that is read of it.
pub(super) struct Following<'a> {
    pub(super) context: &'a RunContext,
    pub(super) program: Program,
    pub(super) lines: Receiver<String>,
    pub(super) tail: Option<Tail>,
    pub(super) stop_within: Duration,
}

/// What was asked of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    NotAsked,
    Asked(Instant),
    Killed,
}

/// Reads standard output line by line, on a thread of its own, into `log` too.
///
/// # Errors
/// What the system says if there is no thread to be had.
pub(super) fn listen(stdout: ChildStdout, log: File) -> std::io::Result<Receiver<String>> {
    let (says, lines) = bounded(LINES);
    threads::spawn("engine-program-out", move || read_lines(stdout, log, &says))?;
    Ok(lines)
}

fn read_lines(mut from: impl Read, log: File, lines: &Sender<String>) {
    let (mut buffer, mut chunk, mut log) = (LineBuffer::default(), vec![0; CHUNK_BYTES], Some(log));
    // Nobody listens any more once the run is over.
    let mut say = |line| drop(lines.send(line));
    loop {
        match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => {
                if let Some(Err(error)) = log.as_mut().map(|log| log.write_all(&chunk[..count])) {
                    tracing::warn!(%error, "what a program prints is no longer written down");
                    log = None;
                }
                buffer.push(&chunk[..count], &mut say);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::warn!(%error, "the standard output of a program was lost");
                break;
            }
        }
    }
    buffer.rest().into_iter().for_each(say);
}

impl Following<'_> {
    /// Follows the program to its end.
    ///
    /// # Errors
    /// A [`Failure`] where the system does not tell of the program.
    pub(super) fn to_the_end(mut self, course: &mut Course<'_>) -> Result<Ended, Failure> {
        let mut stop = Stop::NotAsked;
        let mut stdout_tail = VecDeque::new();
        let mut next_look = Instant::now() + LOOK;
        loop {
            let wait = next_look.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(wait) {
                Ok(line) => hear(&line, &mut self.tail, course, &mut stdout_tail),
                Err(RecvTimeoutError::Timeout) => {}
                // It has closed its standard output and may work on.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(wait),
            }
            if Instant::now() < next_look {
                continue;
            }
            next_look = Instant::now() + LOOK;
            stop = self.ask(stop)?;
            look(&mut self.tail, Writer::Lives, course);
            self.program.take_printed().iter().for_each(|line| echo(line));
            if self.program.has_ended().map_err(lost)? {
                break;
            }
        }
        let end = self.program.end().map_err(lost)?;
        end.printed.iter().for_each(|line| echo(line));
        while let Ok(line) = self.lines.recv_timeout(LAST_WORDS) {
            hear(&line, &mut self.tail, course, &mut stdout_tail);
        }
        look(&mut self.tail, Writer::IsGone, course);
        let was_stopped = stop != Stop::NotAsked;
        Ok(Ended { report: end.report, was_stopped, stdout_tail: stdout_tail.into() })
    }

    /// Passes on what is asked of the run.
    fn ask(&mut self, stop: Stop) -> Result<Stop, Failure> {
        if stop != Stop::Killed && self.context.is_abandoned() {
            self.program.kill();
            return Ok(Stop::Killed);
        }
        match stop {
            Stop::NotAsked if self.context.stop_requested() => {
                self.program.terminate().map_err(lost)?;
                Ok(Stop::Asked(Instant::now()))
            }
            Stop::Asked(at) if at.elapsed() >= self.stop_within => {
                let secs = self.stop_within.as_secs_f64();
                self.context.warn(format!(
                    "the program did not end within {secs} s of SIGTERM and is killed; it goes on from its last checkpoint"
                ));
                self.program.kill();
                Ok(Stop::Killed)
            }
            other => Ok(other),
        }
    }
}

fn hear(line: &str, tail: &mut Option<Tail>, course: &mut Course<'_>, printed: &mut VecDeque<String>) {
    if course.line(line, |course| look(tail, Writer::Lives, course)) || line.trim().is_empty() {
        return;
    }
    echo(line);
    if printed.len() == TAIL_LINES {
        printed.pop_front();
    }
    printed.push_back(line.chars().take(TAIL_CHARS).collect());
}

/// Looks what the program has written into its file of metrics.
fn look(tail: &mut Option<Tail>, writer: Writer, course: &mut Course<'_>) {
    let Some(tail) = tail else { return };
    match tail.take(writer) {
        Ok(Come::Rows(rows)) => course.rows(rows),
        // A checkpoint may be told there too; what was written before it has been taken with it.
        Ok(Come::Lines(lines)) => lines.iter().for_each(|line| drop(course.line(line, |_| {}))),
        Err(error) => {
            course.complain("tail", format!("the program's file of metrics can not be read: {error}"))
        }
    }
}

/// Prints a line again where that gets to the trackers: in a worker process. In an application it would get into its terminal.
fn echo(line: &str) {
    if is_worker_process() {
        // An engine that is gone reads nothing, and the run ends for that.
        drop(writeln!(std::io::stderr().lock(), "{line}"));
    }
}

fn lost(error: std::io::Error) -> Failure {
    failure(Cause::Lost, format!("the program was lost: {error}"))
}

pub(super) fn failure(cause: Cause, message: String) -> Failure {
    Failure { cause, message, stderr_tail: Vec::new() }
}

/// Why a program failed that ended so; none if it did not.
pub(super) fn failure_of(ended: &Ended) -> Option<Failure> {
    let report = &ended.report;
    let printed = if report.stderr_tail.is_empty() { &ended.stdout_tail } else { &report.stderr_tail };
    let last = printed.iter().rev().find(|line| !line.trim().is_empty());
    let said = last.map_or(String::new(), |line| format!(": {}", line.trim()));
    let all = report.stderr_tail.iter().chain(&ended.stdout_tail);
    let memory = out_of_memory(&all.map(String::as_str).collect::<Vec<_>>().join("\n"));
    let (cause, message) = match (&report.exit, memory) {
        (Exit::Code(0), _) => return None,
        (Exit::OutOfMemory, _) => {
            let what = "the kernel ended the program for want of memory: let it take less, or fewer runs share the machine";
            (Cause::HostOutOfMemory, what.to_owned())
        }
        (_, Some(cause)) => (cause, format!("the program ran out of memory{said}")),
        (Exit::Code(code), None) => (Cause::Panic, format!("the program ended with exit code {code}{said}")),
        (Exit::Signal(signal), None) => {
            (Cause::Killed, format!("the program was killed by {}{said}", signal_name(*signal)))
        }
        (other, None) => (Cause::Lost, format!("the program ended in an unknown way ({other:?}){said}")),
    };
    Some(Failure { cause, message, stderr_tail: printed.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(exit: Exit, stderr: &[&str], stdout: &[&str]) -> Option<(Cause, String)> {
        let own = |lines: &[&str]| lines.iter().map(ToString::to_string).collect();
        let report = ExitReport { stderr_tail: own(stderr), ..ExitReport::bare(exit) };
        let ended = Ended { report, was_stopped: false, stdout_tail: own(stdout) };
        failure_of(&ended).map(|failure| (failure.cause, failure.message))
    }

    #[test]
    fn exit_codes_and_signals_are_failures_with_their_cause() {
        assert_eq!(why(Exit::Code(0), &["CUDA out of memory, trying less"], &[]), None);
        let python = ["Traceback (most recent call last):", "ValueError: no data", ""];
        let expected = (Cause::Panic, "the program ended with exit code 1: ValueError: no data".to_owned());
        assert_eq!(why(Exit::Code(1), &python, &["epoch 1"]), Some(expected));
        let expected = (Cause::Panic, "the program ended with exit code 7: no such file".to_owned());
        assert_eq!(why(Exit::Code(7), &[], &["no such file"]), Some(expected));
        let expected = (Cause::Killed, "the program was killed by SIGSEGV (11)".to_owned());
        assert_eq!(why(Exit::Signal(11), &[], &[]), Some(expected));
    }

    #[test]
    fn whose_memory_ran_out_is_told_by_the_same_words_as_of_workers() {
        let cause = |exit: Exit, stderr: &[&str]| why(exit, stderr, &[]).unwrap().0;
        let torch = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.";
        assert_eq!(cause(Exit::Code(1), &[torch]), Cause::DeviceOutOfMemory);
        assert_eq!(cause(Exit::Code(1), &["MemoryError"]), Cause::HostOutOfMemory);
        assert_eq!(cause(Exit::OutOfMemory, &[]), Cause::HostOutOfMemory);
        assert_eq!(cause(Exit::Signal(9), &[]), Cause::Killed);
    }

    #[test]
    fn all_of_the_output_is_written_down_and_given_line_by_line() {
        let (says, lines) = bounded(LINES);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stdout.log");
        let text = b"one\n\xfftwo\r\nthree";
        read_lines(&text[..], File::create(&path).unwrap(), &says);
        drop(says);
        assert_eq!(lines.iter().collect::<Vec<_>>(), ["one", "\u{fffd}two", "three"]);
        assert_eq!(std::fs::read(&path).unwrap(), text);
    }
}
