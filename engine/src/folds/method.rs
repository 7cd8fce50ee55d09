//! The methods by name.

use serde::{Deserialize, Serialize};

use super::error::FoldError;

/// How rows are divided into train and validation.
///
/// # Sources
/// scikit-learn 1.9, `sklearn.model_selection`; every one that draws has `random_state=42`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FoldMethod {
    /// Consecutive blocks: `KFold(k)`.
    #[default]
    Kfold,
    /// Random splits stratified by class, 10 % validation: `StratifiedShuffleSplit(k)`.
    Shuffle,
    /// Folds stratified by class: `StratifiedKFold(k, shuffle=True)`.
    Stratified,
    /// Random splits by group, 20 % of the groups validate: `GroupShuffleSplit(k)`.
    Group,
    /// Folds of whole groups stratified by class: `StratifiedGroupKFold(k, shuffle=True)`.
    GroupStratified,
    /// One fold that trains and validates on everything.
    None,
}

impl FoldMethod {
    /// Every method.
    pub const ALL: [Self; 6] =
        [Self::Kfold, Self::Shuffle, Self::Stratified, Self::Group, Self::GroupStratified, Self::None];

    /// Its name where a group is called `noun`: `group-stratified` for `group`.
    #[must_use]
    pub fn name(self, noun: &str) -> String {
        match self {
            Self::Kfold => "kfold".to_owned(),
            Self::Shuffle => "shuffle".to_owned(),
            Self::Stratified => "stratified".to_owned(),
            Self::Group => noun.to_owned(),
            Self::GroupStratified => format!("{noun}-stratified"),
            Self::None => "none".to_owned(),
        }
    }

    /// Folds it makes when so many are asked for: [`FoldMethod::None`] makes one.
    #[must_use]
    pub fn total_folds(self, asked: u32) -> u32 {
        if self == Self::None { 1 } else { asked }
    }

    /// The fewest folds it makes: two where every row validates once.
    #[must_use]
    pub fn least_folds(self) -> u32 {
        match self {
            Self::Kfold | Self::Stratified | Self::GroupStratified => 2,
            Self::Shuffle | Self::Group | Self::None => 1,
        }
    }
}

/// What a method was asked for, and the words of its errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: FoldMethod,
    pub(super) total_folds: u32,
    /// What a group is called.
    pub(super) noun: &'a str,
}

impl Asked<'_> {
    pub(super) fn name(&self) -> String {
        self.method.name(self.noun)
    }

    /// Refuses fewer folds than the method makes.
    pub(super) fn enough(&self) -> Result<(), FoldError> {
        let (least, total_folds) = (self.method.least_folds(), self.total_folds);
        if self.method.total_folds(total_folds) < least {
            return Err(FoldError::TooFewFolds { method: self.name(), least, total_folds });
        }
        Ok(())
    }

    /// Refuses more folds than there are members.
    pub(super) fn at_most(&self, available: usize, of: impl Into<String>) -> Result<(), FoldError> {
        let total_folds = self.total_folds;
        if total_folds as usize > available {
            return Err(FoldError::TooManyFolds {
                method: self.name(),
                total_folds,
                available,
                of: of.into(),
            });
        }
        Ok(())
    }
}
