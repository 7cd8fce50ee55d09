//! What becomes of the workers of a simulated job: a function of configuration, cell and attempt, so that whoever goes on
//! with it comes to the same.

use std::sync::Arc;

use engine_devices::{Exit, ExitReport};
use engine_tracking::Metrics;
use serde_json::json;

use super::rng::{Rng, mix};
use crate::limits::{RETRIES_LOST, RETRIES_OUT_OF_MEMORY};
use crate::outcome::{Cause, Failure, Status};
use crate::plan::{AfterTune, Cell, FailedCells, Hyperparameters, RunPlan, TunePlan};
use crate::ports::{Ids, Sampler};
use crate::testing::tune_plan;

/// The way an attempt fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// No worker stands.
    NotLaunched,
    /// It leaves before it says a word.
    Mute,
    /// It is of another build.
    OtherProtocol,
    /// It leaves without a word.
    Left,
    /// Something outside kills it.
    Killed,
    /// It says that the GPU's memory ran out.
    SaysOutOfMemory,
    /// The kernel ends it for want of memory.
    OutOfMemory,
    /// It says that it panicked.
    SaysPanic,
    /// It ends as a process that panicked.
    Panics,
    /// It says that the loss is not finite.
    Diverges,
    /// It beats, and gets nowhere.
    Hangs,
    /// It does not even beat.
    Silent,
}

impl Trouble {
    pub(super) const ALL: [Self; 12] = [
        Self::NotLaunched,
        Self::Mute,
        Self::OtherProtocol,
        Self::Left,
        Self::Killed,
        Self::SaysOutOfMemory,
        Self::OutOfMemory,
        Self::SaysPanic,
        Self::Panics,
        Self::Diverges,
        Self::Hangs,
        Self::Silent,
    ];

    /// What a run is to say of it.
    pub(super) fn cause(self) -> Cause {
        match self {
            Self::NotLaunched | Self::Mute | Self::Left => Cause::Lost,
            Self::OtherProtocol => Cause::Configuration,
            Self::Killed => Cause::Killed,
            Self::SaysOutOfMemory => Cause::DeviceOutOfMemory,
            Self::OutOfMemory => Cause::HostOutOfMemory,
            Self::SaysPanic | Self::Panics => Cause::Panic,
            Self::Diverges => Cause::Diverged,
            Self::Hangs | Self::Silent => Cause::Hang,
        }
    }

    /// The failure it tells of itself, where it tells one.
    pub(super) fn told(self) -> Option<Failure> {
        match self {
            Self::SaysOutOfMemory | Self::SaysPanic | Self::Diverges => Some(failure(self.cause())),
            _ => None,
        }
    }

    pub(super) fn exit(self) -> ExitReport {
        ExitReport::bare(match self {
            Self::Killed => Exit::Signal(9),
            Self::OutOfMemory => Exit::OutOfMemory,
            Self::Panics => Exit::Code(101),
            _ => Exit::Code(1),
        })
    }
}

pub(super) fn failure(cause: Cause) -> Failure {
    Failure { cause, message: "simulated".into(), stderr_tail: Vec::new() }
}

/// A job, and everything about it that is not the schedule.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) seed: u64,
    pub(super) plan: Arc<TunePlan>,
    pub(super) epochs: u32,
    /// Whether the search hangs on what it was told, and when.
    pub(super) learns: bool,
    /// Configurations there are.
    pub(super) holds: u32,
    /// In percent: attempts that fail.
    trouble: u64,
}

impl Scenario {
    pub(super) fn of(seed: u64) -> Self {
        let mut rng = Rng::new(mix(seed ^ 0x5ce0));
        let n_trials = 1 + rng.below(4) as u32;
        let plan = TunePlan {
            failed_cells: [FailedCells::FailCv, FailedCells::Worst, FailedCells::Ignore][rng.below(3)],
            after: [AfterTune::Nothing, AfterTune::RetrainAndTest][rng.below(2)],
            ..tune_plan("t", n_trials, 1 + rng.below(3) as u32)
        };
        Self {
            seed,
            plan: Arc::new(plan),
            epochs: 1 + rng.below(3) as u32,
            learns: rng.chance(60),
            holds: if rng.chance(20) { rng.below(4) as u32 } else { u32::MAX },
            trouble: [0, 25, 60][rng.below(3)],
        }
    }

    fn key(&self, hyperparameters: &Hyperparameters, cell: Cell, part: u64) -> u64 {
        let configuration = hyperparameters.get("x").and_then(serde_json::Value::as_u64).unwrap_or(0);
        [configuration, u64::from(cell.fold), cell.seed, part]
            .iter()
            .fold(self.seed, |key, part| mix(key ^ mix(*part)))
    }

    /// The way an attempt fails, and after how many epochs of the run; nothing if it does not.
    pub(super) fn trouble(&self, plan: &RunPlan, attempt: u32) -> Option<(Trouble, u32)> {
        let mut rng = Rng::new(self.key(&plan.hyperparameters, plan.cell, 1_000 + u64::from(attempt)));
        let trouble = Trouble::ALL[rng.below(Trouble::ALL.len())];
        let after = rng.below(self.epochs as usize + 1) as u32;
        // One that is left behind is out of the way for good; most are to come again.
        rng.chance(self.trouble).then_some((trouble, after))
    }

    /// What the weights are after one more epoch.
    pub(super) fn trained(&self, plan: &RunPlan, weights: u64, epoch: u32) -> u64 {
        mix(weights ^ self.key(&plan.hyperparameters, plan.cell, u64::from(epoch)))
    }

    /// What these weights are worth; sometimes no number, or nothing.
    pub(super) fn metrics(weights: u64) -> Metrics {
        let iou = match weights % 13 {
            0 => f64::NAN,
            1 => 0.0,
            _ => (weights >> 11) as f64 / (1_u64 << 53) as f64,
        };
        [("val/iou".to_owned(), iou)].into()
    }

    /// How a run is to end, reckoned without any of the code under test.
    pub(super) fn oracle(&self, plan: &RunPlan, is_scored: bool) -> (Status, u32, Option<Cause>, Metrics) {
        let (mut lost, mut out_of_memory) = (0, 0);
        let weights = (0..self.epochs).fold(0, |weights, epoch| self.trained(plan, weights, epoch));
        for attempt in 1.. {
            let Some((trouble, _)) = self.trouble(plan, attempt) else {
                let metrics = Self::metrics(weights);
                let is_unstable =
                    is_scored && !metrics.values().all(|value| value.is_finite() && *value != 0.0);
                let status = if is_unstable { Status::Unstable } else { Status::Complete };
                return (status, attempt, None, metrics);
            };
            let cause = trouble.cause();
            let may_again = match cause {
                Cause::Lost | Cause::Killed => {
                    lost += 1;
                    lost <= RETRIES_LOST
                }
                Cause::DeviceOutOfMemory | Cause::HostOutOfMemory => {
                    out_of_memory += 1;
                    out_of_memory <= RETRIES_OUT_OF_MEMORY
                }
                _ => false,
            };
            if !may_again {
                return (Status::Failed, attempt, Some(cause), Metrics::new());
            }
        }
        unreachable!("attempts are limited")
    }
}

/// A search whose proposals hang on everything it was asked and told, in order.
pub(super) struct Search {
    scenario: Scenario,
    memory: u64,
}

impl Search {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self { scenario: scenario.clone(), memory: mix(scenario.seed) }
    }
}

impl Sampler for Search {
    fn propose(&mut self, trial: u32) -> Option<Hyperparameters> {
        if trial >= self.scenario.holds {
            return None;
        }
        self.memory = mix(self.memory ^ u64::from(trial));
        let x = if self.scenario.learns { self.memory } else { mix(self.scenario.seed ^ u64::from(trial)) };
        Some([("x".to_owned(), json!(x))].into_iter().collect())
    }

    fn tell(&mut self, trial: u32, score: Option<f64>) {
        self.memory = mix(self.memory ^ mix(u64::from(trial)) ^ score.map_or(1, f64::to_bits));
    }
}

/// Ids that no other process gave.
pub(super) struct Names {
    pub(super) process: u32,
    pub(super) given: u32,
}

impl Ids for Names {
    fn run_id(&mut self) -> String {
        self.given += 1;
        format!("p{:03}r{:03}", self.process, self.given)
    }
}
