//! What is sent once all of a journal is: the files of the end, and the last request.

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::super::extras::{self, Content};
use super::super::files::send_files;
use super::super::gather::Gathered;
use super::{Config, Extras, Follower, Open, Outcome, Part, Task, WithoutEnd};

impl Follower {
    /// All of the journal is sent: what else there is, and the last request. `None` if something is still under way.
    pub(super) async fn end(&mut self, open: &mut Open) -> Result<Option<Outcome>, Part> {
        if !self.lanes.is_done() || self.config != Config::Sent || self.extras == Extras::UnderWay {
            return Ok(None);
        }
        let exit_code = match (&open.gatherer.source.fold.exit, self.work.without_end) {
            (Some(exit), _) => exit.exit_code,
            (None, WithoutEnd::Crashed) => 1,
            (None, WithoutEnd::LeftOpen) => {
                let why =
                    "the run ended without saying so; its rows are sent, and it is left open".to_owned();
                return Ok(Some(Outcome::Left(why)));
            }
        };
        if let Extras::Open(at) = self.extras {
            if at <= Instant::now() {
                self.start_extras(open);
            }
            return Ok(None);
        }
        if !self.lanes.is_last_done() {
            return Ok(None);
        }
        let (end, rows) = (self.cursor.position, self.cursor.rows);
        let got = Gathered { end, rows, is_all: true, ..Gathered::default() };
        let sent = self.request(open, got, Some(exit_code)).await;
        self.after(sent).await?;
        self.cursor.is_complete = true;
        self.save();
        if let Err(error) = std::fs::write(self.work.folder.synced(), b"") {
            self.warn(format!("all is sent, but that can not be noted in the run's folder: {error}"));
        }
        Ok(Some(Outcome::Sent))
    }

    pub(super) fn start_extras(&mut self, open: &Open) {
        self.extras = Extras::UnderWay;
        let fold = &open.gatherer.source.fold;
        let before = self.cursor.before.as_ref();
        let content = Content {
            summary: fold
                .summary(before.and_then(|before| before.summary.as_deref()), self.cursor.shift())
                .text,
            config: fold.config.to_json(self.config_before()),
            metadata: fold.config.metadata().map(|metadata| metadata.to_string()),
            has_console: fold.console_lines() > 0,
        };
        let (api, path, folder) = (self.work.api.clone(), open.there.path.clone(), self.work.folder.clone());
        self.tasks.spawn(async move {
            let written = folder.clone();
            let names = match spawn_blocking(move || extras::write(&written, &content)).await {
                Ok(Ok(names)) => names,
                Ok(Err(error)) => return Task::Extras(Vec::new(), vec![error.to_string()]),
                Err(error) => return Task::Extras(Vec::new(), vec![error.to_string()]),
            };
            match send_files(&api, &path, &folder.files(), &names).await {
                Ok(sent) => {
                    let refused = sent.refused.into_iter().map(|(name, why)| format!("file {name}: {why}"));
                    Task::Extras(sent.uploaded, refused.collect())
                }
                Err(error) if error.status().is_none_or(|status| matches!(status, 401 | 403)) => {
                    Task::ExtrasFailed(error)
                }
                Err(error) => Task::Extras(Vec::new(), vec![format!("{}: {error}", names.join(", "))]),
            }
        });
    }
}
