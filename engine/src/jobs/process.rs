//! The process that works on a job, as something to be asked to stop.

use std::io;
use std::path::Path;

use engine_actors::stop::StopMode;
use rustix::process::{Pid, Signal};

use super::EVENTS;
use super::error::CancelError;
use super::find::JobPlace;
use super::status::{JobState, JobStatus};

/// A process of this machine that was seen to hold a job's journal.
#[derive(Debug)]
#[non_exhaustive]
pub struct JobProcess {
    place: JobPlace,
    pid: u32,
    handle: Handle,
}

impl JobProcess {
    /// The process that works on a job.
    ///
    /// # Errors
    /// [`CancelError`] if there is none that a signal can be sent to, and why.
    pub fn of(place: &JobPlace) -> Result<Self, CancelError> {
        let status = JobStatus::of(place)?;
        let name = || place.name.clone();
        match (status.state, status.pid) {
            (JobState::Running, Some(pid)) => {
                let refused = |source| CancelError::Refused { name: name(), pid, source };
                let handle = Handle::open(pid).map_err(refused)?;
                // The handle keeps its process from being mixed up with a later one of the same id.
                let handle = handle.filter(|_| has_open(pid, &place.journal()));
                let handle = handle.ok_or_else(|| CancelError::NotItsProcess { name: name(), pid })?;
                Ok(Self { place: place.clone(), pid, handle })
            }
            (JobState::Running, None) => Err(CancelError::NoProcess { name: name() }),
            (JobState::RunningElsewhere, _) => {
                Err(CancelError::Elsewhere { name: name(), host: status.host.unwrap_or_default() })
            }
            (state, _) => Err(CancelError::NotUnderWay { name: name(), state }),
        }
    }

    /// Its id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks it to stop, as Ctrl-C does: once, or twice for [`StopMode::Kill`]. A drain can not be asked for from outside, and
    /// is a cancel.
    ///
    /// # Errors
    /// [`CancelError::Refused`].
    pub fn stop(&self, mode: StopMode) -> Result<(), CancelError> {
        let sent = match mode {
            StopMode::Drain | StopMode::Cancel => self.handle.send(Signal::INT),
            // Two of one signal that come at once are one.
            StopMode::Kill => self.handle.send(Signal::INT).and_then(|()| self.handle.send(Signal::TERM)),
        };
        sent.map_err(|source| CancelError::Refused { name: self.place.name.clone(), pid: self.pid, source })
    }

    /// Whether it has let go of the job's files. It lets go of the journal first, then sends what is left, and says last how it
    /// ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        !has_open(self.pid, &self.place.journal()) && !has_open(self.pid, &self.place.dir.join(EVENTS))
    }
}

#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Handle(std::os::fd::OwnedFd);

#[cfg(target_os = "linux")]
impl Handle {
    /// None if there is no such process.
    fn open(pid: u32) -> io::Result<Option<Self>> {
        let Some(pid) = process_id(pid) else { return Ok(None) };
        match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
            Ok(handle) => Ok(Some(Self(handle))),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// To a process that is gone nothing is sent, which is what is wanted.
    fn send(&self, signal: Signal) -> io::Result<()> {
        sent(rustix::process::pidfd_send_signal(&self.0, signal))
    }
}

#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
struct Handle(Pid);

#[cfg(not(target_os = "linux"))]
impl Handle {
    fn open(pid: u32) -> io::Result<Option<Self>> {
        Ok(process_id(pid).filter(|pid| rustix::process::test_kill_process(*pid).is_ok()).map(Self))
    }

    fn send(&self, signal: Signal) -> io::Result<()> {
        sent(rustix::process::kill_process(self.0, signal))
    }
}

fn process_id(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

fn sent(answer: rustix::io::Result<()>) -> io::Result<()> {
    match answer {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        answer => Ok(answer?),
    }
}

/// Whether a process of this machine has a file open. Of a process of somebody else that can not be seen: then no.
#[cfg(target_os = "linux")]
pub(super) fn has_open(pid: u32, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(wanted) = path.metadata() else { return false };
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let is_it = |file: std::fs::Metadata| (file.dev(), file.ino()) == (wanted.dev(), wanted.ino());
    open.flatten().any(|entry| std::fs::metadata(entry.path()).is_ok_and(is_it))
}

/// Elsewhere only that there is a process.
#[cfg(not(target_os = "linux"))]
pub(super) fn has_open(pid: u32, _: &Path) -> bool {
    process_id(pid).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

#[cfg(test)]
mod tests {
    use engine_actors::journal::{JOURNAL, Opened, Record, encode};
    use engine_tracking::journal::{Durability, JournalWriter};

    use super::*;
    use crate::artifacts::Level;
    use crate::jobs::host_name;
    use crate::jobs::status::tests::tune_job;

    /// A tune whose journal is held by this test and says that this process works on it.
    fn held_by(pid: u32, host: &str) -> (tempfile::TempDir, JobPlace, JournalWriter) {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_owned();
        let mut writer =
            JournalWriter::create(&dir.join(JOURNAL), &encode(&tune_job(2, 2)).unwrap()).unwrap();
        let opened = Record::Opened(Opened { pid, host: host.to_owned(), at_unix_secs: 1 });
        writer.append([encode(&opened).unwrap().as_slice()], Durability::Process).unwrap();
        (folder, JobPlace { level: Level::Tune, name: "t".into(), dir }, writer)
    }

    #[test]
    fn a_process_is_asked_only_if_it_holds_the_journal_on_this_machine() {
        let (_own, place, writer) = held_by(std::process::id(), &host_name());
        let own = JobProcess::of(&place).unwrap();
        assert_eq!(own.pid(), std::process::id());
        #[cfg(target_os = "linux")]
        assert!(!own.is_gone());
        drop(writer);
        assert!(own.is_gone());
        let error = JobProcess::of(&place).unwrap_err();
        assert!(matches!(error, CancelError::NotUnderWay { state: JobState::Interrupted, .. }), "{error}");

        let (_other, place, _writer) = held_by(std::process::id(), "some-other-host");
        let error = JobProcess::of(&place).unwrap_err();
        assert!(error.to_string().contains("runs on some-other-host"), "{error}");
    }

    /// The process with the lowest id is no engine, and lives as long as the machine.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_has_taken_over_the_id_is_left_alone() {
        for pid in [1, u32::MAX / 2] {
            let (_folder, place, _writer) = held_by(pid, &host_name());
            let error = JobProcess::of(&place).unwrap_err();
            assert!(matches!(error, CancelError::NotItsProcess { .. }), "{pid}: {error}");
        }
    }
}
