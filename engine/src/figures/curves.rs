//! Lines: receiver operating characteristic, precision over recall, learning curves.

use super::axes::{Axes, Range};
use super::canvas::{Align, Canvas, Failed, Frame, draw};
use super::style::{BLUE, FAINT, GREEN, GREY, INK, ORANGE, PURPLE, SKY, SMALL, TEXT, TITLE, VERMILION};
use super::{CHART, Colour, FigureError, Picture};
use crate::metrics::{PrecisionRecallCurve, RocCurve};

/// Side of the square that rates are drawn in.
const SQUARE: f64 = 468.0;
/// Colours of lines in their order.
const LINES: [Colour; 7] = [BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, GREY];

/// A line of a [`LinePanel`].
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What it shows.
    pub name: String,
    /// Where it was measured.
    pub x: Vec<f64>,
    /// As many values; one that is not finite is no point.
    pub y: Vec<f64>,
}

/// Lines over the same axes.
#[derive(Debug, Clone, PartialEq)]
pub struct LinePanel {
    /// What the upright axis shows.
    pub name: String,
    /// The lines.
    pub lines: Vec<Line>,
    /// Whether values lie between 0 and 1, and are shown so.
    pub is_share: bool,
}

/// True over false positive rate, with the area below.
///
/// # Errors
/// [`FigureError`] if it can not be drawn.
pub fn roc(title: &str, curve: &RocCurve, area: f64) -> Result<Picture, FigureError> {
    rates(title, ("false positive rate", "true positive rate"), |axes| {
        let canvas = axes.canvas;
        canvas.line(&[axes.place(0.0, 0.0), axes.place(1.0, 1.0)], 1.5, GREY)?;
        let (x, y) = (&curve.false_positive_rate, &curve.true_positive_rate);
        curve_line(axes, (x, y), &curve.thresholds, Align::Left)?;
        notes(axes, &[&format!("area {area:.3}"), "grey: guessing, 0.5"])
    })
}

/// Precision over recall, with the area by steps; `share` is the share of what is true, which is what guessing gives,
/// where there is such a thing.
///
/// # Errors
/// [`FigureError`] if it can not be drawn.
pub fn precision_recall(
    title: &str,
    curve: &PrecisionRecallCurve,
    area: f64,
    share: Option<f64>,
) -> Result<Picture, FigureError> {
    rates(title, ("recall", "precision"), |axes| {
        if let Some(share) = share {
            axes.canvas.line(&[axes.place(0.0, share), axes.place(1.0, share)], 1.5, GREY)?;
        }
        // The point that closes the curve has no threshold: nothing was found there.
        let open = curve.thresholds.len().min(curve.recall.len());
        curve_line(axes, (&curve.recall[..open], &curve.precision[..open]), &curve.thresholds, Align::Right)?;
        let guessing = share.map(|share| format!("grey: guessing, {share:.3}"));
        notes(axes, &[&format!("average precision {area:.3}"), guessing.as_deref().unwrap_or_default()])
    })
}

fn rates(
    title: &str,
    (x_name, y_name): (&str, &str),
    paint: impl FnOnce(&Axes<'_, '_>) -> Result<(), Failed>,
) -> Result<Picture, FigureError> {
    draw(CHART, |canvas| {
        heading(canvas, title)?;
        let frame = Frame { x: 88.0, y: 62.0, width: SQUARE, height: SQUARE };
        let axes = Axes { canvas, frame, x: Range::unit(), y: Range::unit() };
        axes.draw(x_name, y_name)?;
        paint(&axes)
    })
}

/// The title of a chart.
pub(super) fn heading(canvas: &Canvas<'_>, title: &str) -> Result<(), Failed> {
    let title = canvas.fitted(title, TITLE, f64::from(CHART.0) - 48.0);
    canvas.text(&title, (24.0, 30.0), Align::Left, TITLE, INK)
}

/// The curve, a dot at each threshold, and the numbers of some of them, below it on the side where it bends to.
fn curve_line(
    axes: &Axes<'_, '_>,
    (x, y): (&[f64], &[f64]),
    thresholds: &[f64],
    align: Align,
) -> Result<(), Failed> {
    let canvas = axes.canvas;
    canvas.line(&axes.places(x, y), 2.5, BLUE)?;
    for place in axes.places(x, y) {
        canvas.dot(place, 3.0, BLUE)?;
    }
    // Those nearest to these, where they do not lie on one already named.
    let mut named: Vec<(f64, f64)> = Vec::new();
    for wanted in [0.5, 0.25, 0.75, 0.1, 0.9] {
        let distance = |at: &usize| (thresholds[*at] - wanted).abs();
        let nearest =
            (0..thresholds.len().min(x.len())).min_by(|one, other| distance(one).total_cmp(&distance(other)));
        let Some(at) = nearest.filter(|at| x[*at].is_finite() && y[*at].is_finite()) else { continue };
        let (left, top) = axes.place(x[at], y[at]);
        if named.iter().any(|(other, above)| (other - left).abs() < 40.0 && (above - top).abs() < 18.0) {
            continue;
        }
        named.push((left, top));
        let is_half = wanted == 0.5;
        canvas.dot((left, top), if is_half { 6.0 } else { 4.5 }, if is_half { VERMILION } else { BLUE })?;
        let Frame { x, y, width, height } = axes.frame;
        let align = match align {
            _ if left > x + width - 44.0 => Align::Right,
            _ if left < x + 44.0 => Align::Left,
            align => align,
        };
        let aside = if align == Align::Left { 9.0 } else { -9.0 };
        let below = if top > y + height - 22.0 { -13.0 } else { 13.0 };
        canvas.text(&format!("{:.2}", thresholds[at]), (left + aside, top + below), align, SMALL, INK)?;
    }
    Ok(())
}

/// What there is to know beside a square of rates.
fn notes(axes: &Axes<'_, '_>, own: &[&str]) -> Result<(), Failed> {
    let left = axes.frame.x + axes.frame.width + 24.0;
    let common = ["dots: thresholds", "red: the one next to 0.5"];
    for (number, note) in own.iter().chain(&common).filter(|note| !note.is_empty()).enumerate() {
        let (size, colour) = if number == 0 { (TEXT, INK) } else { (SMALL, FAINT) };
        axes.canvas.text(
            note,
            (left, axes.frame.y + 12.0 + 26.0 * number as f64),
            Align::Left,
            size,
            colour,
        )?;
    }
    Ok(())
}

/// Lines over the epochs of a run, panel below panel.
///
/// # Errors
/// [`FigureError`] if it can not be drawn.
pub fn learning_curves(title: &str, panels: &[LinePanel]) -> Result<Picture, FigureError> {
    draw(CHART, |canvas| {
        heading(canvas, title)?;
        let count = panels.len().max(1) as f64;
        let room = (f64::from(CHART.1) - 62.0 - 52.0) / count;
        let x = || {
            Range::over(
                panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| line.x.iter().copied()),
                10,
                1.0,
            )
        };
        for (number, panel) in panels.iter().enumerate() {
            let is_last = number + 1 == panels.len();
            let y = 62.0 + room * number as f64;
            let frame = Frame { x: 88.0, y, width: 520.0, height: room - 34.0 };
            let values = panel.lines.iter().flat_map(|line| line.y.iter().copied());
            let y = if panel.is_share { Range::unit() } else { Range::over(values.chain([0.0]), 5, 1e-9) };
            let axes = Axes { canvas, frame, x: x(), y };
            axes.draw(if is_last { "epoch" } else { "" }, &panel.name)?;
            lines(&axes, panel)?;
        }
        Ok(())
    })
}

fn lines(axes: &Axes<'_, '_>, panel: &LinePanel) -> Result<(), Failed> {
    let left = axes.frame.x + axes.frame.width + 20.0;
    for (number, (line, colour)) in panel.lines.iter().zip(LINES.iter().cycle()).enumerate() {
        let places = axes.places(&line.x, &line.y);
        axes.canvas.line(&places, 2.0, *colour)?;
        // Few points are seen as such, and one alone would not be seen at all.
        if places.len() <= 40 {
            for place in &places {
                axes.canvas.dot(*place, 2.5, *colour)?;
            }
        }
        let y = axes.frame.y + 10.0 + 24.0 * number as f64;
        axes.canvas.line(&[(left, y), (left + 22.0, y)], 3.0, *colour)?;
        let last = line.y.iter().rev().find(|value| value.is_finite());
        let last = last.map_or_else(String::new, |value| format!("  {value:.3}"));
        axes.canvas.text(&format!("{}{last}", line.name), (left + 30.0, y), Align::Left, SMALL, INK)?;
    }
    Ok(())
}
