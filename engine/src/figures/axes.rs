//! Axes of lines: ranges, ticks, and where a value lies.

use super::canvas::{Align, Canvas, Failed, Frame};
use super::style::{INK, LINE, SMALL, TEXT};

/// From where to where an axis goes, and where it is marked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Range {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) ticks: Vec<f64>,
    /// Digits after the point at the ticks.
    digits: usize,
}

impl Range {
    /// From 0 to 1, marked at every fifth.
    pub(super) fn unit() -> Self {
        let ticks = (0..=5_u8).map(|tick| f64::from(tick) / 5.0).collect();
        Self { low: 0.0, high: 1.0, ticks, digits: 1 }
    }

    /// As far as the values that are finite go, and to the next marks beyond: at most so many steps of 1, 2 or 5 times a
    /// power of ten, `least` at the least.
    pub(super) fn over(values: impl Iterator<Item = f64>, steps: u32, least: f64) -> Self {
        // Far enough from the end of what is finite that twice as much is so too.
        let finite = values.filter(|value| value.is_finite()).map(|value| value.clamp(-1e300, 1e300));
        let (low, high) = finite
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = match (low <= high, low < high) {
            (false, _) => (0.0, 1.0),
            (true, true) => (low, high),
            (true, false) => {
                (low - 0.5 * least.max(low.abs() * 0.1), high + 0.5 * least.max(high.abs() * 0.1))
            }
        };
        let rough = (high - low) / f64::from(steps.max(1));
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|times| times * power)
            .into_iter()
            .find(|step| *step >= rough * 0.999_999);
        let step = step.unwrap_or(10.0 * power).max(least);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let count = (last - first).clamp(1.0, 100.0) as u32;
        let ticks: Vec<f64> = (0..=count).map(|tick| (first + f64::from(tick)) * step).collect();
        let digits = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
        let last = ticks.last().copied().unwrap_or(high);
        Self { low: first * step, high: last, ticks, digits }
    }

    fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// A frame that lines are drawn in.
pub(super) struct Axes<'a, 'b> {
    pub(super) canvas: &'a Canvas<'b>,
    pub(super) frame: Frame,
    pub(super) x: Range,
    pub(super) y: Range,
}

impl Axes<'_, '_> {
    /// The lines to read values by, their numbers, and what the axes show.
    pub(super) fn draw(&self, x_name: &str, y_name: &str) -> Result<(), Failed> {
        let Frame { x, y, width, height } = self.frame;
        for tick in &self.x.ticks {
            let (at, _) = self.place(*tick, self.y.low);
            self.canvas.line(&[(at, y), (at, y + height)], 1.0, LINE)?;
            self.canvas.text(
                &number(*tick, self.x.digits),
                (at, y + height + 13.0),
                Align::Middle,
                SMALL,
                INK,
            )?;
        }
        for tick in &self.y.ticks {
            let (_, at) = self.place(self.x.low, *tick);
            self.canvas.line(&[(x, at), (x + width, at)], 1.0, LINE)?;
            self.canvas.text(&number(*tick, self.y.digits), (x - 8.0, at), Align::Right, SMALL, INK)?;
        }
        self.canvas.line(&[(x, y), (x, y + height), (x + width, y + height)], 1.0, INK)?;
        self.canvas.text(x_name, (x + width / 2.0, y + height + 36.0), Align::Middle, TEXT, INK)?;
        self.canvas.upright(y_name, (x - 58.0, y + height / 2.0), TEXT, INK)
    }

    /// Where a point lies; one beyond the axes at their end.
    pub(super) fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let Frame { x: left, y: top, width, height } = self.frame;
        (left + self.x.share(x) * width, top + (1.0 - self.y.share(y)) * height)
    }

    /// The points that are finite, where they lie.
    pub(super) fn places(&self, x: &[f64], y: &[f64]) -> Vec<(f64, f64)> {
        let finite = x.iter().zip(y).filter(|(x, y)| x.is_finite() && y.is_finite());
        finite.map(|(x, y)| self.place(*x, *y)).collect()
    }
}

fn number(value: f64, digits: usize) -> String {
    // No minus before a nought.
    let value = if value.abs() < 1e-12 { 0.0 } else { value };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_marked_at_round_numbers_and_hold_every_value() {
        let range = |values: &[f64], least| Range::over(values.iter().copied(), 5, least);
        let found = range(&[0.013, 0.47], 0.0);
        assert_eq!((found.low, found.high, found.digits), (0.0, 0.5, 1));
        let found = range(&[3.0, 17.0], 1.0);
        assert_eq!((found.ticks.as_slice(), found.digits), (&[0.0, 5.0, 10.0, 15.0, 20.0][..], 0));
        assert_eq!(range(&[1.0, 2.0], 1.0).ticks, [1.0, 2.0]);
        for values in
            [&[][..], &[f64::NAN], &[0.0], &[0.25], &[-3.0], &[1e-7, 3e-7], &[1e9, 3e9], &[-1e300, 1e300]]
        {
            let found = range(values, 1e-9);
            assert!(found.low < found.high && found.ticks.len() >= 2, "{values:?}: {found:?}");
            let holds = |value: &&f64| (found.low..=found.high).contains(*value);
            assert!(
                values.iter().filter(|value| value.is_finite()).all(|value| holds(&value)),
                "{values:?}: {found:?}"
            );
        }
        assert!(range(&[f64::MAX, 0.0], 1.0).high.is_finite());
    }
}
