//! What is drawn as a run begins: how its samples are divided, and what augmentation makes of some of them.

use std::path::PathBuf;
use std::sync::Arc;

use engine_actors::plan::RunTask;

use super::distribution::Distribution;
use super::error::RunError;
use super::figures::{put_json, warn};
use super::setup::Setup;
use crate::data::{DataFolder, divide_without_folds};
use crate::folds::Division;
use crate::workload::FigureTeller;

#[cfg(feature = "plots")]
mod pictures;

/// All that it takes to draw the beginning of a run without the run.
pub(super) struct Beginning {
    run_dir: PathBuf,
    distribution: Distribution,
    #[cfg(feature = "plots")]
    augmentations: pictures::Augmentations,
}

impl Beginning {
    pub(super) fn new(
        setup: &Setup,
        folder: &Arc<DataFolder>,
        division: &Division,
    ) -> Result<Self, RunError> {
        let (table, settings) = (folder.table(), &setup.settings);
        let refused = |source| folder.undividable(source);
        let (fold, all) = match setup.site.plan.task {
            RunTask::Fit => {
                let rest = divide_without_folds(table, settings).map_err(refused)?.train;
                let all = table.by_region().folds_of(&rest, settings.fold_method, settings.total_folds);
                let all = all.map_err(|source| refused(source.into()))?;
                (Some(setup.site.plan.cell.fold), all)
            }
            RunTask::FitAndTest | RunTask::Test { .. } => (None, Vec::new()),
        };
        Ok(Self {
            run_dir: setup.site.plan.run_dir.clone(),
            distribution: Distribution::of(table, division, fold, &all),
            #[cfg(feature = "plots")]
            augmentations: pictures::Augmentations::new(setup, folder, &division.train),
        })
    }

    /// Writes and draws. What can not be is a warning.
    pub(super) fn perform(self, teller: &FigureTeller) {
        let figures = self.run_dir.join("figures");
        if let Err(error) = put_json(&figures.join("data_distribution.json"), &self.distribution) {
            return warn(teller, error);
        }
        #[cfg(feature = "plots")]
        {
            let drawn = [
                pictures::distribution(&self.distribution, &figures).map(Some),
                self.augmentations.draw(&figures),
            ];
            let mut told = Vec::new();
            for drawn in drawn {
                match drawn {
                    Ok(figure) => told.extend(figure),
                    Err(error) => warn(teller, error),
                }
            }
            teller.draw(told);
        }
    }
}
