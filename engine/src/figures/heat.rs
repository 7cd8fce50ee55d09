//! Tables whose cells are coloured by their values.

use super::canvas::{Align, Canvas, Failed, Frame, draw};
use super::curves::heading;
use super::style::{FAINT, INK, LINE, SMALL, TEXT, cividis, ink_on};
use super::{CHART, FigureError, Picture};
use crate::metrics::{RegionRow, RegionTable};

/// Rows of regions that find room, the one of all left out.
const REGIONS: usize = 15;
/// Side of a cell of a confusion matrix.
const CELL: f64 = 200.0;

/// A confusion matrix of two classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix<'a> {
    /// Names of the classes, the negative one first.
    pub classes: [&'a str; 2],
    /// By true class, then by the predicted one.
    pub counts: [[u64; 2]; 2],
    /// What is counted.
    pub unit: &'a str,
    /// Whether there is such a thing as a true negative.
    pub has_true_negatives: bool,
}

/// A confusion matrix: counts, and their shares of each true class by colour.
///
/// # Errors
/// [`FigureError`] if it can not be drawn.
pub fn confusion_matrix(title: &str, matrix: &Matrix<'_>) -> Result<Picture, FigureError> {
    draw(CHART, |canvas| {
        heading(canvas, title)?;
        let (left, top) = (168.0, 84.0);
        for (row, counts) in matrix.counts.iter().enumerate() {
            let all = counts.iter().sum::<u64>();
            let y = top + CELL * row as f64;
            canvas.text(matrix.classes[row], (left - 14.0, y + CELL / 2.0), Align::Right, TEXT, INK)?;
            for (column, count) in counts.iter().enumerate() {
                let x = left + CELL * column as f64;
                if row == 0 {
                    let below = top + 2.0 * CELL + 16.0;
                    canvas.text(matrix.classes[column], (x + CELL / 2.0, below), Align::Middle, TEXT, INK)?;
                }
                let frame = Frame { x: x + 1.0, y: y + 1.0, width: CELL - 2.0, height: CELL - 2.0 };
                let is_known = matrix.has_true_negatives || row == 1;
                let share = if all > 0 && is_known { *count as f64 / all as f64 } else { f64::NAN };
                let colour = cividis(share);
                canvas.fill(frame, colour)?;
                let (middle, ink) = ((x + CELL / 2.0, y + CELL / 2.0), ink_on(colour));
                if (row, column) == (0, 0) && !matrix.has_true_negatives {
                    canvas.text("there are none", middle, Align::Middle, SMALL, FAINT)?;
                    continue;
                }
                if share.is_finite() {
                    canvas.text(&percent(share), (middle.0, middle.1 - 14.0), Align::Middle, 26, ink)?;
                }
                canvas.text(&grouped(*count), (middle.0, middle.1 + 18.0), Align::Middle, TEXT, ink)?;
            }
        }
        canvas.text("predicted", (left + CELL, top + 2.0 * CELL + 42.0), Align::Middle, TEXT, INK)?;
        canvas.upright("true", (40.0, top + CELL), TEXT, INK)?;
        let x = left + 2.0 * CELL + 36.0;
        scale(canvas, "share of the true class", Frame { x, y: top, width: 18.0, height: 2.0 * CELL })?;
        canvas.text(&format!("counted: {}", matrix.unit), (left, 60.0), Align::Left, SMALL, FAINT)
    })
}

/// What colours mean, from 0 to 1, along an upright bar.
fn scale(canvas: &Canvas<'_>, name: &str, frame: Frame) -> Result<(), Failed> {
    let Frame { x, y, width, height } = frame;
    for line in 0..height as u32 {
        let at = f64::from(line);
        canvas.fill(Frame { x, y: y + at, width, height: 1.0 }, cividis(1.0 - at / height))?;
    }
    for tick in 0..=4_u8 {
        let share = f64::from(tick) / 4.0;
        let at = y + height * (1.0 - share);
        canvas.text(&format!("{share:.2}"), (x + width + 8.0, at), Align::Left, SMALL, INK)?;
    }
    canvas.upright(name, (x + width + 58.0, y + height / 2.0), SMALL, INK)
}

/// Intersection over union, precision, recall and F1 by region, those with most pixels of the positive class where not
/// all find room.
///
/// # Errors
/// [`FigureError`] if it can not be drawn.
pub fn region_table(title: &str, table: &RegionTable) -> Result<Picture, FigureError> {
    draw(CHART, |canvas| {
        heading(canvas, title)?;
        let mut shown: Vec<&RegionRow> = table.regions.iter().collect();
        let positives = |row: &RegionRow| row.pixels.true_positives + row.pixels.false_negatives;
        shown.sort_by_key(|row| std::cmp::Reverse(positives(row)));
        shown.truncate(REGIONS);
        shown.sort_by(|one, other| one.region.cmp(&other.region));
        let height = (440.0 / (shown.len() + 1) as f64).min(40.0);
        let columns = ["IoU", "precision", "recall", "F1"];
        let (left, top, width) = (196.0, 84.0, 96.0);
        for (number, name) in columns.iter().enumerate() {
            canvas.text(
                name,
                (left + width * (number as f64 + 0.5), top - 14.0),
                Align::Middle,
                TEXT,
                INK,
            )?;
        }
        let beside = left + width * columns.len() as f64;
        canvas.text("samples", (beside + 84.0, top - 14.0), Align::Right, SMALL, FAINT)?;
        canvas.text("positive px", (beside + 196.0, top - 14.0), Align::Right, SMALL, FAINT)?;
        let rows = shown.into_iter().map(|row| (row, 0.0)).chain([(&table.all, 8.0)]);
        for (number, (row, gap)) in rows.enumerate() {
            let y = top + height * number as f64 + gap;
            let middle = y + height / 2.0;
            let name = canvas.fitted(&row.region, TEXT, left - 36.0);
            canvas.text(&name, (left - 12.0, middle), Align::Right, TEXT, INK)?;
            for (number, value) in [row.iou, row.precision, row.recall, row.f1].into_iter().enumerate() {
                let x = left + width * number as f64;
                let colour = if positives(row) == 0 && number != 1 { LINE } else { cividis(value) };
                canvas.fill(
                    Frame { x: x + 1.0, y: y + 1.0, width: width - 2.0, height: height - 2.0 },
                    colour,
                )?;
                let at = (x + width / 2.0, middle);
                canvas.text(&format!("{value:.3}"), at, Align::Middle, TEXT, ink_on(colour))?;
            }
            canvas.text(&grouped(row.samples), (beside + 84.0, middle), Align::Right, SMALL, INK)?;
            canvas.text(&grouped(positives(row)), (beside + 196.0, middle), Align::Right, SMALL, INK)?;
        }
        let others = table.regions.len().saturating_sub(REGIONS);
        let hidden =
            format!("and {others} regions with fewer positive pixels, which are in the file of the table");
        let is_without = |row: &RegionRow| positives(row) == 0;
        let note = match others {
            0 if !table.regions.iter().any(is_without) => "",
            0 => "grey: nothing positive is there to be found",
            _ => hidden.as_str(),
        };
        canvas.text(note, (24.0, f64::from(CHART.1) - 24.0), Align::Left, SMALL, FAINT)
    })
}

/// 12345678 as `12 345 678`.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
