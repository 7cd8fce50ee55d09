//! Writing beside the training.

use std::error::Error;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use super::error::CheckpointError;
use super::folder::Checkpoints;

/// Name of the thread that writes.
const THREAD: &str = "engine-keeper";

/// Writes checkpoints on a thread of its own, one at a time: who has the next one waits for the one before, so that no
/// more than one is ever held in memory.
///
/// An error of the thread is told once, by whatever is called next. One that is dropped waits for what is being written.
///
/// # Panics
/// As the thread did, by whatever is called next.
#[derive(Debug)]
pub struct Writer<E: Error> {
    checkpoints: Arc<Checkpoints>,
    under_way: Option<JoinHandle<Result<(), E>>>,
}

impl<E: Error + From<CheckpointError> + Send + 'static> Writer<E> {
    /// A writer to this folder.
    pub fn new(checkpoints: Checkpoints) -> Self {
        Self { checkpoints: Arc::new(checkpoints), under_way: None }
    }

    /// The folder. While something is written, only what is not written is sure to stay as it is.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Waits for the one before, then writes beside the caller.
    ///
    /// # Errors
    /// That of the one before; [`CheckpointError::NoThread`]. Nothing is written then.
    pub fn begin(
        &mut self,
        write: impl FnOnce(&Checkpoints) -> Result<(), E> + Send + 'static,
    ) -> Result<(), E> {
        self.finish()?;
        let checkpoints = Arc::clone(&self.checkpoints);
        let thread = Builder::new().name(THREAD.into()).spawn(move || write(&checkpoints));
        self.under_way = Some(thread.map_err(|source| CheckpointError::NoThread { source })?);
        Ok(())
    }

    /// Tells how the writing went if it is over, without waiting.
    ///
    /// # Errors
    /// That of what was written.
    pub fn look(&mut self) -> Result<(), E> {
        match &self.under_way {
            Some(thread) if thread.is_finished() => self.finish(),
            _ => Ok(()),
        }
    }

    /// Waits until nothing is being written.
    ///
    /// # Errors
    /// That of what was written.
    pub fn finish(&mut self) -> Result<(), E> {
        match self.under_way.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(written)) => written,
            Some(Err(panic)) => resume_unwind(panic),
        }
    }
}

impl<E: Error> Drop for Writer<E> {
    fn drop(&mut self) {
        // Whoever drops it without asking fails for a reason of its own, which is the one to tell.
        match self.under_way.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => tracing::warn!(%error, "a checkpoint is not written"),
            Some(Err(_)) => tracing::warn!("the thread that writes checkpoints panicked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    fn writer() -> (tempfile::TempDir, Writer<CheckpointError>) {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(dir.path().join("checkpoints")).unwrap();
        (dir, Writer::new(checkpoints))
    }

    fn absent() -> CheckpointError {
        CheckpointError::Absent { path: "there".into() }
    }

    #[test]
    fn one_is_written_at_a_time_and_beside_the_caller() {
        let (_dir, mut writer) = writer();
        let (go_on, waits) = sync_channel::<()>(0);
        let (said, hears) = sync_channel(2);
        let second = said.clone();
        writer
            .begin(move |_| {
                waits.recv().unwrap();
                said.send(1).unwrap();
                Ok(())
            })
            .unwrap();
        writer.look().unwrap();
        assert!(hears.try_recv().is_err(), "the caller goes on while it is written");
        go_on.send(()).unwrap();
        writer
            .begin(move |_| {
                second.send(2).unwrap();
                Ok(())
            })
            .unwrap();
        writer.finish().unwrap();
        assert_eq!(hears.iter().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn what_went_wrong_is_told_once_by_what_is_called_next() {
        let (_dir, mut writer) = writer();
        writer.begin(|_| Err(absent())).unwrap();
        let refused = writer.begin(|_| panic!("nothing is written after an error nobody knows"));
        assert!(matches!(refused, Err(CheckpointError::Absent { .. })), "{refused:?}");
        writer.finish().unwrap();
        writer.begin(|_| Err(absent())).unwrap();
        let mut looked = writer.look();
        while looked.is_ok() {
            std::thread::yield_now();
            looked = writer.look();
        }
        assert!(matches!(looked, Err(CheckpointError::Absent { .. })), "{looked:?}");
        writer.look().unwrap();
    }

    #[test]
    fn a_writer_that_is_dropped_waits_and_lets_the_folder_go() {
        let (dir, mut writer) = writer();
        let (said, hears) = sync_channel(1);
        writer
            .begin(move |checkpoints| {
                std::fs::create_dir(checkpoints.last()).unwrap();
                said.send(()).unwrap();
                Ok(())
            })
            .unwrap();
        drop(writer);
        hears.try_recv().unwrap();
        Checkpoints::open(dir.path().join("checkpoints")).unwrap();
    }

    #[test]
    #[should_panic(expected = "as the thread did")]
    fn a_panic_goes_on_where_it_is_asked_for() {
        let (_dir, mut writer) = writer();
        writer.begin(|_| panic!("as the thread did")).unwrap();
        drop(writer.finish());
    }
}
