//! Opening a journal at its cursor, and making its run known.

use tokio::task::JoinSet;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::super::connect::{Asked, ConnectError, Connected, There, connect, url_of};
use super::super::cursor::Cursor;
use super::super::gather::Gatherer;
use super::super::lanes::Lanes;
use super::super::source::{Next, Place, Source};
use super::super::uploader::UploadEvent;
use super::{Config, Extras, Follower, Open, Outcome, Part, digest};

impl Follower {
    pub(super) async fn open(&mut self) -> Result<Open, Part> {
        let mut source = self.source(u64::MAX).await?;
        if self.cursor.is_complete {
            match source.next() {
                Ok(Next::End) => return Err(Part::Over(Outcome::Sent)),
                Ok(_) => {
                    // It went on after its end.
                    self.cursor.is_complete = false;
                    source = self.source(u64::MAX).await?;
                }
                Err(error) => {
                    self.unreadable(&error).await?;
                    return Err(Part::Again);
                }
            }
        }
        let head = self.head(&mut source).await?;
        let there = self.connected(head).await?;
        self.is_removed = false;
        if there.rows < self.cursor.rows {
            // The server lost some, or never had them: from there on all is sent again.
            let rows = there.rows;
            self.warn(format!(
                "the server has {rows} rows of {} that were sent; sent again from there",
                self.cursor.rows
            ));
            if there.is_new {
                (self.cursor.files, self.cursor.artifacts, self.cursor.last_files) = (0, 0, 0);
                self.cursor.untold.clear();
            }
            source = self.source(rows).await?;
            self.cursor.position = source.position;
            self.cursor.rows = source.fold.rows;
            if there.is_new {
                self.begin_beside();
            }
        }
        self.cursor.path = Some(there.path.clone());
        self.cursor.before = there.before.clone();
        self.cursor.config = digest(&there.config);
        self.config = Config::Sent;
        let now_config = source.fold.config.to_json(self.config_before());
        if digest(&now_config) != self.cursor.config {
            self.config = Config::Due(Instant::now());
        }
        self.save();
        if !self.told.url {
            self.told.url = true;
            let url = url_of(&self.work.target.base_url, &there.path);
            (self.work.hearer)(UploadEvent::Started { url });
        }
        self.read = self.read.max(source.position);
        let gatherer = Gatherer::new(source);
        let is_preempting = false;
        Ok(Open { there, gatherer, has_more: true, is_all: false, has_summary: true, is_preempting })
    }

    /// The journal, read up to the cursor, or before a row that the server lacks.
    pub(super) async fn source(&mut self, rows: u64) -> Result<Source, Part> {
        loop {
            let place = Place { position: self.cursor.position, rows };
            let path = self.work.folder.journal();
            let opened = self.beside(spawn_blocking(move || Source::open(&path, place))).await;
            let source = match opened {
                Ok(Ok(source)) => source,
                Ok(Err(error)) => {
                    self.unreadable(&error).await?;
                    continue;
                }
                // Only a runtime that ends cancels it, and then this is dropped too.
                Err(_) => continue,
            };
            let is_there = source.position == place.position && source.fold.rows == self.cursor.rows;
            if rows < u64::MAX || is_there {
                return Ok(source);
            }
            self.warn(
                "the journal is another than the one that was sent so far; all is sent again".to_owned(),
            );
            self.cursor = Cursor::default();
            self.begin_beside();
        }
    }

    /// Drops what is under way beside the rows: the cursor says what is to be sent.
    fn begin_beside(&mut self) {
        let now = Instant::now();
        self.tasks = JoinSet::new();
        self.lanes = Lanes::new(&self.cursor, now);
        self.extras = Extras::Open(now);
        self.config = Config::Sent;
    }

    /// What the run is filed under: waits until its journal says so.
    pub(super) async fn head(&mut self, source: &mut Source) -> Result<Asked, Part> {
        loop {
            let path = self.work.folder.journal();
            // A cursor at the beginning tells nothing yet: the records before the first line are read beside it.
            let fold = if source.fold.run.is_some() { Ok(source.fold.clone()) } else { Source::head(&path) };
            let fold = match fold {
                Ok(fold) => fold,
                Err(error) => {
                    self.unreadable(&error).await?;
                    continue;
                }
            };
            if let Some(mut run) = fold.run {
                if run.entity.is_empty() {
                    run.entity = self.work.target.entity.clone().unwrap_or_default();
                }
                if run.project.is_empty() {
                    run.project = self.work.target.project.clone();
                }
                return Ok(Asked {
                    run,
                    config: fold.config,
                    path: self.cursor.path.clone(),
                    before: self.cursor.before.clone(),
                    rows: self.cursor.rows,
                    is_removed: self.is_removed,
                    resume: self.work.target.resume,
                    journal: path,
                });
            }
            let grown = match &mut self.work.growth {
                Some(growth) => growth.changed().await.is_ok(),
                None => false,
            };
            if !grown {
                return Err(Part::Over(Outcome::Left(
                    "its journal does not say which run it is of".to_owned(),
                )));
            }
        }
    }

    pub(super) async fn connected(&mut self, asked: Asked) -> Result<There, Part> {
        loop {
            let (api, asked) = (self.work.api.clone(), asked.clone());
            match self.beside(async move { connect(&api, asked).await }).await {
                Ok(Connected::There(there)) => {
                    self.fine();
                    return Ok(*there);
                }
                Ok(Connected::Kept(why)) => {
                    self.warn(format!("{why}; the run stays on disk"));
                    return Err(Part::Over(Outcome::Left(why)));
                }
                Err(ConnectError::Log(error)) => self.unreadable(&error).await?,
                Err(error) => self.failed(error.status(), &error.to_string()).await?,
            }
        }
    }
}
