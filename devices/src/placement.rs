//! How many cvs and cells run at once, and who holds the lease: a strategy as data, so that no actor branches on it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::suggest::did_you_mean;

/// How devices are used (`--strategy`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// One device, one cell after another.
    #[default]
    Auto,
    /// The cells of a cv side by side, one device each.
    CvParallel,
    /// The cvs of a tune side by side, one device each, the cells of each in series.
    TuneParallel,
    /// One run on every device, gradients averaged; the caller is rank 0.
    Ddp,
    /// As `Ddp`, every rank a process of its own. Also spelled `ddp_spawn` and `ddp_notebook`.
    DdpFork,
}

impl Strategy {
    /// Every spelling that is offered, in the order of help texts.
    pub const NAMES: [&'static str; 7] =
        ["auto", "cv-parallel", "tune-parallel", "ddp", "ddp_fork", "ddp_spawn", "ddp_notebook"];

    /// Whether a run takes all devices at once.
    #[must_use]
    pub fn is_data_parallel(self) -> bool {
        matches!(self, Self::Ddp | Self::DdpFork)
    }

    /// How many cvs and cells run at once on that many devices.
    ///
    /// # Errors
    /// [`PlacementError::NoDevice`] without devices, [`PlacementError::Packed`] for data parallelism with several runs
    /// on a device.
    pub fn placement(self, devices: usize, packing: RunsPerDevice) -> Result<Placement, PlacementError> {
        let devices = u32::try_from(devices).unwrap_or(u32::MAX);
        if devices == 0 {
            return Err(PlacementError::NoDevice);
        }
        let slots = packing.at_most();
        let every_slot = devices.saturating_mul(slots);
        let one_each = |cvs_at_once, cells_at_once, leased_by| Placement {
            cvs_at_once,
            cells_at_once,
            leased_by,
            run_takes: RunTakes::OneSlot,
        };
        match self {
            Self::Auto => Ok(one_each(1, slots, LeasedBy::Run)),
            Self::CvParallel => Ok(one_each(1, every_slot, LeasedBy::Run)),
            Self::TuneParallel => Ok(one_each(every_slot, 1, LeasedBy::Cv)),
            Self::Ddp | Self::DdpFork if packing != RunsPerDevice::ONE => {
                Err(PlacementError::Packed { strategy: self, packing })
            }
            Self::Ddp | Self::DdpFork => Ok(Placement {
                cvs_at_once: 1,
                cells_at_once: 1,
                leased_by: LeasedBy::Run,
                run_takes: RunTakes::EveryDevice,
            }),
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::CvParallel => "cv-parallel",
            Self::TuneParallel => "tune-parallel",
            Self::Ddp => "ddp",
            Self::DdpFork => "ddp_fork",
        })
    }
}

impl FromStr for Strategy {
    type Err = PlacementError;

    /// Reads one strategy, or several joined by `+` as [`check_combination`] does.
    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let strategies = given.split('+').map(one).collect::<Result<Vec<_>, _>>()?;
        check_combination(&strategies)
    }
}

fn one(given: &str) -> Result<Strategy, PlacementError> {
    match given.trim().to_ascii_lowercase().replace('_', "-").as_str() {
        "auto" => Ok(Strategy::Auto),
        "cv-parallel" => Ok(Strategy::CvParallel),
        "tune-parallel" => Ok(Strategy::TuneParallel),
        "ddp" => Ok(Strategy::Ddp),
        "ddp-fork" | "ddp-spawn" | "ddp-notebook" => Ok(Strategy::DdpFork),
        _ => Err(PlacementError::unknown(given)),
    }
}

/// The one strategy that several add up to: the same one twice, or `auto` beside another, is no contradiction.
///
/// # Errors
/// [`PlacementError::Both`] for runs side by side together with data parallelism inside a run,
/// [`PlacementError::Several`] for any other pair.
pub fn check_combination(strategies: &[Strategy]) -> Result<Strategy, PlacementError> {
    let mut chosen = Strategy::Auto;
    for &strategy in strategies {
        chosen = match (chosen, strategy) {
            (a, b) if a == b => a,
            (Strategy::Auto, other) | (other, Strategy::Auto) => other,
            (parallel, ddp) if ddp.is_data_parallel() && !parallel.is_data_parallel() => {
                return Err(PlacementError::Both { parallel, ddp });
            }
            (ddp, parallel) if ddp.is_data_parallel() && !parallel.is_data_parallel() => {
                return Err(PlacementError::Both { parallel, ddp });
            }
            (first, second) => return Err(PlacementError::Several { first, second }),
        };
    }
    Ok(chosen)
}

/// How many runs share a device (`--runs-per-device`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunsPerDevice {
    /// So many, at least 1.
    Fixed(u32),
    /// As many as fit the device's memory by what a run of the same configuration was measured to need.
    ByMemory,
}

impl RunsPerDevice {
    /// One run has the device to itself.
    pub const ONE: Self = Self::Fixed(1);

    /// Runs on one device at the most, whatever its memory.
    pub const MOST: u32 = 16;

    /// Runs that may be under way on one device.
    #[must_use]
    pub fn at_most(self) -> u32 {
        match self {
            Self::Fixed(runs) => runs.clamp(1, Self::MOST),
            Self::ByMemory => Self::MOST,
        }
    }
}

impl fmt::Display for RunsPerDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(runs) => write!(f, "{runs}"),
            Self::ByMemory => f.write_str("auto"),
        }
    }
}

/// Who holds a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeasedBy {
    /// Each run, for its own time.
    Run,
    /// Each cv, for all its cells.
    Cv,
}

/// What one run takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunTakes {
    /// One slot of one device.
    OneSlot,
    /// Every device, one rank on each.
    EveryDevice,
}

/// A strategy in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Placement {
    /// Cvs of a tune under way at the most.
    pub cvs_at_once: u32,
    /// Cells of each cv under way at the most.
    pub cells_at_once: u32,
    /// Who asks for the lease.
    pub leased_by: LeasedBy,
    /// What the lease is of.
    pub run_takes: RunTakes,
}

/// Why devices can not be used that way.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// No strategy of that name is known.
    #[error("unknown strategy `{given}`{hint} use one of {}", Strategy::NAMES.join(", "))]
    Unknown {
        /// As written.
        given: String,
        /// `, did you mean …?` or `:`.
        hint: String,
    },
    /// Runs side by side and data parallelism inside a run at once.
    #[error(
        "`{parallel}` and `{ddp}` exclude each other: with `{parallel}` every run has one device of its own, \
         with `{ddp}` one run takes them all; give one of the two"
    )]
    Both {
        /// The strategy that runs side by side.
        parallel: Strategy,
        /// The data-parallel strategy.
        ddp: Strategy,
    },
    /// Two strategies that can not be joined.
    #[error("`{first}` and `{second}` can not be joined: give one strategy")]
    Several {
        /// Given first.
        first: Strategy,
        /// Given later.
        second: Strategy,
    },
    /// Several runs on a device of which each is to take all devices.
    #[error(
        "`{strategy}` gives every device to one run, so `runs-per-device` can not be {packing}: use 1, or \
         `cv-parallel` or `tune-parallel`"
    )]
    Packed {
        /// The strategy.
        strategy: Strategy,
        /// What was asked for.
        packing: RunsPerDevice,
    },
    /// Several machines without a launcher that starts a process on each.
    #[error(
        "`num-nodes` is {nodes}, but this process is no rank of such a job: start it on every node by `srun` inside \
         an allocation (or by torchrun, which sets RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT), or \
         use 1"
    )]
    NoRanks {
        /// Machines asked for.
        nodes: u32,
    },
    /// There is nothing to place a run on.
    #[error("no device to place a run on: list at least one with --devices")]
    NoDevice,
}

impl PlacementError {
    fn unknown(given: &str) -> Self {
        let mut hint = did_you_mean(given, Strategy::NAMES);
        if hint.is_empty() {
            hint.push(':');
        }
        Self::Unknown { given: given.to_owned(), hint }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offered_strategy_is_read() {
        for name in Strategy::NAMES {
            name.parse::<Strategy>().unwrap();
        }
        assert_eq!("ddp_notebook".parse::<Strategy>().unwrap(), Strategy::DdpFork);
        assert_eq!("cv_parallel".parse::<Strategy>().unwrap(), Strategy::CvParallel);
    }

    #[test]
    fn placements_follow_the_table() {
        let placed = |strategy: Strategy| strategy.placement(3, RunsPerDevice::ONE).unwrap();
        let row =
            |placement: Placement| (placement.cvs_at_once, placement.cells_at_once, placement.leased_by);
        assert_eq!(row(placed(Strategy::Auto)), (1, 1, LeasedBy::Run));
        assert_eq!(row(placed(Strategy::CvParallel)), (1, 3, LeasedBy::Run));
        assert_eq!(row(placed(Strategy::TuneParallel)), (3, 1, LeasedBy::Cv));
        assert_eq!(row(placed(Strategy::DdpFork)), (1, 1, LeasedBy::Run));
        assert_eq!(placed(Strategy::CvParallel).run_takes, RunTakes::OneSlot);
        assert_eq!(placed(Strategy::Ddp).run_takes, RunTakes::EveryDevice);
        assert_eq!(Strategy::Auto.placement(0, RunsPerDevice::ONE), Err(PlacementError::NoDevice));
    }

    #[test]
    fn packing_multiplies_what_runs_side_by_side() {
        let placed = |strategy: Strategy, packing| strategy.placement(2, packing).unwrap();
        assert_eq!(placed(Strategy::CvParallel, RunsPerDevice::Fixed(3)).cells_at_once, 6);
        assert_eq!(placed(Strategy::TuneParallel, RunsPerDevice::Fixed(3)).cvs_at_once, 6);
        assert_eq!(placed(Strategy::Auto, RunsPerDevice::Fixed(3)).cells_at_once, 3);
        assert_eq!(placed(Strategy::Auto, RunsPerDevice::ByMemory).cells_at_once, RunsPerDevice::MOST);
        let error = Strategy::DdpFork.placement(2, RunsPerDevice::ByMemory).unwrap_err().to_string();
        assert!(error.contains("`ddp_fork`") && error.contains("can not be auto"), "{error}");
    }

    #[test]
    fn side_by_side_and_data_parallel_exclude_each_other_in_either_order() {
        for given in ["cv-parallel+ddp", "ddp + cv-parallel", "auto+ddp+cv-parallel"] {
            let error = given.parse::<Strategy>().unwrap_err();
            assert_eq!(
                error,
                PlacementError::Both { parallel: Strategy::CvParallel, ddp: Strategy::Ddp },
                "{given}"
            );
        }
        assert!(matches!("ddp+ddp_fork".parse::<Strategy>(), Err(PlacementError::Several { .. })));
        assert!(matches!(
            "cv-parallel+tune-parallel".parse::<Strategy>(),
            Err(PlacementError::Several { .. })
        ));
        assert_eq!("ddp+auto+ddp".parse::<Strategy>().unwrap(), Strategy::Ddp);
        assert_eq!(check_combination(&[]).unwrap(), Strategy::Auto);
    }

    #[test]
    fn a_misspelt_strategy_is_answered_with_the_nearest() {
        let error = "cv-paralel".parse::<Strategy>().unwrap_err().to_string();
        assert!(error.contains("did you mean `cv-parallel`?"), "{error}");
        assert!("zebra".parse::<Strategy>().unwrap_err().to_string().contains("`zebra`: use one of"));
    }
}
