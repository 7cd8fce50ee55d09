//! Which of the things beside the rows is sent next. Decides only; the time is handed in.

use tokio::time::Instant;

use super::cursor::Cursor;
use super::log::Position;
use super::settings::Pace;
use super::side::{Lane, Step, Stretch};

/// Files that are there and not told of: beyond, no further ones are sent.
const MOST_UNTOLD: usize = 1000;
/// Refusals after which a file, an artifact or an alert is left out.
const MOST_REFUSALS: u32 = 4;

/// All of them.
const LANES: [Lane; 4] = [Lane::Files, Lane::Artifacts, Lane::Alerts, Lane::LastFiles];

#[derive(Debug)]
struct State {
    lane: Lane,
    /// Something stands from here on.
    from: Option<Position>,
    is_busy: bool,
    /// Failures of the step that is tried.
    failures: u32,
    retry_at: Instant,
}

/// Where each lane stands.
#[derive(Debug)]
pub(super) struct Lanes {
    states: [State; 4],
}

/// How far lanes may go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// The journal was read up to here.
    pub(super) read: Position,
    /// Rows up to here are at the server.
    pub(super) acknowledged: Position,
    /// Whether nothing but the files of the end is left.
    pub(super) is_last: bool,
    /// Number of the last row.
    pub(super) step: i64,
}

/// What is to be told of a step.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What never will be there.
    pub(super) lost: Vec<String>,
    /// Why it is tried again.
    pub(super) trouble: Option<String>,
    /// Whether the key is refused.
    pub(super) is_key_refused: bool,
}

impl Lanes {
    /// From a cursor: what lies between a lane's place and the rows' is looked through again.
    pub(super) fn new(cursor: &Cursor, now: Instant) -> Self {
        let states = LANES.map(|lane| {
            let from = Some(done_of(cursor, lane)).filter(|done| *done < cursor.position);
            State { lane, from, is_busy: false, failures: 0, retry_at: now }
        });
        Self { states }
    }

    /// Something of a lane stands here.
    pub(super) fn mark(&mut self, lane: Lane, at: Position, cursor: &Cursor) {
        let is_new = at >= done_of(cursor, lane);
        if let Some(state) = self.states.iter_mut().find(|state| state.lane == lane && state.from.is_none()) {
            state.from = is_new.then_some(at);
        }
    }

    /// Whether nothing is left but the files of the end.
    pub(super) fn is_done(&self) -> bool {
        self.states.iter().filter(|state| state.lane != Lane::LastFiles).all(State::is_done)
    }

    /// Whether the files of the end are sent too.
    pub(super) fn is_last_done(&self) -> bool {
        self.states.iter().all(State::is_done)
    }

    /// When something that failed is tried again, if anything is.
    pub(super) fn next_try(&self) -> Option<Instant> {
        self.states
            .iter()
            .filter(|state| !state.is_busy && state.from.is_some())
            .map(|state| state.retry_at)
            .min()
    }

    /// What is to be sent now.
    pub(super) fn start(&mut self, reach: Reach, cursor: &Cursor, now: Instant) -> Vec<Stretch> {
        let mut started = Vec::new();
        for state in &mut self.states {
            let Some(from) = state.from.filter(|_| !state.is_busy && state.retry_at <= now) else {
                continue;
            };
            let to = match state.lane {
                // An artifact refers to the row it was made at.
                Lane::Artifacts => reach.acknowledged,
                Lane::Files if cursor.untold.len() >= MOST_UNTOLD => from,
                Lane::LastFiles if !reach.is_last || cursor.untold.len() >= MOST_UNTOLD => from,
                Lane::Files | Lane::Alerts | Lane::LastFiles => reach.read,
            };
            if from < to {
                state.is_busy = true;
                started.push(Stretch { lane: state.lane, from, to, step: reach.step });
            }
        }
        started
    }

    /// Takes what a step did into the cursor.
    pub(super) fn took(
        &mut self,
        step: Step,
        cursor: &mut Cursor,
        read: Position,
        now: Instant,
        pace: &Pace,
        key_wait: std::time::Duration,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        let Some(state) = self.states.iter_mut().find(|state| state.lane == step.lane) else {
            return verdict;
        };
        state.is_busy = false;
        if let Some(failed) = &step.failed {
            let status = failed.status();
            verdict.trouble = Some(failed.to_string());
            if matches!(status, Some(401 | 403)) {
                verdict.is_key_refused = true;
                state.retry_at = now + key_wait;
                return verdict;
            }
            state.failures += 1;
            if status.is_none() || state.failures < MOST_REFUSALS {
                state.retry_at = now + wait_after(pace, state.failures);
                return verdict;
            }
            verdict.trouble = None;
            verdict.lost.push(format!("{}: {failed}", step.what));
        }
        state.failures = 0;
        verdict.lost.extend(step.lost);
        cursor.files_sent += step.uploaded.len() as u64;
        cursor.artifacts_sent += step.committed;
        cursor.untold.extend(step.uploaded);
        *place_of(cursor, state.lane) = step.to;
        state.from = Some(step.to).filter(|to| *to < read);
        verdict
    }
}

impl State {
    fn is_done(&self) -> bool {
        self.from.is_none() && !self.is_busy
    }
}

/// Pause after so many failures.
pub(super) fn wait_after(pace: &Pace, failures: u32) -> std::time::Duration {
    // 2^16 first pauses are beyond any longest one.
    pace.first_wait.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(pace.longest_wait)
}

fn done_of(cursor: &Cursor, lane: Lane) -> Position {
    match lane {
        Lane::Files => cursor.files,
        Lane::Artifacts => cursor.artifacts,
        Lane::Alerts => cursor.alerts,
        Lane::LastFiles => cursor.last_files,
    }
}

fn place_of(cursor: &mut Cursor, lane: Lane) -> &mut Position {
    match lane {
        Lane::Files => &mut cursor.files,
        Lane::Artifacts => &mut cursor.artifacts,
        Lane::Alerts => &mut cursor.alerts,
        Lane::LastFiles => &mut cursor.last_files,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::api::ApiError;
    use super::super::side::SideError;
    use super::*;

    const KEY_WAIT: Duration = Duration::from_secs(300);

    fn reach(read: Position, acknowledged: Position) -> Reach {
        Reach { read, acknowledged, is_last: false, step: 9 }
    }

    fn step(lane: Lane, to: Position, failed: Option<SideError>) -> Step {
        let what = "it".to_owned();
        Step { lane, to, uploaded: vec!["a".to_owned()], committed: 0, lost: vec![], failed, what }
    }

    fn refused(status: u16) -> Option<SideError> {
        let (what, message) = ("it".to_owned(), "no".to_owned());
        Some(ApiError::Refused { what, status, message }.into())
    }

    fn unreachable() -> Option<SideError> {
        Some(ApiError::Unreachable { what: "it".to_owned(), message: "down".to_owned() }.into())
    }

    #[test]
    fn what_is_marked_while_a_lane_is_busy_is_found_afterwards() {
        let (now, mut cursor) = (Instant::now(), Cursor::default());
        let mut lanes = Lanes::new(&cursor, now);
        lanes.mark(Lane::Files, 10, &cursor);
        let started = lanes.start(reach(20, 0), &cursor, now);
        assert_eq!((started[0].lane, started[0].from, started[0].to), (Lane::Files, 10, 20));
        assert!(lanes.start(reach(20, 0), &cursor, now).is_empty());
        lanes.mark(Lane::Files, 30, &cursor);
        lanes.took(step(Lane::Files, 20, None), &mut cursor, 40, now, &Pace::default(), KEY_WAIT);
        assert_eq!((cursor.files, cursor.files_sent, lanes.is_done()), (20, 1, false));
        let started = lanes.start(reach(40, 0), &cursor, now);
        assert_eq!((started[0].from, started[0].to), (20, 40));
        lanes.took(step(Lane::Files, 40, None), &mut cursor, 40, now, &Pace::default(), KEY_WAIT);
        assert!(lanes.is_done());
        lanes.mark(Lane::Files, 30, &cursor);
        assert!(lanes.is_done(), "what a cursor has behind it is not sent again");
    }

    #[test]
    fn artifacts_wait_for_their_rows_and_the_last_files_for_the_end() {
        let (now, cursor) = (Instant::now(), Cursor::default());
        let mut lanes = Lanes::new(&cursor, now);
        lanes.mark(Lane::Artifacts, 10, &cursor);
        lanes.mark(Lane::LastFiles, 12, &cursor);
        assert!(lanes.start(reach(20, 5), &cursor, now).is_empty());
        assert_eq!(lanes.start(reach(20, 20), &cursor, now)[0].lane, Lane::Artifacts);
        let last = Reach { is_last: true, ..reach(20, 20) };
        assert_eq!(lanes.start(last, &cursor, now)[0].lane, Lane::LastFiles);
    }

    #[test]
    fn a_refusal_is_given_up_and_a_lost_server_and_key_are_not() {
        let (mut now, mut cursor, pace) = (Instant::now(), Cursor::default(), Pace::default());
        let mut lanes = Lanes::new(&cursor, now);
        lanes.mark(Lane::Alerts, 10, &cursor);
        for failed in
            [unreachable(), unreachable(), refused(401), unreachable(), unreachable(), unreachable()]
        {
            assert_eq!(lanes.start(reach(20, 0), &cursor, now).len(), 1);
            let verdict = lanes.took(step(Lane::Alerts, 11, failed), &mut cursor, 20, now, &pace, KEY_WAIT);
            assert!(verdict.lost.is_empty() && verdict.trouble.is_some());
            assert!(lanes.start(reach(20, 0), &cursor, now).is_empty(), "not at once");
            now = lanes.next_try().unwrap();
        }
        lanes.start(reach(20, 0), &cursor, now);
        let verdict = lanes.took(step(Lane::Alerts, 11, refused(400)), &mut cursor, 20, now, &pace, KEY_WAIT);
        assert_eq!(verdict.lost.len(), 1);
        assert_eq!(cursor.alerts, 11);
    }

    #[test]
    fn a_cursor_looks_through_what_lies_before_its_rows() {
        let mut cursor = Cursor::default();
        (cursor.position, cursor.files) = (50, 30);
        (cursor.artifacts, cursor.alerts, cursor.last_files) = (50, 50, 50);
        let now = Instant::now();
        let started = Lanes::new(&cursor, now).start(reach(50, 50), &cursor, now);
        assert_eq!(
            started.iter().map(|stretch| (stretch.lane, stretch.from)).collect::<Vec<_>>(),
            [(Lane::Files, 30)]
        );
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let waits =
            [1, 2, 3, 5, 6, 60, u32::MAX].map(|failures| wait_after(&Pace::default(), failures).as_secs());
        assert_eq!(waits, [2, 4, 8, 32, 60, 60, 60]);
    }
}
