//! What goes wrong, who hears of it, and how long is waited.

use std::time::Duration;

use super::super::lanes::wait_after;
use super::super::log::LogError;
use super::super::uploader::UploadEvent;
use super::{Follower, KEY_WAIT, Outcome, Part};

impl Follower {
    /// A request failed for good: waits before the next one.
    pub(super) async fn failed(&mut self, status: Option<u16>, text: &str) -> Result<(), Part> {
        if matches!(status, Some(401 | 403)) {
            if self.work.growth.is_none() {
                return Err(Part::Over(Outcome::KeyRefused(text.to_owned())));
            }
            self.key_refused(text);
            self.pause(KEY_WAIT).await;
            return Ok(());
        }
        self.failures += 1;
        let wait = wait_after(&self.work.target.pace, self.failures);
        self.work.entry.change(|entry| entry.trouble = Some(text.to_owned()));
        tracing::debug!(run = %self.work.folder.run_id, failures = self.failures, text, "not sent");
        self.pause(wait).await;
        Ok(())
    }

    pub(super) fn key_refused(&mut self, text: &str) {
        self.work.entry.change(|entry| entry.trouble = Some(text.to_owned()));
        self.refused = Some(text.to_owned());
        if !self.told.key {
            self.told.key = true;
            let minutes = KEY_WAIT.as_secs() / 60;
            self.warn(format!("{text}: check WANDB_API_KEY and who may write to the project; tried again every {minutes} minutes, and `engine sync` sends the run later"));
        }
    }

    pub(super) async fn unreadable(&mut self, error: &LogError) -> Result<(), Part> {
        if self.work.growth.is_none() {
            return Err(Part::Over(Outcome::Unreadable(error.to_string())));
        }
        self.failures += 1;
        self.work.entry.change(|entry| entry.trouble = Some(error.to_string()));
        self.pause(wait_after(&self.work.target.pace, self.failures)).await;
        Ok(())
    }

    pub(super) async fn pause(&mut self, wait: Duration) {
        self.beside(tokio::time::sleep(wait)).await;
    }

    /// A request was answered.
    pub(super) fn fine(&mut self) {
        self.failures = 0;
        self.told.key = false;
        self.work.entry.change(|entry| entry.trouble = None);
    }

    pub(super) fn lose(&mut self, what: String) {
        if self.cursor.lose(&what) {
            self.warn(what);
        }
    }

    pub(super) fn warn(&self, what: String) {
        (self.work.hearer)(UploadEvent::Warned(what));
    }

    pub(super) fn save(&mut self) {
        match self.cursor.save(&self.work.folder.cursor()) {
            Ok(()) => self.told.disk = false,
            // Nothing is lost by it, so the user has nothing to do: what is sent again changes nothing.
            Err(error) if !self.told.disk => {
                self.told.disk = true;
                tracing::warn!(run = %self.work.folder.run_id, %error, "a later sync sends all of the run again");
            }
            Err(_) => {}
        }
        let acknowledged = self.cursor.position;
        self.work.entry.change(|entry| entry.acknowledged = acknowledged);
    }

    /// Whether nothing will be added to the journal.
    pub(super) fn is_closed(&self) -> bool {
        self.work.growth.as_ref().is_none_or(|growth| growth.has_changed().is_err())
    }

    pub(super) fn config_before(&self) -> Option<&str> {
        self.cursor.before.as_ref().and_then(|before| before.config.as_deref())
    }
}
