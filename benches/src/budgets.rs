//! What each figure of a bench may be at the most, and whether it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Bounds by id and measure, as `budgets.toml` has them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Budgets(BTreeMap<String, BTreeMap<String, f64>>);

/// Why budgets can not be read.
#[derive(Debug, thiserror::Error)]
#[error("budgets are tables of numbers by id, as [\"message/track\"] and times_floor = 3.0: {0}")]
pub struct BudgetsError(#[from] toml::de::Error);

impl Budgets {
    /// Reads `budgets.toml`: a table for each id, in it a number for each measure that is bounded.
    ///
    /// # Errors
    /// [`BudgetsError`] if it is anything else.
    pub fn parse(text: &str) -> Result<Self, BudgetsError> {
        Ok(Self(toml::from_str(text)?))
    }

    /// The ids that have a budget.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn of(&self, id: &str, measure: &str) -> Option<f64> {
        self.0.get(id)?.get(measure).copied()
    }
}

/// One thing that was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What of: `message/track`.
    pub id: String,
    /// In what: `times_floor`.
    pub measure: &'static str,
    /// How much.
    pub value: f64,
    /// Lowest and highest of its repetitions, where it is the middle one of several.
    pub spread: Option<(f64, f64)>,
}

/// What a figure comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// It is no more than its budget.
    Within(f64),
    /// It is more, or no number.
    Beyond(f64),
    /// Nobody bounds it.
    Noted,
}

/// What was measured, line by line, and whether all of it is within its budget.
#[derive(Debug, Default)]
pub struct Report {
    budgets: Budgets,
    figures: Vec<Figure>,
}

impl Report {
    /// An empty report against these budgets.
    #[must_use]
    pub fn new(budgets: Budgets) -> Self {
        Self { budgets, figures: Vec::new() }
    }

    /// Adds a figure, and says its line.
    pub fn add(&mut self, figure: Figure) -> Line {
        let line = self.line(figure.clone());
        self.figures.push(figure);
        line
    }

    fn line(&self, figure: Figure) -> Line {
        let verdict = match self.budgets.of(&figure.id, figure.measure) {
            None => Verdict::Noted,
            // A figure that is no number is beyond every budget.
            Some(budget) if figure.value <= budget => Verdict::Within(budget),
            Some(budget) => Verdict::Beyond(budget),
        };
        Line { figure, verdict }
    }

    /// What is wrong, of the benches that ran: figures beyond their budget, benches without one, budgets that no figure met.
    #[must_use]
    pub fn complaints(&self, ran: &[&str]) -> Vec<String> {
        let mut complaints = Vec::new();
        for figure in &self.figures {
            let line = self.line(figure.clone());
            if let Verdict::Beyond(budget) = line.verdict {
                complaints.push(format!(
                    "{} {} is {}, its budget {budget}",
                    figure.id, figure.measure, figure.value
                ));
            }
        }
        let measured: BTreeSet<(&str, &str)> =
            self.figures.iter().map(|figure| (figure.id.as_str(), figure.measure)).collect();
        for id in ran {
            match self.budgets.0.get(*id).filter(|bounds| !bounds.is_empty()) {
                None => complaints.push(format!("{id} has no budget in benches/budgets.toml")),
                Some(bounds) => {
                    let unmet = bounds.keys().filter(|measure| !measured.contains(&(*id, measure.as_str())));
                    complaints
                        .extend(unmet.map(|measure| format!("{id} has a budget of {measure}, not measured")));
                }
            }
        }
        complaints
    }
}

/// A line of a report: id, measure, value, budget, verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    figure: Figure,
    verdict: Verdict,
}

impl Line {
    /// What stands above the lines.
    #[must_use]
    pub fn head() -> String {
        format!("{:<28} {:<22} {:>12} {:>10}  {:<8} spread", "id", "measure", "value", "budget", "verdict")
    }
}

impl fmt::Display for Line {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figure { id, measure, value, spread } = &self.figure;
        let (budget, word) = match self.verdict {
            Verdict::Within(budget) => (budget.to_string(), "within"),
            Verdict::Beyond(budget) => (budget.to_string(), "BEYOND"),
            Verdict::Noted => (String::new(), ""),
        };
        write!(out, "{id:<28} {measure:<22} {value:>12.4} {budget:>10}  {word:<8}")?;
        match spread {
            Some((lowest, highest)) => write!(out, " {lowest:.4} to {highest:.4}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(id: &str, measure: &'static str, value: f64) -> Figure {
        Figure { id: id.to_owned(), measure, value, spread: None }
    }

    fn report() -> Report {
        Report::new(Budgets::parse("[\"a/b\"]\ntimes_floor = 2.0\nbytes = 64\n[c]\n").unwrap())
    }

    #[test]
    fn a_figure_up_to_its_budget_is_no_complaint() {
        let mut report = report();
        assert!(report.add(figure("a/b", "times_floor", 2.0)).to_string().contains(" within "));
        assert!(report.add(figure("a/b", "bytes", 0.0)).to_string().contains(" within "));
        assert!(!report.add(figure("a/b", "ns", 9e9)).to_string().contains("within"));
        assert_eq!(report.complaints(&["a/b"]), Vec::<String>::new());
    }

    #[test]
    fn a_figure_beyond_its_budget_and_one_that_is_no_number_are() {
        let mut report = report();
        assert!(report.add(figure("a/b", "times_floor", 2.01)).to_string().contains("BEYOND"));
        assert!(report.add(figure("a/b", "bytes", f64::NAN)).to_string().contains("BEYOND"));
        assert_eq!(
            report.complaints(&["a/b"]),
            ["a/b times_floor is 2.01, its budget 2", "a/b bytes is NaN, its budget 64"]
        );
    }

    #[test]
    fn a_bench_without_a_budget_and_a_budget_without_a_figure_are_complaints() {
        let mut report = report();
        report.add(figure("a/b", "times_floor", 1.0));
        let none = |id: &str| format!("{id} has no budget in benches/budgets.toml");
        assert_eq!(
            report.complaints(&["a/b", "c", "d"]),
            ["a/b has a budget of bytes, not measured".to_owned(), none("c"), none("d")]
        );
        assert_eq!(report.complaints(&[]), Vec::<String>::new(), "what did not run owes nothing");
    }

    #[test]
    fn the_budgets_of_this_crate_can_be_read_and_bound_what_they_name() {
        let budgets = Budgets::parse(include_str!("../budgets.toml")).unwrap();
        assert!(budgets.ids().count() > 20);
        assert!(budgets.0.values().all(|bounds| !bounds.is_empty()));
        assert!(
            budgets.0.values().flat_map(BTreeMap::values).all(|bound| bound.is_finite() && *bound >= 0.0)
        );
        assert!(Budgets::parse("a = 1").is_err());
    }
}
