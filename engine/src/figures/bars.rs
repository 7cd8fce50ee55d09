//! Stacked bars, group beside group: how samples are divided.

use super::canvas::{Align, Canvas, Failed, Frame, draw};
use super::curves::heading;
use super::heat::grouped;
use super::style::{FAINT, INK, LINE, SMALL, TEXT, light};
use super::{CHART, Colour, FigureError, Picture};

/// Bars that find room below each other; what is beyond is added up to one.
const BARS: usize = 16;

/// A part of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Colour of its kind; negative ones are light.
    pub colour: Colour,
    /// With something positive.
    pub positive: u64,
    /// Without.
    pub negative: u64,
}

/// A bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bars {
    /// What it is of.
    pub name: String,
    /// Its parts, of the same kinds in each bar of a group.
    pub segments: Vec<Segment>,
}

/// Bars over one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BarGroup {
    /// What the bars are of.
    pub name: String,
    /// From the top.
    pub bars: Vec<Bars>,
}

impl Bars {
    fn total(&self) -> u64 {
        self.segments.iter().map(|segment| segment.positive + segment.negative).sum()
    }
}

/// Groups of bars side by side.
///
/// # Errors
/// [`FigureError`] if they can not be drawn.
pub fn bars(title: &str, keys: &[(&str, Colour)], groups: &[BarGroup]) -> Result<Picture, FigureError> {
    draw(CHART, |canvas| {
        heading(canvas, title)?;
        let end = canvas.legend(keys, (24.0, 62.0))?;
        canvas.text("light: without a positive pixel", (end, 62.0), Align::Left, SMALL, FAINT)?;
        let room = (f64::from(CHART.0) - 24.0) / groups.len().max(1) as f64;
        for (number, group) in groups.iter().enumerate() {
            let frame = Frame { x: 24.0 + room * number as f64, y: 92.0, width: room - 24.0, height: 470.0 };
            self::group(canvas, group, frame)?;
        }
        Ok(())
    })
}

fn group(canvas: &Canvas<'_>, group: &BarGroup, frame: Frame) -> Result<(), Failed> {
    canvas.text(&group.name, (frame.x, frame.y + 8.0), Align::Left, TEXT, INK)?;
    let shown = shown(&group.bars);
    let most = shown.iter().map(Bars::total).max().unwrap_or(0).max(1);
    let names = shown.iter().map(|bar| canvas.width(&bar.name, SMALL)).max().unwrap_or(0);
    let names = f64::from(names).min(frame.width * 0.4);
    let numbers = f64::from(canvas.width(&grouped(most), SMALL));
    let (left, top) = (frame.x + names + 10.0, frame.y + 28.0);
    let width = frame.width - names - numbers - 22.0;
    let height = ((frame.height - 28.0) / shown.len().max(1) as f64).min(44.0);
    canvas.line(&[(left, top), (left, top + height * shown.len() as f64)], 1.0, LINE)?;
    for (number, bar) in shown.iter().enumerate() {
        let y = top + height * number as f64;
        let middle = y + height / 2.0;
        let name = canvas.fitted(&bar.name, SMALL, names);
        canvas.text(&name, (left - 8.0, middle), Align::Right, SMALL, INK)?;
        let mut x = left;
        for segment in &bar.segments {
            for (count, colour) in
                [(segment.positive, segment.colour), (segment.negative, light(segment.colour))]
            {
                let long = width * count as f64 / most as f64;
                canvas.fill(Frame { x, y: y + 3.0, width: long, height: height - 6.0 }, colour)?;
                x += long;
            }
        }
        canvas.text(&grouped(bar.total()), (x + 6.0, middle), Align::Left, SMALL, INK)?;
    }
    Ok(())
}

/// The bars, those that find no room added up to one.
fn shown(bars: &[Bars]) -> Vec<Bars> {
    if bars.len() <= BARS {
        return bars.to_vec();
    }
    let mut by_size: Vec<usize> = (0..bars.len()).collect();
    by_size.sort_by_key(|at| std::cmp::Reverse(bars[*at].total()));
    let (large, small) = by_size.split_at(BARS - 1);
    let mut large = large.to_vec();
    large.sort_unstable();
    let mut others = Bars { name: format!("{} others", small.len()), segments: Vec::new() };
    for segment in small.iter().flat_map(|at| &bars[*at].segments) {
        match others.segments.iter_mut().find(|own| own.colour == segment.colour) {
            Some(own) => {
                own.positive += segment.positive;
                own.negative += segment.negative;
            }
            None => others.segments.push(*segment),
        }
    }
    large.into_iter().map(|at| bars[at].clone()).chain([others]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_without_room_are_added_up() {
        let bar = |at: u64| Bars {
            name: format!("r{at}"),
            segments: vec![Segment { colour: super::super::BLUE, positive: at, negative: 1 }],
        };
        let few: Vec<Bars> = (0..16).map(bar).collect();
        assert_eq!(shown(&few), few);
        let many: Vec<Bars> = (0..20).map(bar).collect();
        let shown = shown(&many);
        assert_eq!((shown.len(), shown[0].name.as_str(), shown[15].name.as_str()), (16, "r5", "5 others"));
        let total = |bars: &[Bars]| bars.iter().map(Bars::total).sum::<u64>();
        assert_eq!(total(&shown), total(&many));
    }
}
