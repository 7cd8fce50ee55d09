//! Pictures of samples: what the model sees, what is true, what it says, where it errs.
//!
//! One picture holds four panels side by side, with what they show written above and below where there is a font (feature
//! `plots`):
//!
//! | panel | shows |
//! |---|---|
//! | composite | near infrared, red, green as red, green, blue where the data name them, else the first three bands; each from its 2nd to its 98th percentile in the sample |
//! | truth | positive white, negative black, ignored grey |
//! | prediction | probability from black (0) to white (1), in 16 greys |
//! | errors | found green, false alarm orange, missed blue, rightly negative black, ignored grey |
//!
//! # Sources
//! Colours: Okabe and Ito 2008, Color Universal Design; told apart by colour-blind readers.

use std::collections::HashMap;

use super::error::RunError;
use super::setup::Setup;
use crate::data::{Batch, DataFolder, Shard};
use crate::figures::{Colour, Picture};
use crate::metrics::{ConfusionCounts, NEGATIVE, POSITIVE, THRESHOLD};

/// Samples with positive pixels that are shown at the most.
const POSITIVE_SAMPLES: usize = 20;
/// Samples without positive pixels that are shown at the most.
const NEGATIVE_SAMPLES: usize = 10;
/// Pixels a panel is wide and high at the most.
const MAX_SIDE: usize = 256;
/// Pixels between two panels.
const GAP: usize = 2;
/// Panels of a picture.
const PANELS: usize = 4;
/// Share of the values at either end of a band that are cut off.
const CUT: f64 = 0.02;
/// Greys of the prediction but black. Few, so that noise of 128 × 128 pixels takes less than 100 KiB.
const GREYS: u8 = 15;
/// Bands shown as red, green and blue where all of them are there.
const FALSE_COLOUR: [&str; 3] = ["nir", "red", "green"];

const BLACK: Colour = [0, 0, 0];
const WHITE: Colour = [255, 255, 255];
const IGNORED: Colour = [128, 128, 128];
const BETWEEN: Colour = [200, 200, 200];
/// Bluish green.
const FOUND: Colour = [0, 158, 115];
/// Vermilion.
const FALSE_ALARM: Colour = [213, 94, 0];
/// Sky blue.
const MISSED: Colour = [86, 180, 233];

/// Which samples of a set are shown, the same ones every time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Place in the order of pictures and sample id, by row.
    samples: HashMap<usize, (usize, String)>,
    /// Channels shown as red, green and blue.
    channels: [usize; 3],
    /// What they are.
    composite: String,
}

/// A sample that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Preview {
    /// Its place among those of the pass.
    pub(super) place: usize,
    pub(super) caption: String,
    /// What the first panel shows.
    #[cfg_attr(not(feature = "plots"), allow(dead_code, reason = "written where there is a font"))]
    composite: String,
    panels: [Picture; PANELS],
}

/// A sample that is to be shown, before the model has spoken.
#[derive(Debug)]
pub(super) struct View<'a> {
    place: usize,
    sample_id: &'a str,
    composite_name: &'a str,
    /// Place of its pixels in the batch.
    number: usize,
    grid: Grid,
    composite: Vec<Colour>,
}

impl Shown {
    /// Chooses among the rows that this process sees: evenly spaced ones, so that no region stands for all. `None` where
    /// nothing is to be drawn, or another rank does.
    pub(super) fn choose(
        setup: &Setup,
        folder: &DataFolder,
        rows: &[usize],
        shard: Option<Shard>,
    ) -> Option<Self> {
        if setup.settings.plot_every_n_val_epochs == 0 || !setup.site.is_first() {
            return None;
        }
        let rows = shard.map_or_else(|| rows.to_vec(), |shard| shard.of(rows));
        let table = folder.table();
        Some(Self::among(&rows, &table.empty, &table.sample_id, folder.bands()))
    }

    fn among(rows: &[usize], empty: &[bool], sample_ids: &[String], bands: &[String]) -> Self {
        let (negative, positive): (Vec<usize>, Vec<usize>) = rows.iter().partition(|row| empty[**row]);
        let chosen = spaced(&positive, POSITIVE_SAMPLES).chain(spaced(&negative, NEGATIVE_SAMPLES));
        let samples =
            chosen.enumerate().map(|(place, row)| (row, (place, sample_ids[row].clone()))).collect();
        let channels = channels(bands);
        Self { samples, channels, composite: composite_name(channels, bands) }
    }

    /// The samples of a batch that are shown. Values are looked at here, before they move to the device.
    pub(super) fn views(&self, batch: &Batch) -> Vec<View<'_>> {
        let pixels = batch.h * batch.w;
        let view = |(number, row): (usize, &usize)| {
            let (place, sample_id) = self.samples.get(row)?;
            let grid = Grid::of(batch.h, batch.w);
            let sample = &batch.x[number * batch.c * pixels..(number + 1) * batch.c * pixels];
            let bands = self.channels.map(|channel| &sample[channel * pixels..(channel + 1) * pixels]);
            let (place, composite) = (*place, grid.composite(bands, bands.map(ends)));
            Some(View { place, sample_id, composite_name: &self.composite, number, grid, composite })
        };
        batch.rows.iter().enumerate().filter_map(view).collect()
    }
}

impl Preview {
    /// The panels, named, with the sample above and the meaning of the colours below.
    #[cfg(feature = "plots")]
    pub(super) fn picture(&self) -> Result<Picture, RunError> {
        let [composite, truth, prediction, errors] = &self.panels;
        let (title, notes) = self.caption.split_once(": ").unwrap_or((&self.caption, ""));
        let panels = [
            (self.composite.as_str(), composite.clone()),
            ("truth", truth.clone()),
            ("prediction: 0 black, 1 white", prediction.clone()),
            ("errors", errors.clone()),
        ];
        let keys = [
            ("found", FOUND),
            ("false alarm", FALSE_ALARM),
            ("missed", MISSED),
            ("rightly negative", BLACK),
            ("ignored", IGNORED),
            ("true", WHITE),
        ];
        Ok(crate::figures::strip(&crate::figures::Strip {
            title,
            notes,
            panels: panels.into(),
            keys: &keys,
        })?)
    }

    /// The panels.
    #[cfg(not(feature = "plots"))]
    pub(super) fn picture(&self) -> Result<Picture, RunError> {
        Ok(self.beside())
    }

    /// The panels side by side.
    #[cfg_attr(all(feature = "plots", not(test)), expect(dead_code, reason = "for builds without a font"))]
    fn beside(&self) -> Picture {
        let [first, ..] = &self.panels;
        let (columns, rows) = (first.width as usize, first.height as usize);
        let width = PANELS * columns + (PANELS - 1) * GAP;
        let mut pixels: Vec<Colour> = Vec::with_capacity(width * rows);
        for row in 0..rows {
            for (number, panel) in self.panels.iter().enumerate() {
                if number > 0 {
                    pixels.extend([BETWEEN; GAP]);
                }
                let (own, _) = panel.rgb.as_chunks();
                pixels.extend_from_slice(&own[row * columns..(row + 1) * columns]);
            }
        }
        // At most 4 · 256 + 3 · 2.
        Picture::of(width as u32, rows as u32, &pixels)
    }
}

impl View<'_> {
    /// Draws the sample with what the model says of its batch.
    pub(super) fn with(self, probabilities: &[f32], labels: &[u8]) -> Preview {
        let Self { place, sample_id, composite_name, number, grid, composite } = self;
        let pixels = grid.height * grid.width;
        let own = number * pixels..(number + 1) * pixels;
        let (probabilities, labels) = (&probabilities[own.clone()], &labels[own]);
        let panels = [
            composite,
            grid.pick(|at| truth(labels[at])),
            grid.pick(|at| grey(probabilities[at])),
            grid.pick(|at| verdict(probabilities[at], labels[at])),
        ];
        let caption = caption(sample_id, probabilities, labels);
        Preview {
            place,
            caption,
            composite: composite_name.into(),
            panels: panels.map(|panel| grid.picture(&panel)),
        }
    }
}

/// At most so many of the rows, evenly spaced, in their order.
fn spaced(rows: &[usize], most: usize) -> impl Iterator<Item = usize> {
    let count = rows.len().min(most);
    (0..count).map(move |place| rows[place * rows.len() / count])
}

/// Which channels are shown: false colour where the bands are named so, else the first three; of fewer than three, the
/// first as grey.
fn channels(bands: &[String]) -> [usize; 3] {
    let named = FALSE_COLOUR.map(|name| bands.iter().position(|band| band.eq_ignore_ascii_case(name)));
    match named {
        [Some(red), Some(green), Some(blue)] => [red, green, blue],
        _ if bands.len() >= 3 => [0, 1, 2],
        _ => [0; 3],
    }
}

/// The bands that are shown as red, green and blue, in words.
fn composite_name(channels: [usize; 3], bands: &[String]) -> String {
    let names = channels.map(|channel| bands.get(channel).map_or("", String::as_str));
    match names {
        [one, two, three] if one == two && two == three => one.to_owned(),
        names => format!("as red, green, blue: {}", names.join(", ")),
    }
}

/// How the pixels of a sample become those of a panel: a whole number of them side by side become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grid {
    height: usize,
    width: usize,
    factor: usize,
}

impl Grid {
    fn of(height: usize, width: usize) -> Self {
        Self::within(height, width, MAX_SIDE)
    }

    fn within(height: usize, width: usize, side: usize) -> Self {
        Self { height, width, factor: height.max(width).div_ceil(side).max(1) }
    }

    /// The pixels of a panel as a picture. Sides are at most those of a panel.
    fn picture(self, pixels: &[Colour]) -> Picture {
        let (rows, columns) = self.size();
        Picture::of(columns as u32, rows as u32, pixels)
    }

    /// Height and width of a panel.
    fn size(self) -> (usize, usize) {
        (self.height.div_ceil(self.factor), self.width.div_ceil(self.factor))
    }

    /// A panel of the middle pixels of its squares: the panels of truth, prediction and errors show the same pixels.
    fn pick(self, colour: impl Fn(usize) -> Colour) -> Vec<Colour> {
        let (rows, columns) = self.size();
        let middle = |square: usize, side: usize| (square * self.factor + self.factor / 2).min(side - 1);
        let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        places
            .map(|(row, column)| colour(middle(row, self.height) * self.width + middle(column, self.width)))
            .collect()
    }

    /// A panel of three bands, each stretched between its ends, squares averaged.
    fn composite(self, bands: [&[f32]; 3], ends: [(f32, f32); 3]) -> Vec<Colour> {
        let shades: [Vec<u8>; 3] = std::array::from_fn(|band| {
            let (low, high) = ends[band];
            self.mean(bands[band]).into_iter().map(|value| stretch(value, low, high)).collect()
        });
        (0..shades[0].len()).map(|at| [shades[0][at], shades[1][at], shades[2][at]]).collect()
    }

    fn mean(self, band: &[f32]) -> Vec<f32> {
        if self.factor == 1 {
            return band.to_vec();
        }
        let (rows, columns) = self.size();
        let mut means = Vec::with_capacity(rows * columns);
        for row in (0..self.height).step_by(self.factor) {
            for column in (0..self.width).step_by(self.factor) {
                let (below, right) =
                    ((row + self.factor).min(self.height), (column + self.factor).min(self.width));
                let lines = (row..below).map(|y| &band[y * self.width + column..y * self.width + right]);
                let sum: f64 = lines.flatten().map(|value| f64::from(*value)).sum();
                means.push((sum / ((below - row) * (right - column)) as f64) as f32);
            }
        }
        means
    }
}

/// The 2nd and the 98th percentile.
fn ends(band: &[f32]) -> (f32, f32) {
    let mut values = band.to_vec();
    let Some(last) = values.len().checked_sub(1) else { return (0.0, 0.0) };
    let cut = (last as f64 * CUT).round() as usize;
    let low = *values.select_nth_unstable_by(cut, f32::total_cmp).1;
    let high = *values.select_nth_unstable_by(last - cut, f32::total_cmp).1;
    (low, high)
}

/// 0 at the low end, 255 at the high one; 128 where they are the same.
fn stretch(value: f32, low: f32, high: f32) -> u8 {
    let span = f64::from(high) - f64::from(low);
    if span > 0.0 {
        return ((f64::from(value) - f64::from(low)) / span * 255.0).round() as u8;
    }
    match value.total_cmp(&low) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => 128,
        std::cmp::Ordering::Greater => 255,
    }
}

fn truth(label: u8) -> Colour {
    match label {
        POSITIVE => WHITE,
        NEGATIVE => BLACK,
        _ => IGNORED,
    }
}

/// Not a number is as good as nothing said: black.
fn grey(probability: f32) -> Colour {
    let step = 255 / GREYS;
    [(probability * f32::from(GREYS)).round() as u8 * step; 3]
}

fn verdict(probability: f32, label: u8) -> Colour {
    match (label, probability > THRESHOLD) {
        (POSITIVE, true) => FOUND,
        (POSITIVE, false) => MISSED,
        (NEGATIVE, true) => FALSE_ALARM,
        (NEGATIVE, false) => BLACK,
        _ => IGNORED,
    }
}

/// The sample and its pixels, all of them.
fn caption(sample_id: &str, probabilities: &[f32], labels: &[u8]) -> String {
    // As many of one as of the other: both are cut from the same batch.
    let counts = ConfusionCounts::of(probabilities, labels).unwrap_or_default();
    let ConfusionCounts { true_positives, false_positives, false_negatives, .. } = counts;
    format!(
        "{sample_id}: {true_positives} px found, {false_positives} false alarms, {false_negatives} missed"
    )
}

#[cfg(feature = "plots")]
mod cell;
#[cfg(feature = "plots")]
pub(super) use cell::Cell;

#[cfg(test)]
mod tests;
