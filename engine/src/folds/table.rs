//! What is known of the rows that are divided.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::method::{Asked, FoldMethod};
use super::{Fold, FoldError, group, kfold, shuffle};

/// The group and the class of every row that is to be divided.
///
/// Groups and classes are anything with an order; the order of the values decides where a method draws, so give what
/// the other program gives: numbers as numbers, names as names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldTable {
    /// Number of each row's group, in the order of the groups.
    group_of: Vec<usize>,
    /// Number of each row's class, in the order of the classes.
    class_of: Vec<usize>,
    /// Names of the classes, in their order.
    classes: Vec<String>,
    /// What a group is called.
    noun: String,
}

impl FoldTable {
    /// A table of rows of (group, class).
    pub fn new<G: Ord, C: Ord + Display>(rows: impl IntoIterator<Item = (G, C)>) -> Self {
        let (groups, classes): (Vec<G>, Vec<C>) = rows.into_iter().unzip();
        let ((_, group_of), (classes, class_of)) = (numbered(&groups), numbered(&classes));
        let classes = classes.into_iter().map(ToString::to_string).collect();
        Self { group_of, class_of, classes, noun: "group".to_owned() }
    }

    /// A table of rows whose class alone is known: the methods by group have one group to divide, and refuse it.
    ///
    /// ```
    /// use engine::folds::{FoldMethod, FoldTable};
    ///
    /// let digits = [7, 1, 7, 1, 1, 7, 7, 1];
    /// let folds = FoldTable::of_classes(digits).folds(FoldMethod::Stratified, 4)?;
    /// // Each fold validates on one 1 and one 7.
    /// assert!(folds.iter().all(|fold| fold.val.iter().map(|row| digits[*row]).sum::<i32>() == 8));
    /// # Ok::<(), engine::folds::FoldError>(())
    /// ```
    pub fn of_classes<C: Ord + Display>(classes: impl IntoIterator<Item = C>) -> Self {
        Self::new(classes.into_iter().map(|class| ((), class)))
    }

    /// A table of rows whose group alone is known: all are of one class.
    pub fn of_groups<G: Ord>(groups: impl IntoIterator<Item = G>) -> Self {
        Self::new(groups.into_iter().map(|group| (group, "row")))
    }

    /// A table of rows of which nothing is known.
    #[must_use]
    pub fn of_len(rows: usize) -> Self {
        Self::new((0..rows).map(|_| ((), "row")))
    }

    /// The same with another word for a group in names of methods and in errors: `region`.
    #[must_use]
    pub fn with_groups_called(self, noun: impl Into<String>) -> Self {
        Self { noun: noun.into(), ..self }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.group_of.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.group_of.is_empty()
    }

    /// Divides all rows into folds.
    ///
    /// [`FoldMethod::None`] gives one fold that trains and validates on everything, whatever `total_folds` says. A
    /// fold may come out empty on one side, as it may with scikit-learn; [`Fold::pick`] refuses it when it is used.
    ///
    /// # Errors
    /// [`FoldError`] if the method cannot make so many folds of these rows.
    pub fn folds(&self, method: FoldMethod, total_folds: u32) -> Result<Vec<Fold>, FoldError> {
        let rows: Vec<usize> = (0..self.len()).collect();
        self.folds_of(&rows, method, total_folds)
    }

    /// Divides some of the rows into folds, in the order given: what is left after others were held out.
    ///
    /// # Errors
    /// As [`FoldTable::folds`], and [`FoldError::NoSuchRow`].
    pub fn folds_of(
        &self,
        rows: &[usize],
        method: FoldMethod,
        total_folds: u32,
    ) -> Result<Vec<Fold>, FoldError> {
        if let Some(&row) = rows.iter().find(|&&row| row >= self.len()) {
            return Err(FoldError::NoSuchRow { row, rows: self.len() });
        }
        if rows.is_empty() {
            return Err(FoldError::EmptyTrain { cause: "there is no sample to make folds of".to_owned() });
        }
        let asked = Asked { method, total_folds, noun: &self.noun };
        asked.enough()?;
        let positions = match method {
            FoldMethod::Kfold => kfold::consecutive(&asked, rows.len())?,
            FoldMethod::Shuffle => shuffle::stratified(&asked, &self.classes_of(rows))?,
            FoldMethod::Stratified => kfold::stratified(&asked, &self.classes_of(rows))?,
            FoldMethod::Group => shuffle::by_group(&asked, &self.groups_of(rows))?,
            FoldMethod::GroupStratified => {
                group::stratified(&asked, &self.classes_of(rows), &self.groups_of(rows))?
            }
            FoldMethod::None => {
                vec![Fold { train: (0..rows.len()).collect(), val: (0..rows.len()).collect() }]
            }
        };
        Ok(positions.into_iter().map(|fold| fold.of(rows)).collect())
    }

    fn classes_of(&self, rows: &[usize]) -> Classes {
        let parts = Parts::of(rows.iter().map(|&row| self.class_of[row]));
        let names = parts.numbers.iter().map(|&class| self.classes[class].clone()).collect();
        Classes { names, parts }
    }

    fn groups_of(&self, rows: &[usize]) -> Parts {
        Parts::of(rows.iter().map(|&row| self.group_of[row]))
    }
}

/// The different values in their order, and the number of each row's value among them.
fn numbered<T: Ord>(values: &[T]) -> (Vec<&T>, Vec<usize>) {
    let mut numbers: BTreeMap<&T, usize> = values.iter().map(|value| (value, 0)).collect();
    for (next, number) in numbers.values_mut().enumerate() {
        *number = next;
    }
    let of = values.iter().map(|value| numbers[value]).collect();
    (numbers.into_keys().collect(), of)
}

/// Positions by the group or the class they belong to.
pub(super) struct Parts {
    /// The parts there are, as the table numbers them, in order.
    numbers: Vec<usize>,
    /// The part of each position, counted from 0 among those there are.
    pub(super) of: Vec<usize>,
}

impl Parts {
    fn of(numbers: impl Iterator<Item = usize>) -> Self {
        let numbers: Vec<usize> = numbers.collect();
        let (there, of) = numbered(&numbers);
        Self { numbers: there.into_iter().copied().collect(), of }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The positions of each part, in order.
    pub(super) fn members(&self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.len()];
        for (position, &part) in self.of.iter().enumerate() {
            members[part].push(position);
        }
        members
    }
}

/// Positions by class.
pub(super) struct Classes {
    /// Names of the classes there are.
    pub(super) names: Vec<String>,
    pub(super) parts: Parts,
}

impl Classes {
    /// What the members of the largest class are called in an error.
    pub(super) fn of_the_largest(&self) -> &'static str {
        if self.parts.len() > 2 { "samples of the largest class" } else { "samples of the larger class" }
    }
}
