//! What is sent beside the rows: files, artifacts, alerts, the configuration.

use tokio::time::Instant;

use super::super::connect::{ConnectError, Told, send_config};
use super::super::lanes::Reach;
use super::super::side;
use super::{Config, Extras, Follower, KEY_WAIT, MOST_REFUSALS, Open, Task, digest};

impl Follower {
    /// Starts what is due beside the rows.
    pub(super) fn start_tasks(&mut self, open: &Open) {
        let now = Instant::now();
        let source = &open.gatherer.source;
        let reach = Reach {
            read: source.position,
            acknowledged: self.cursor.position,
            is_last: self.extras == Extras::Done,
            step: source.fold.last_step + self.cursor.shift().step,
        };
        for stretch in self.lanes.start(reach, &self.cursor, now) {
            let (api, path, folder) =
                (self.work.api.clone(), open.there.path.clone(), self.work.folder.clone());
            self.tasks.spawn(async move { Task::Step(side::step(&api, &path, &folder, stretch).await) });
        }
        if matches!(self.config, Config::Due(at) if at <= now || open.is_all) {
            let config = source.fold.config.to_json(self.config_before());
            let digest = digest(&config);
            if digest == self.cursor.config {
                self.config = Config::Sent;
                return;
            }
            self.config = Config::UnderWay { is_due_again: false };
            let (api, path) = (self.work.api.clone(), open.there.path.clone());
            self.tasks.spawn(async move { Task::Config(digest, send_config(&api, &path, &config).await) });
        }
    }

    /// Waits for something, and meanwhile takes what comes in beside it.
    pub(super) async fn beside<T>(&mut self, wanted: impl Future<Output = T>) -> T {
        let mut wanted = std::pin::pin!(wanted);
        loop {
            tokio::select! {
                biased;
                done = &mut wanted => return done,
                Some(task) = self.tasks.join_next() => {
                    if let Ok(task) = task {
                        self.take(task);
                    }
                }
            }
        }
    }

    pub(super) fn take(&mut self, task: Task) {
        let now = Instant::now();
        let pace = self.work.target.pace;
        match task {
            Task::Step(step) => {
                let verdict = self.lanes.took(step, &mut self.cursor, self.read, now, &pace, KEY_WAIT);
                for lost in verdict.lost {
                    self.lose(lost);
                }
                if verdict.is_key_refused {
                    self.key_refused(&verdict.trouble.unwrap_or_default());
                } else {
                    self.work.entry.change(|entry| entry.trouble = verdict.trouble);
                }
                self.save();
            }
            Task::Config(digest, Ok(told)) => {
                self.is_removed |= told == Told::Removed;
                self.cursor.config = digest;
                let is_due_again = self.config == Config::UnderWay { is_due_again: true };
                self.config = if is_due_again { Config::Due(now + pace.gather) } else { Config::Sent };
                self.save();
            }
            Task::Config(digest, Err(error)) => self.config_failed(digest, &error),
            Task::ExtrasFailed(error) => {
                let is_refused = error.status().is_some();
                self.extras = Extras::Open(now + if is_refused { KEY_WAIT } else { pace.longest_wait });
                self.work.entry.change(|entry| entry.trouble = Some(error.to_string()));
                if is_refused {
                    self.key_refused(&error.to_string());
                }
            }
            Task::Extras(uploaded, lost) => {
                self.extras = Extras::Done;
                self.cursor.files_sent += uploaded.len() as u64;
                self.cursor.untold.extend(uploaded);
                lost.into_iter().for_each(|lost| self.lose(lost));
                self.save();
            }
        }
    }

    /// The configuration was not taken: tried again, unless it is refused for what it is.
    pub(super) fn config_failed(&mut self, digest: String, error: &ConnectError) {
        let (now, text) = (Instant::now(), error.to_string());
        match error.status() {
            Some(401 | 403) => {
                self.config = Config::Due(now + KEY_WAIT);
                self.key_refused(&text);
            }
            Some(_) if self.config_refusals + 1 >= MOST_REFUSALS => {
                self.config_refusals = 0;
                self.config = Config::Sent;
                self.cursor.config = digest;
                self.lose(format!("a change of the configuration: {text}"));
            }
            status => {
                self.config_refusals += u32::from(status.is_some());
                self.config = Config::Due(now + self.work.target.pace.longest_wait);
                self.work.entry.change(|entry| entry.trouble = Some(text));
            }
        }
    }
}
