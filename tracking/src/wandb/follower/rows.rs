//! Rows and all that goes with them in one request.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::api::ApiError;
use super::super::batch::{Batch, Beside, LARGEST_REQUEST, LineFile};
use super::super::gather::{Form, Gathered};
use super::super::uploader::UploadEvent;
use super::{Config, Follower, Open, Part};

impl Follower {
    /// When the next request is to be made.
    pub(super) fn due_at(&self, open: &Open) -> Option<Instant> {
        let last = self.last_sent?;
        let is_closed = self.is_closed();
        let is_unread = open.has_more || open.gatherer.has_carried() || (is_closed && !open.is_all);
        let pace = &self.work.target.pace;
        let rest = if is_unread && (is_closed || open.gatherer.source.fold.exit.is_some()) {
            Duration::ZERO // the server's own limits hold
        } else if is_unread || !self.cursor.untold.is_empty() {
            pace.stream
        } else {
            pace.heartbeat
        };
        Some(last + rest)
    }

    pub(super) fn is_due(&self, open: &Open) -> bool {
        self.due_at(open).is_none_or(|at| at <= Instant::now())
    }

    /// Reads and sends one request.
    pub(super) async fn send(&mut self, open: &mut Open) -> Result<(), Part> {
        let is_ended = self.is_closed();
        let gates = &self.work.gates;
        let gate = Arc::clone(if is_ended { &gates.ended } else { &gates.live });
        // A gate is never closed; without a permit there would only be more in memory.
        let permit = self.beside(gate.acquire_owned()).await;
        let is_closed = self.is_closed();
        if let Some(growth) = &mut self.work.growth {
            growth.mark_unchanged();
        }
        let before = self.cursor.before.as_ref();
        let shift = before.map(|before| before.shift).unwrap_or_default();
        let form = Form { structured: open.there.structured, shift };
        let got = match open.gatherer.gather(form, self.portion) {
            Ok(got) => got,
            Err(error) => {
                self.unreadable(&error).await?;
                return Err(Part::Again);
            }
        };
        self.read = open.gatherer.source.position;
        open.has_more = !got.is_all;
        open.is_all = got.is_all && (is_closed || open.gatherer.source.fold.exit.is_some());
        open.has_summary |= got.has_summary;
        open.is_preempting |= got.is_preempting;
        for (lane, at) in &got.marks {
            self.lanes.mark(*lane, *at, &self.cursor);
        }
        if got.has_config {
            let at = Instant::now() + self.work.target.pace.gather;
            self.config = match self.config {
                Config::Sent => Config::Due(at),
                Config::UnderWay { .. } => Config::UnderWay { is_due_again: true },
                due => due,
            };
        }
        self.start_tasks(open);
        let is_nothing = got.batch.is_empty() && !open.has_summary && self.cursor.untold.is_empty();
        let heartbeat =
            self.last_sent.is_some_and(|last| Instant::now() < last + self.work.target.pace.heartbeat);
        if is_nothing && !open.is_preempting && heartbeat {
            // Records without lines only.
            self.acknowledged(&got, got.losses.clone());
            return Ok(());
        }
        let sent = self.request(open, got, None).await;
        // Whoever waits after a failure holds nothing up.
        drop(permit);
        self.after(sent).await
    }

    /// Goes on after a request that was taken, or waits after one that was not and has the journal opened anew.
    pub(super) async fn after(&mut self, sent: Result<(), ApiError>) -> Result<(), Part> {
        let Err(error) = sent else {
            return Ok(());
        };
        self.failed(error.status(), &error.to_string()).await?;
        Err(Part::Again)
    }

    /// Sends what was gathered, and takes the answer into the cursor.
    pub(super) async fn request(
        &mut self,
        open: &mut Open,
        got: Gathered,
        exit_code: Option<i32>,
    ) -> Result<(), ApiError> {
        let fold = &open.gatherer.source.fold;
        let before = self.cursor.before.as_ref();
        let (mut losses, mut summary) = (got.losses.clone(), None);
        if (open.has_summary || exit_code.is_some()) && !self.portion.is_place_only() {
            let held = before.and_then(|before| before.summary.as_deref());
            let line = fold.summary(held, self.cursor.shift());
            if !line.left_out.is_empty() {
                losses.push(format!("the summary is too long, sent without {}", line.left_out.join(", ")));
            }
            summary = Some(line.text).filter(|text| text != "{}");
        }
        // Beside many rows a long one waits for a request with fewer; the last has none.
        let room = LARGEST_REQUEST.saturating_sub(got.batch.bytes());
        let waits = summary.as_ref().is_some_and(|text| text.len() > room && !got.batch.is_empty());
        if waits {
            summary = None;
        }
        let uploaded = self.cursor.untold.clone();
        let told = uploaded.len();
        let beside = Beside { summary, uploaded, preempting: open.is_preempting, exit_code };
        let body = got.batch.body(self.cursor.bases(), &beside);
        let bytes = body.len();
        let rows = got.batch.lines(LineFile::History);
        self.work.entry.change(|entry| entry.rows_under_way = rows);
        self.last_sent = Some(Instant::now());
        let (api, path) = (self.work.api.clone(), open.there.path.clone());
        let got = Gathered { batch: Batch::default(), ..got };
        let answer = self.beside(async move { api.stream(&path, body).await }).await;
        self.work.entry.change(|entry| entry.rows_under_way = 0);
        match answer {
            Ok(answer) => {
                self.fine();
                self.portion.taken();
                open.has_summary = waits;
                open.is_preempting = false;
                self.cursor.untold.drain(..told);
                self.acknowledged(&got, losses);
                if answer.stopped && !self.told.stop && exit_code.is_none() {
                    self.told.stop = true;
                    (self.work.hearer)(UploadEvent::StopAsked);
                }
                Ok(())
            }
            Err(error) => {
                if matches!(error.status(), Some(400 | 413 | 422)) {
                    self.portion.refused(bytes);
                }
                Err(error)
            }
        }
    }

    /// The journal up to there is at the server.
    pub(super) fn acknowledged(&mut self, got: &Gathered, losses: Vec<String>) {
        losses.into_iter().for_each(|loss| self.lose(loss));
        self.cursor.position = got.end;
        self.cursor.rows = got.rows;
        self.save();
    }
}
