//! From the runs of a cv to its score.

use engine_tracking::Metrics;

use crate::outcome::{RunOutcome, Status};
use crate::plan::{CvPlan, FailedCells};
use crate::stop::StopMode;

/// What the runs come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Conclusion {
    pub(super) status: Status,
    pub(super) score: Option<f64>,
    pub(super) spread: Option<f64>,
    pub(super) score_is_unstable: bool,
}

impl Conclusion {
    fn without_score(status: Status) -> Self {
        Self { status, score: None, spread: None, score_is_unstable: false }
    }
}

/// Scores the runs of a cv. In a cv that was stopped one cancelled cell makes it cancelled. A cell that did not
/// complete otherwise, be it that it was stopped alone, does what the plan's `failed_cells` says; without any cell
/// that ran to its end there is no score.
pub(super) fn conclude<'a>(
    plan: &CvPlan,
    runs: impl IntoIterator<Item = &'a RunOutcome>,
    stopped: Option<StopMode>,
) -> Conclusion {
    let mut ended: Vec<Metrics> = Vec::new();
    let (mut missing, mut cancelled) = (0, 0);
    for run in runs {
        match run.status {
            Status::Complete | Status::Unstable => ended.push(run.metrics.clone()),
            Status::Cancelled => cancelled += 1,
            Status::Failed | Status::Pruned => missing += 1,
        }
    }
    if cancelled > 0 && stopped.is_some() {
        return Conclusion::without_score(Status::Cancelled);
    }
    let missing = missing + cancelled;
    if ended.is_empty() {
        return Conclusion::without_score(Status::Failed);
    }
    let score = match plan.failed_cells {
        FailedCells::FailCv if missing > 0 => return Conclusion::without_score(Status::Failed),
        FailedCells::FailCv | FailedCells::Ignore => plan.scoring.score(&ended),
        FailedCells::Worst => plan.scoring.score_counting_worst(&ended, missing),
    };
    Conclusion {
        status: if score.is_unstable { Status::Unstable } else { Status::Complete },
        score: score.finite(),
        spread: score.spread(),
        score_is_unstable: score.is_unstable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cv_plan, run_outcome};

    fn of(policy: FailedCells, runs: &[(Status, f64)]) -> Conclusion {
        of_stopped(policy, runs, None)
    }

    fn of_stopped(policy: FailedCells, runs: &[(Status, f64)], stopped: Option<StopMode>) -> Conclusion {
        let plan = CvPlan { failed_cells: policy, ..cv_plan("c", 3) };
        let runs: Vec<RunOutcome> = runs.iter().map(|(status, iou)| run_outcome(*status, *iou)).collect();
        conclude(&plan, &runs, stopped)
    }

    const ALL: [FailedCells; 3] = [FailedCells::FailCv, FailedCells::Worst, FailedCells::Ignore];

    #[test]
    fn cells_that_all_completed_give_the_mean_under_every_policy() {
        for policy in ALL {
            let got = of(policy, &[(Status::Complete, 0.25), (Status::Complete, 0.75)]);
            assert_eq!((got.status, got.score, got.score_is_unstable), (Status::Complete, Some(0.5), false));
            assert!((got.spread.unwrap() - 0.125_f64.sqrt()).abs() < 1e-12);
        }
    }

    #[test]
    fn cv_5_a_failed_cell_fails_the_cv_or_counts_as_worst_or_is_left_out_as_asked() {
        let runs = [(Status::Complete, 0.5), (Status::Failed, 0.9)];
        assert_eq!(of(FailedCells::FailCv, &runs), Conclusion::without_score(Status::Failed));
        let worst = of(FailedCells::Worst, &runs);
        assert_eq!(
            (worst.status, worst.score, worst.score_is_unstable),
            (Status::Unstable, Some(0.25), true)
        );
        let ignore = of(FailedCells::Ignore, &runs);
        assert_eq!((ignore.status, ignore.score, ignore.spread), (Status::Complete, Some(0.5), None));
    }

    #[test]
    fn a_cancelled_cell_cancels_a_cv_that_was_stopped_under_every_policy() {
        let runs = [(Status::Complete, 0.5), (Status::Cancelled, 0.5), (Status::Failed, 0.1)];
        for policy in ALL {
            let got = of_stopped(policy, &runs, Some(StopMode::Drain));
            assert_eq!(got, Conclusion::without_score(Status::Cancelled));
        }
    }

    #[test]
    fn a_cell_that_was_stopped_alone_is_a_failed_one_to_its_cv() {
        let stopped = [(Status::Complete, 0.5), (Status::Cancelled, 0.9)];
        let failed = [(Status::Complete, 0.5), (Status::Failed, 0.9)];
        for policy in ALL {
            assert_eq!(of(policy, &stopped), of(policy, &failed));
        }
        assert_eq!(
            of(FailedCells::Ignore, &[(Status::Cancelled, 0.5)]),
            Conclusion::without_score(Status::Failed)
        );
    }

    #[test]
    fn without_a_cell_that_ran_to_its_end_there_is_no_score() {
        for policy in ALL {
            assert_eq!(of(policy, &[(Status::Failed, 0.5)]), Conclusion::without_score(Status::Failed));
            assert_eq!(of(policy, &[]), Conclusion::without_score(Status::Failed));
        }
    }

    #[test]
    fn nan_never_becomes_a_score() {
        let got = of(FailedCells::FailCv, &[(Status::Unstable, f64::NAN), (Status::Complete, 0.5)]);
        assert_eq!((got.status, got.score, got.score_is_unstable), (Status::Unstable, None, true));
    }
}
