//! From what an earlier process went through to where a tune stands.

use std::sync::Arc;

use super::plans::cv_plan;
use super::state::{Effect, State};
use crate::cv::{plan_runs, recalled_outcome};
use crate::journal::{Past, Step};
use crate::plan::{Hyperparameters, TunePlan};
use crate::ports::{Sampler, SharedIds};

/// Whether the search proposes what it proposed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Search {
    Agrees,
    /// It is another, or was told otherwise. What was tried stays what it was.
    Differs,
}

/// Takes state and sampler through what an earlier process went through, in its order.
pub(crate) fn recall(
    state: &mut State,
    plan: &TunePlan,
    sampler: &mut dyn Sampler,
    past: &Past,
    ids: &SharedIds,
) -> Search {
    let mut proposed: Vec<Hyperparameters> = Vec::new();
    let mut search = Search::Agrees;
    for step in past.steps() {
        match step {
            Step::Proposed(hyperparameters) => {
                let trial = u32::try_from(proposed.len()).unwrap_or(u32::MAX);
                // Asked again, the sampler comes to the same state.
                if sampler.propose(trial).as_ref() != Some(hyperparameters) {
                    search = Search::Differs;
                }
                proposed.push(hyperparameters.clone());
                state.recall_proposed(hyperparameters.clone());
            }
            Step::CvEnded(hp_index) => {
                let index = *hp_index as usize;
                let Some(hyperparameters) = proposed.get(index) else { continue };
                let plan = Arc::new(cv_plan(plan, index, hyperparameters.clone()));
                let planned = plan_runs(&plan, Some(past), ids);
                // Without an outcome it has more to do than it had, and is taken up again.
                let Some(outcome) = recalled_outcome(plan, planned.runs, &planned.past) else { continue };
                for effect in state.recall_ended(index, outcome) {
                    if let Effect::TellSampler { trial, score } = effect {
                        sampler.tell(trial, score);
                    }
                }
            }
        }
    }
    search
}
