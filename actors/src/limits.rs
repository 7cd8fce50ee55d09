//! Every queue bound and every timer of the actors, in one place.
//!
//! A queue without a bound here does not exist, but for what waits for a reader of events: that is bounded by what happened, see
//! [`bus`](crate::bus). What a full queue means stands with each bound.

use std::time::Duration;

/// A worker beats at least this often, in seconds; a beat says "alive", not "getting on".
pub const BEAT_SECS: u64 = 2;

/// A worker that says nothing at all for this long, not even a beat, is taken for hung; sooner where the time without
/// progress is shorter.
pub const BEAT_TIMEOUT: Duration = Duration::from_secs(15 * BEAT_SECS);

/// No progress for this long ends an attempt, where the caller says nothing else. Long, because a first step may
/// wait for a slow disk or a compiler of kernels.
pub const PROGRESS_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Time a worker has to finish its step and write its `last` checkpoint after a stop, or to exit after its final
/// word; then it is killed.
pub const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// Time a killed worker has to be gone. A process always makes it; a thread that never looks at its stop flag does
/// not, and is then left behind with a warning.
pub const KILL_GRACE: Duration = Duration::from_secs(10);

/// Pause before a failed attempt is repeated, so that a machine short of something gets a chance to recover.
pub const RETRY_BACKOFF: Duration = Duration::from_millis(500);

/// Repetitions of a run whose worker was lost or killed from outside, in all.
pub const RETRIES_LOST: u32 = 2;

/// Repetitions of a run that ran out of memory, on the device or on the host; each asks for a device to itself.
pub const RETRIES_OUT_OF_MEMORY: u32 = 1;

/// Times a cv starts the actor of a run anew after that actor was lost to a panic.
pub const RESTARTS_RUN_ACTOR: u32 = 1;

/// Messages from one worker that wait for its RunActor. Full: the worker's supervising thread waits, then its pipe
/// fills, then the worker itself waits.
pub const WORKER_EVENTS: usize = 32;

/// Records of a job's actors that wait for the thread of its journal. Full: the actor waits before it acts on the fact.
pub const JOURNAL_QUEUE: usize = 64;

/// Messages of the RunActors that wait for the DeviceManager. Full: the RunActor's send waits.
pub const DEVICE_MAILBOX: usize = 64;

/// Time between two tries for a device that another engine process holds, while somebody waits.
pub const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Time between two looks at the memory of GPUs whose runs are over.
pub const MEMORY_LOOK: Duration = Duration::from_millis(100);

/// Time the memory of a GPU has to come back after its run; then the GPU is given out all the same, with a warning.
pub const MEMORY_DEADLINE: Duration = Duration::from_secs(30);

/// Memory of a GPU is back when no more than so much above its use before the run is in use: drivers keep some.
pub const MEMORY_SLACK_BYTES: u64 = 256 << 20;

/// Time between two looks at whether the GPUs at work are still there.
pub const GPU_LOOK: Duration = Duration::from_secs(1);

/// Looks in a row that a GPU may leave unanswered before it is taken for gone.
pub const GPU_GONE_LOOKS: u32 = 5;

/// Time a driver has to tell of the GPUs asked for; then the look counts as unanswered.
pub const GPU_ANSWER: Duration = Duration::from_secs(5);

/// Messages of one RunActor that wait for its TrackerActor. Full: the RunActor reads no more from its worker.
pub const TRACKER_MAILBOX: usize = 8;

/// Records that wait for the back ends of one run: a minute of them, at the four that a worker sends in a second. Full:
/// the TrackerActor takes no more messages.
pub const TRACKER_QUEUE: usize = 256;

/// Events that back ends publish of one run and that wait to stand in its own log: a handful in all. Full: those that
/// follow do not stand there.
pub const RUN_LINE_QUEUE: usize = 16;

/// Time a back end of tracking has for each call; then it is given up, and the run goes on without it. Long, because
/// disks of a network have been seen to come back after a minute.
pub const BACK_END_DEADLINE: Duration = Duration::from_secs(120);

/// Time from a run's first attempt to the first look at how busy machine and worker are.
pub const FIRST_SAMPLE: Duration = Duration::from_secs(2);

/// Time between two such looks: what W&B's own client takes.
pub const SAMPLE_PERIOD: Duration = Duration::from_secs(15);

/// Table writes that wait for the ParquetSink. Full: the CvActor's send waits; its runs go on.
pub const SINK_MAILBOX: usize = 32;

/// Table writes that wait for the thread that writes them. Full: the ParquetSink takes no more messages.
pub const SINK_QUEUE: usize = 1;

/// Jobs that wait for the root actor. Full: the caller gets [`JobError::Busy`](crate::system::JobError::Busy).
pub const JOB_MAILBOX: usize = 16;

/// Time the jobs have to end after a shutdown; then their actors are dropped, and with them their workers killed.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(60);

/// Mailbox of actors that nobody sends to: what they hear comes from channels they own.
pub const UNUSED_MAILBOX: usize = 1;

/// The durations a run is held to; [`Default`] gives the constants of this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// See [`PROGRESS_TIMEOUT`].
    pub progress: Duration,
    /// See [`BEAT_TIMEOUT`].
    pub beat: Duration,
    /// See [`STOP_DEADLINE`].
    pub stop: Duration,
    /// See [`KILL_GRACE`].
    pub kill: Duration,
    /// See [`RETRY_BACKOFF`].
    pub backoff: Duration,
    /// See [`BACK_END_DEADLINE`].
    pub back_end: Duration,
}

impl Timers {
    /// Time a record has to get into the queue of a run's tracker, and the tracker to close its back ends; then the
    /// run goes on untracked. Longer than it takes to give up the back ends and then the files, which is to come
    /// first.
    #[must_use]
    pub fn tracker(&self) -> Duration {
        self.back_end.saturating_mul(3)
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            progress: PROGRESS_TIMEOUT,
            beat: BEAT_TIMEOUT,
            stop: STOP_DEADLINE,
            kill: KILL_GRACE,
            backoff: RETRY_BACKOFF,
            back_end: BACK_END_DEADLINE,
        }
    }
}
