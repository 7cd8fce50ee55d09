//! What a score is, when a run is unstable, which of two scores is better.

use std::fmt;

use engine_tracking::Metrics;
use serde::{Deserialize, Serialize};

use super::mean;

/// Which end of a metric is the good one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Direction {
    /// Accuracy, intersection over union; written `:higher` or nothing.
    #[default]
    HigherIsBetter,
    /// Loss, distance; written `:lower`.
    LowerIsBetter,
}

/// A metric that takes part in the score.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ScoreMetric {
    /// Name as logged: `val/JaccardIndex`.
    pub name: String,
    /// Which end of it is the good one.
    pub direction: Direction,
}

impl fmt::Display for ScoreMetric {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.direction {
            Direction::HigherIsBetter => write!(out, "{}", self.name),
            Direction::LowerIsBetter => write!(out, "{}:lower", self.name),
        }
    }
}

/// How the metrics of one run become one value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Strategy {
    /// Harmonic mean: low where any metric is low.
    #[default]
    Harmonic,
    /// Plain mean.
    Arithmetic,
    /// Geometric mean: for combinations of precision, recall, F1 and IoU.
    Geometric,
    /// The worst metric counts alone.
    Min,
}

impl Strategy {
    /// Every strategy, the default first.
    pub const ALL: [Self; 4] = [Self::Harmonic, Self::Arithmetic, Self::Geometric, Self::Min];

    /// The word users write.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Harmonic => "harmonic",
            Self::Arithmetic => "arithmetic",
            Self::Geometric => "geometric",
            Self::Min => "min",
        }
    }

    /// Whether the mean exists for positive values alone.
    fn needs_positive(self) -> bool {
        matches!(self, Self::Harmonic | Self::Geometric)
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Which metrics make the score, and how.
///
/// One metric is taken as it is, whatever the strategy. Of several, a `:lower` one enters as its reciprocal, so that
/// a higher score is better; with one `:lower` metric alone the lowest score wins ([`Scoring::direction`]).
///
/// Made by [`Scoring::new`] and [`Scoring::parse`], which refuse empty lists and doubles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scoring {
    /// The metrics, at least one.
    pub metrics: Vec<ScoreMetric>,
    /// How several become one.
    #[serde(default)]
    pub strategy: Strategy,
}

/// What the runs of one configuration come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Score {
    /// Mean over the runs; not finite where a run's value is not, or where there was nothing to average.
    pub value: f64,
    /// Whether any run was unstable, or there was none at all.
    pub is_unstable: bool,
    /// The values that entered the mean, in the order of the runs; runs that were left out are not among them.
    pub per_run: Vec<f64>,
}

impl Score {
    /// The value where it is a number to compare by.
    #[must_use]
    pub fn finite(&self) -> Option<f64> {
        Some(self.value).filter(|value| value.is_finite())
    }

    /// Standard deviation (n - 1) of the runs' values; none of fewer than two, or where one is not finite.
    #[must_use]
    pub fn spread(&self) -> Option<f64> {
        mean::sample_deviation(&self.per_run)
    }
}

impl Scoring {
    /// Whether a run's metrics carry no trustworthy score: one is missing, not finite or zero.
    ///
    /// A negative value also counts where several metrics meet in a harmonic or geometric mean, which exist for
    /// positive values alone (`val/CohenKappa` can be negative).
    #[must_use]
    pub fn run_is_unstable(&self, metrics: &Metrics) -> bool {
        let needs_positive = self.metrics.len() > 1 && self.strategy.needs_positive();
        self.metrics.iter().any(|metric| match metrics.get(&metric.name) {
            None => true,
            Some(value) => !value.is_finite() || *value == 0.0 || (needs_positive && *value < 0.0),
        })
    }

    /// One run's value; none where the run is left out of the mean.
    ///
    /// A single metric is its own value, NaN where missing. Of several, `harmonic` and `geometric` leave unstable
    /// runs out; `arithmetic` is NaN and `min` skips what is not a number.
    #[must_use]
    pub fn combine(&self, metrics: &Metrics) -> Option<f64> {
        let logged = |metric: &ScoreMetric| metrics.get(&metric.name).copied().unwrap_or(f64::NAN);
        if let [single] = self.metrics.as_slice() {
            return Some(logged(single));
        }
        if self.strategy.needs_positive() && self.run_is_unstable(metrics) {
            return None;
        }
        let values: Vec<f64> = self
            .metrics
            .iter()
            .map(|metric| match metric.direction {
                Direction::HigherIsBetter => logged(metric),
                Direction::LowerIsBetter => logged(metric).recip(),
            })
            .collect();
        Some(match self.strategy {
            Strategy::Harmonic => mean::harmonic(&values),
            Strategy::Arithmetic => mean::arithmetic(&values),
            Strategy::Geometric => mean::geometric(&values),
            Strategy::Min => mean::minimum(&values),
        })
    }

    /// Combines each run's metrics, then averages over the runs.
    ///
    /// The value is 0 where `harmonic` or `geometric` left every run out, NaN where there were no runs.
    #[must_use]
    pub fn score(&self, runs: &[Metrics]) -> Score {
        self.score_counting_worst(runs, 0)
    }

    /// As [`Scoring::score`], with `failed` further runs that enter as [`Scoring::worst`] and make the score unstable.
    #[must_use]
    pub fn score_counting_worst(&self, runs: &[Metrics], failed: usize) -> Score {
        let mut per_run: Vec<f64> = runs.iter().filter_map(|run| self.combine(run)).collect();
        per_run.extend(std::iter::repeat_n(self.worst(), failed));
        let all_left_out = per_run.is_empty() && !runs.is_empty();
        let value = if all_left_out { 0.0 } else { mean::arithmetic(&per_run) };
        let is_unstable =
            per_run.is_empty() || failed > 0 || runs.iter().any(|run| self.run_is_unstable(run));
        Score { value, is_unstable, per_run }
    }

    /// The value of a run that came to nothing: 0, or infinity where the lowest score wins.
    #[must_use]
    pub fn worst(&self) -> f64 {
        match self.direction() {
            Direction::HigherIsBetter => 0.0,
            Direction::LowerIsBetter => f64::INFINITY,
        }
    }

    /// Which end of the score is the good one: the higher, unless it rests on one `:lower` metric alone.
    #[must_use]
    pub fn direction(&self) -> Direction {
        match self.metrics.as_slice() {
            [single] => single.direction,
            _ => Direction::HigherIsBetter,
        }
    }

    /// Whether score `left` is better than `right`. Equals are not better; a number is better than NaN.
    #[must_use]
    pub fn better(&self, left: f64, right: f64) -> bool {
        match self.direction() {
            _ if left.is_nan() => false,
            _ if right.is_nan() => true,
            Direction::HigherIsBetter => left > right,
            Direction::LowerIsBetter => left < right,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy as Generator, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn run(values: &[(&str, f64)]) -> Metrics {
        values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    fn scoring(metrics: &[&str], strategy: Strategy) -> Scoring {
        Scoring::parse(metrics, strategy.name()).unwrap()
    }

    #[test]
    fn single_lower_metric_lets_the_lowest_mean_win() {
        let loss = scoring(&["val/loss:lower"], Strategy::Harmonic);
        let good = loss.score(&[run(&[("val/loss", 0.2)]), run(&[("val/loss", 0.4)])]);
        let bad = loss.score(&[run(&[("val/loss", 0.9)])]);
        assert!((good.value - 0.3).abs() < 1e-12);
        assert!(loss.better(good.value, bad.value) && !loss.better(bad.value, good.value));
        let both = scoring(&["val/loss:lower", "val/Recall"], Strategy::Harmonic);
        assert!(both.better(0.9, 0.3));
    }

    #[test]
    fn nan_is_never_better_and_equals_are_not() {
        let iou = scoring(&["val/JaccardIndex"], Strategy::Harmonic);
        assert!(!iou.better(f64::NAN, 0.1) && iou.better(0.1, f64::NAN));
        assert!(!iou.better(f64::NAN, f64::NAN) && !iou.better(0.1, 0.1));
    }

    #[test]
    fn runs_with_a_missing_zero_or_endless_metric_are_unstable() {
        let both = scoring(&["iou", "recall"], Strategy::Arithmetic);
        assert!(both.run_is_unstable(&run(&[("iou", 0.5)])));
        assert!(both.run_is_unstable(&run(&[("iou", 0.5), ("recall", 0.0)])));
        assert!(both.run_is_unstable(&run(&[("iou", f64::NAN), ("recall", 0.1)])));
        assert!(both.run_is_unstable(&run(&[("iou", 0.1), ("recall", f64::NEG_INFINITY)])));
        assert!(!both.run_is_unstable(&run(&[("iou", -0.1), ("recall", 0.1), ("loss", f64::NAN)])));
        let geometric = scoring(&["iou", "recall"], Strategy::Geometric);
        assert!(geometric.run_is_unstable(&run(&[("iou", -0.1), ("recall", 0.1)])));
    }

    #[test]
    fn a_score_of_nothing_but_left_out_runs_is_zero_and_unstable() {
        for strategy in [Strategy::Harmonic, Strategy::Geometric] {
            let score = scoring(&["iou", "recall"], strategy).score(&[run(&[("iou", 0.4), ("recall", 0.0)])]);
            assert_eq!(score, Score { value: 0.0, is_unstable: true, per_run: vec![] });
        }
        let nothing = scoring(&["iou"], Strategy::Harmonic).score(&[]);
        assert!(nothing.value.is_nan() && nothing.is_unstable && nothing.finite().is_none());
    }

    #[test]
    fn a_single_metric_is_averaged_as_it_is_even_when_unstable() {
        let iou = scoring(&["iou"], Strategy::Harmonic);
        let score = iou.score(&[run(&[("iou", 0.0)]), run(&[("iou", 0.5)])]);
        assert_eq!(score, Score { value: 0.25, is_unstable: true, per_run: vec![0.0, 0.5] });
        assert!(iou.score(&[run(&[("iou", 0.5)]), run(&[])]).value.is_nan());
    }

    #[test]
    fn failed_runs_enter_as_the_worst_value() {
        let both = scoring(&["iou", "recall"], Strategy::Harmonic);
        let score = both.score_counting_worst(&[run(&[("iou", 0.5), ("recall", 0.5)])], 1);
        assert_eq!(score, Score { value: 0.25, is_unstable: true, per_run: vec![0.5, 0.0] });
        let loss = scoring(&["loss:lower"], Strategy::Harmonic);
        assert_eq!(loss.score_counting_worst(&[run(&[("loss", 0.5)])], 1).finite(), None);
    }

    #[test]
    fn spread_is_the_sample_deviation_and_needs_two_numbers() {
        let spread =
            |per_run: &[f64]| Score { value: 0.0, is_unstable: false, per_run: per_run.to_vec() }.spread();
        assert!(
            (spread(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap() - (32.0_f64 / 7.0).sqrt()).abs()
                < 1e-12
        );
        assert_eq!(spread(&[0.3]), None);
        assert_eq!(spread(&[0.3, f64::NAN]), None);
    }

    #[test]
    fn scoring_reads_back_from_json() {
        let written = scoring(&["val/loss:lower", "val/Recall"], Strategy::Min);
        let json = serde_json::to_string(&written).unwrap();
        assert_eq!(serde_json::from_str::<Scoring>(&json).unwrap(), written);
        assert!(json.contains("\"lower-is-better\"") && json.contains("\"min\""), "{json}");
    }

    fn any_strategy() -> impl Generator<Value = Strategy> {
        proptest::sample::select(Strategy::ALL.to_vec())
    }

    fn runs_of(count: std::ops::Range<usize>) -> impl Generator<Value = Vec<Metrics>> {
        proptest::collection::vec((0.01..1.0_f64, 0.01..1.0_f64), count).prop_map(|runs| {
            runs.into_iter().map(|(iou, recall)| run(&[("iou", iou), ("recall", recall)])).collect()
        })
    }

    proptest! {
        #[test]
        fn order_of_runs_does_not_matter(mut runs in runs_of(1..20), strategy in any_strategy(), turn in 0..20_usize) {
            let both = scoring(&["iou", "recall"], strategy);
            let before = both.score(&runs);
            let turn = turn % runs.len();
            runs.rotate_left(turn);
            let after = both.score(&runs);
            prop_assert!((before.value - after.value).abs() < 1e-12);
            prop_assert_eq!(before.is_unstable, after.is_unstable);
        }

        #[test]
        fn order_of_metrics_does_not_matter(runs in runs_of(1..20), strategy in any_strategy()) {
            let one = scoring(&["iou", "recall"], strategy).score(&runs).value;
            let other = scoring(&["recall", "iou"], strategy).score(&runs).value;
            prop_assert!((one - other).abs() < 1e-12);
        }

        #[test]
        fn means_keep_their_order_and_lie_between_the_metrics(runs in runs_of(1..2)) {
            let of = |strategy| scoring(&["iou", "recall"], strategy).score(&runs).value;
            let (min, harmonic) = (of(Strategy::Min), of(Strategy::Harmonic));
            let (geometric, arithmetic) = (of(Strategy::Geometric), of(Strategy::Arithmetic));
            prop_assert!(min <= harmonic + 1e-12 && harmonic <= geometric + 1e-12);
            prop_assert!(geometric <= arithmetic + 1e-12);
            prop_assert!(arithmetic <= runs[0]["iou"].max(runs[0]["recall"]) + 1e-12);
        }

        #[test]
        fn an_unstable_run_leaves_harmonic_and_geometric_alone(runs in runs_of(1..20), at in 0..20_usize) {
            for strategy in [Strategy::Harmonic, Strategy::Geometric] {
                let both = scoring(&["iou", "recall"], strategy);
                let mut with = runs.clone();
                with.insert(at % (runs.len() + 1), run(&[("iou", f64::NAN), ("recall", 0.3)]));
                prop_assert_eq!(both.score(&with).value, both.score(&runs).value);
                prop_assert!(both.score(&with).is_unstable && !both.score(&runs).is_unstable);
            }
        }

        #[test]
        fn better_is_a_strict_order(left in -1.0..1.0_f64, right in -1.0..1.0_f64) {
            for name in ["iou", "loss:lower"] {
                let one = scoring(&[name], Strategy::Harmonic);
                prop_assert!(!(one.better(left, right) && one.better(right, left)));
                prop_assert_eq!(one.better(left, right) || one.better(right, left), left.total_cmp(&right).is_ne());
            }
        }
    }
}
