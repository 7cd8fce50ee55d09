//! How a space is searched.

use engine_actors::ports::Sampler;
use serde_json::{Value, json};

use super::{GridSampler, RandomSampler, SearchSpace, SpaceError};

/// How many configurations a tune tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trials {
    /// So many, drawn at random.
    Count(u32),
    /// Every combination.
    Grid,
}

/// A search that is ready to begin.
pub(crate) struct Search {
    pub(crate) n_trials: u32,
    /// What it hangs on.
    pub(crate) described: Value,
    pub(crate) sampler: Box<dyn Sampler>,
    /// What the user should know beforehand.
    #[cfg_attr(not(feature = "segmentation"), expect(dead_code, reason = "for the command line"))]
    pub(crate) warning: Option<String>,
}

impl Search {
    /// A search of so many configurations, or of all of them; `seed` is for those that are drawn.
    pub(crate) fn new(space: SearchSpace, trials: Trials, seed: u64) -> Result<Self, SpaceError> {
        match trials {
            Trials::Grid => Ok(Self {
                n_trials: space.limit(u32::MAX),
                described: json!({ "kind": "grid", "space": space.described() }),
                sampler: Box::new(GridSampler::new(space)?),
                warning: None,
            }),
            Trials::Count(asked) => {
                let held = space.limit(asked);
                let fewer = || {
                    format!(
                        "{asked} trials were asked for, but the search space holds {held}: {held} are run"
                    )
                };
                Ok(Self {
                    n_trials: held,
                    described: json!({ "kind": "random", "space": space.described(), "seed": seed }),
                    warning: (held < asked).then(fewer),
                    sampler: Box::new(RandomSampler::new(space, seed)),
                })
            }
        }
    }
}
