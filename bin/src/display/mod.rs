//! What the terminal shows while a job runs: the event stream, and nothing else, turned into lines or bars.

mod bars;
mod board;
mod lines;

pub use self::board::{SHOWN_METRIC, spell};
pub use self::lines::{plural, reason};

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use engine::tracking::Progress;
use engine::{Event, EventLine, Status};
use serde_json::json;

use self::bars::Bars;
use self::board::Board;
use crate::print::{self, errln, outln};

/// Sending that takes less than this is not spoken of.
const SENDING_UNTOLD: Duration = Duration::from_secs(1);
/// Where lines stay, at most one in this time says what is being sent.
const SENDING_EVERY: Duration = Duration::from_secs(10);

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Nothing but the end result.
    Quiet,
    /// One JSON object a line, on standard output.
    Json,
    /// One plain line for every event worth telling, on standard error.
    Lines,
    /// Live bars and lines, on standard error.
    Bars,
}

impl Style {
    /// The style asked for; bars only where standard error is a terminal.
    pub fn choose(quiet: bool, json: bool) -> Self {
        match (json, quiet) {
            (true, _) => Self::Json,
            (false, true) => Self::Quiet,
            (false, false) if std::io::stderr().is_terminal() => Self::Bars,
            (false, false) => Self::Lines,
        }
    }
}

/// Shows events in one style.
pub struct Display {
    style: Style,
    board: Board,
    bars: Option<Bars>,
    /// When sending is spoken of next.
    sending_at: Option<Instant>,
}

impl Display {
    /// A display that has seen nothing yet.
    pub fn new(style: Style) -> Self {
        let bars = (style == Style::Bars).then(Bars::new);
        Self { style, board: Board::default(), bars, sending_at: None }
    }

    /// Shows one event.
    pub fn show(&mut self, event: &Event) {
        self.board.note(event);
        if print::err_is_gone() {
            // Nobody looks any more.
            self.close();
        }
        match self.style {
            Style::Quiet => {
                if let Event::Warned { message } = event {
                    errln!("warning: {message}");
                }
            }
            Style::Json => match serde_json::to_string(&EventLine::of(event)) {
                Ok(line) => outln!("{line}"),
                Err(error) => errln!("warning: an event could not be written as JSON: {error}"),
            },
            Style::Lines => {
                if let Some(line) = lines::line(event, &self.board) {
                    errln!("{line}");
                }
            }
            Style::Bars => {
                if let Some(bars) = &mut self.bars {
                    bars.show(event, &self.board);
                }
            }
        }
    }

    /// The job was begun so long ago.
    pub fn began(&mut self, ago: Duration) {
        self.board.began(ago);
    }

    /// Takes note of an event of the past, and shows it only if a short account of it would.
    pub fn recall(&mut self, event: &Event) {
        let is_told = matches!(
            event,
            Event::TuneStarted { .. }
                | Event::TuneFinished { .. }
                | Event::CvStarted { tune_name: None, .. }
                | Event::CvFinished { .. }
                | Event::CvRecalled { .. }
                | Event::RunFinished { status: Status::Failed, .. }
        );
        match self.style {
            Style::Lines | Style::Bars if !is_told => {
                self.board.note(event);
                if let Some(bars) = &mut self.bars {
                    bars.follow(event, &self.board);
                }
            }
            _ => self.show(event),
        }
    }

    /// Shows what is still to be sent: a line that changes, where there are bars.
    pub fn sending(&mut self, progress: &[Progress]) {
        self.board.is_sending = true;
        let now = Instant::now();
        let due = *self.sending_at.get_or_insert(now + SENDING_UNTOLD);
        if now < due || progress.is_empty() {
            return;
        }
        let line = lines::sending(progress);
        match (&self.bars, self.style) {
            (Some(bars), _) => return bars.sending(&line),
            (None, Style::Quiet) => {}
            (None, Style::Json) => {
                let rows: u64 = progress.iter().map(|run| run.rows_behind).sum();
                let trouble = progress.iter().find_map(|run| run.trouble.as_deref());
                outln!(
                    "{}",
                    json!({ "event": "sending", "runs": progress.len(), "rows": rows, "trouble": trouble })
                );
            }
            (None, _) => errln!("{line}"),
        }
        self.sending_at = Some(now + SENDING_EVERY);
    }

    /// Takes the bars away.
    pub fn close(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.clear();
        }
    }
}
