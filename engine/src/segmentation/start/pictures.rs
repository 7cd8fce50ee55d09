//! The pictures of a run's beginning.

use std::path::Path;
use std::sync::Arc;

use engine_tracking::{Figure, FigureContent};

use super::super::distribution::{Distribution, Parts, Samples};
use super::super::error::RunError;
use super::super::figures::put_picture;
use super::super::preview::{Cell, Shown};
use super::super::setup::Setup;
use crate::augment::{Pipeline, key};
use crate::data::{DataFolder, Sample};
use crate::figures::{
    BLUE, BarGroup, Bars, Colour, GREEN, Grid, ORANGE, Picture, Segment, VERMILION, bars, grid,
};

/// Samples that augmentations are shown on.
const SAMPLES: usize = 4;
/// Draws that are tried for one that changes something: of 20 coins, one a million times none falls so.
const DRAWS: u64 = 20;

const TRAIN: Colour = BLUE;
const VAL: Colour = ORANGE;
const TEST: Colour = GREEN;

/// A figure of one picture that belongs to the run's beginning.
fn figure(name: &str, picture: &Picture, path: &Path, caption: &str) -> Result<Figure, RunError> {
    let image = put_picture(path, picture, caption)?;
    Ok(Figure { name: name.into(), epoch: 0, step: 0, content: FigureContent::Images(vec![image]) })
}

pub(super) fn distribution(distribution: &Distribution, folder: &Path) -> Result<Figure, RunError> {
    let segment = |colour, Samples { positive, negative }| Segment { colour, positive, negative };
    let parts = |name: &str, Parts { train, val, test }: &Parts| Bars {
        name: name.into(),
        segments: vec![segment(TRAIN, *train), segment(VAL, *val), segment(TEST, *test)],
    };
    let of = distribution.fold.map_or_else(String::new, |fold| format!(", fold {fold}"));
    let regions = distribution.regions.iter().map(|(name, own)| parts(name, own));
    let mut groups = vec![BarGroup { name: format!("samples by region{of}"), bars: regions.collect() }];
    if !distribution.folds.is_empty() {
        let folds = distribution.folds.iter().enumerate();
        let folds = folds.map(|(fold, own)| parts(&format!("fold {fold}"), own));
        groups.push(BarGroup { name: "samples by fold".into(), bars: folds.collect() });
    }
    let keys = [("train", TRAIN), ("validation", VAL), ("test", TEST)];
    let picture = bars(&format!("Samples{of}"), &keys, &groups)?;
    let path = folder.join("data_distribution.png");
    figure("data/distribution", &picture, &path, "samples by region, split and fold")
}

/// What is done to the training samples of a run.
pub(super) struct Augmentations {
    folder: Arc<DataFolder>,
    names: Vec<String>,
    seed: u64,
    /// Training samples; none where nothing is to be drawn.
    shown: Option<Shown>,
}

impl Augmentations {
    pub(super) fn new(setup: &Setup, folder: &Arc<DataFolder>, train: &[usize]) -> Self {
        Self {
            folder: Arc::clone(folder),
            names: setup.hyperparameters.augment.clone().unwrap_or_default(),
            seed: setup.site.seed(),
            shown: Shown::choose(setup, folder, train, None),
        }
    }

    /// The same samples as they are, after each augmentation alone, and after all of them. `None` where there are none.
    pub(super) fn draw(&self, figures: &Path) -> Result<Option<Figure>, RunError> {
        let Some(shown) = self.shown.as_ref().filter(|_| !self.names.is_empty()) else { return Ok(None) };
        let mut pipelines = Vec::new();
        for name in &self.names {
            pipelines.push((name.clone(), Pipeline::parse(std::slice::from_ref(name))?));
        }
        pipelines.push(("all of them, in order".into(), Pipeline::parse(&self.names)?));
        let (folder, mut rows) = (&self.folder, Vec::new());
        for (row, sample_id) in &shown.first(SAMPLES) {
            let sample = folder.read(*row)?;
            let (_, height, width) = folder.shape();
            let whole = Cell::new(shown, &sample, height, width);
            let mut cells = vec![whole.picture(&sample)];
            for (_, pipeline) in &pipelines {
                let changed = augmented(pipeline, &sample, folder.shape(), (self.seed, *row as u64))?;
                cells.push(whole.picture(&changed));
            }
            rows.push((sample_id.clone(), cells));
        }
        let columns = ["as it is".to_owned()].into_iter().chain(pipelines.into_iter().map(|(name, _)| name));
        let picture = grid(&Grid {
            title: "What augmentation makes of samples",
            notes: "each draw is one that changes something; drawn anew for every sample and epoch",
            columns: columns.collect(),
            rows,
            keys: &[("edge of the positive pixels", VERMILION), ("edge of the ignored ones", BLUE)],
        })?;
        let path = figures.join("augmentations.png");
        figure("data/augmentations", &picture, &path, "samples, each augmentation, and all of them").map(Some)
    }
}

/// The sample after the first draw that changes it; as it is where none does.
fn augmented(
    pipeline: &Pipeline,
    sample: &Sample,
    shape: (usize, usize, usize),
    (seed, row): (u64, u64),
) -> Result<Sample, RunError> {
    for draw in 0..DRAWS {
        let mut changed = sample.clone();
        pipeline.apply(&mut changed.x, &mut changed.y, shape, key(seed, draw, row))?;
        if changed != *sample {
            return Ok(changed);
        }
    }
    Ok(sample.clone())
}
