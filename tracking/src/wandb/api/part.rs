//! A part of a file as the body of a request, read while it is sent.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::task::JoinHandle;

/// Bytes read at once. Memory of a transfer is about twice this.
const PIECE: u64 = 256 * 1024;

/// How far a part is read, for whoever watches that it goes on.
#[derive(Debug, Default)]
pub(super) struct Watched {
    read: AtomicU64,
    failed: OnceLock<io::Error>,
}

impl Watched {
    /// Returns once nothing was read for `idle`, which also bounds the wait for the answer.
    pub(super) async fn stalled(&self, idle: Duration) {
        let mut seen = self.read.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(idle).await;
            let now = self.read.load(Ordering::Relaxed);
            if now == seen {
                return;
            }
            seen = now;
        }
    }

    /// Why the file could not be read to the end of the part.
    pub(super) fn failure(&self) -> Option<&io::Error> {
        self.failed.get()
    }
}

/// Pieces of a part, in order. Ends after exactly `left` bytes or with an error.
pub(super) struct Pieces {
    file: Arc<File>,
    at: u64,
    left: u64,
    watched: Arc<Watched>,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
}

impl Pieces {
    pub(super) fn new(file: File, offset: u64, bytes: u64, watched: &Arc<Watched>) -> Self {
        let (file, watched) = (Arc::new(file), Arc::clone(watched));
        Self { file, at: offset, left: bytes, watched, reading: None }
    }
}

impl Stream for Pieces {
    type Item = io::Result<Vec<u8>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left == 0 || self.watched.failed.get().is_some() {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        let reading = this.reading.get_or_insert_with(|| {
            let (file, at, most) = (Arc::clone(&this.file), this.at, this.left.min(PIECE));
            tokio::task::spawn_blocking(move || read_piece(&file, at, most))
        });
        let read = ready!(Pin::new(reading).poll(context)).unwrap_or_else(|lost| Err(io::Error::other(lost)));
        this.reading = None;
        match read {
            Ok(piece) => {
                let bytes = piece.len() as u64;
                (this.at, this.left) = (this.at + bytes, this.left - bytes);
                this.watched.read.fetch_add(bytes, Ordering::Relaxed);
                Poll::Ready(Some(Ok(piece)))
            }
            Err(error) => {
                // The request ends with this in any case; the reason is kept for its error.
                let told = io::Error::new(error.kind(), "the file can not be read");
                drop(this.watched.failed.set(error));
                Poll::Ready(Some(Err(told)))
            }
        }
    }
}

fn read_piece(file: &File, at: u64, most: u64) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; usize::try_from(most).map_err(io::Error::other)?];
    loop {
        match file.read_at(&mut piece, at) {
            Ok(0) => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it became shorter while it was sent",
                ));
            }
            Ok(read) => {
                piece.truncate(read);
                return Ok(piece);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
