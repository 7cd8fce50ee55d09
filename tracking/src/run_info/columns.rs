//! The columns of both tables, defined here and nowhere else.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::kind::Kind;
use super::rows::TableRow;

/// Version of the columns and of what the file says about them; raised with every change.
///
/// - 1: as far as `device`
/// - 2: `peak_memory_bytes` and `peak_device_memory_bytes` behind it
pub(super) const TABLE_VERSION: u32 = 2;

/// Key in the file's metadata under which a [`Footer`] lies as JSON.
pub(super) const FOOTER_KEY: &str = "engine.run_infos";

/// What the file says about itself, so that rows can be read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Footer {
    pub(super) version: u32,
    pub(super) layout: Layout,
    /// The cvs of a tune's table, in order.
    pub(super) cv_names: Vec<String>,
}

/// What decides about the columns beyond those that are always there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layout {
    /// Names as logged.
    pub(super) metrics: BTreeSet<String>,
    /// Names and kinds in the order they were first seen; none in a cv's own table.
    pub(super) hyperparameters: Option<Vec<(String, Kind)>>,
}

/// One column: its name in the table and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) content: Content,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    RunName,
    RunId,
    Fold,
    Seed,
    DurationSecs,
    Metric(String),
    Checkpoint,
    IsUnstable,
    Score,
    ScoreIsUnstable,
    CvName,
    Hyperparameter(String, Kind),
    Status,
    Failure,
    Attempts,
    Device,
    PeakMemoryBytes,
    PeakDeviceMemoryBytes,
}

impl Footer {
    /// The columns of the table it describes, in their order.
    pub(super) fn columns(&self) -> Vec<Column> {
        self.layout.columns(self.version)
    }
}

impl Content {
    /// Columns before the metrics, by name.
    const BEFORE_METRICS: [(&'static str, Self); 5] = [
        ("run_name", Self::RunName),
        ("run_id", Self::RunId),
        ("fold", Self::Fold),
        ("seed", Self::Seed),
        ("duration", Self::DurationSecs),
    ];
    /// Columns behind the metrics.
    const BEHIND_METRICS: [(&'static str, Self); 4] = [
        ("checkpoint", Self::Checkpoint),
        ("is_unstable", Self::IsUnstable),
        ("score", Self::Score),
        ("score_is_unstable", Self::ScoreIsUnstable),
    ];
    /// The column before the hyperparameters of a tune's table.
    const BEFORE_HYPERPARAMETERS: (&'static str, Self) = ("cv_name", Self::CvName);
    /// Columns at the end.
    const LAST: [(&'static str, Self); 4] = [
        ("status", Self::Status),
        ("failure", Self::Failure),
        ("attempts", Self::Attempts),
        ("device", Self::Device),
    ];
    /// Columns behind those, since version 2.
    const SINCE_VERSION_2: [(&'static str, Self); 2] = [
        ("peak_memory_bytes", Self::PeakMemoryBytes),
        ("peak_device_memory_bytes", Self::PeakDeviceMemoryBytes),
    ];

    /// Columns at the end, in tables of this version.
    fn last(version: u32) -> impl Iterator<Item = (&'static str, Self)> {
        let since: &[_] = if version >= 2 { &Self::SINCE_VERSION_2 } else { &[] };
        Self::LAST.into_iter().chain(since.iter().cloned())
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::RunName | Self::RunId | Self::Checkpoint | Self::CvName => DataType::Utf8,
            Self::Status | Self::Failure | Self::Device => DataType::Utf8,
            // Signed, for differences of folds go below zero; seeds use all 64 bits.
            Self::Fold | Self::Attempts => DataType::Int64,
            Self::Seed | Self::PeakMemoryBytes | Self::PeakDeviceMemoryBytes => DataType::UInt64,
            Self::DurationSecs | Self::Metric(_) | Self::Score => DataType::Float64,
            Self::IsUnstable | Self::ScoreIsUnstable => DataType::Boolean,
            Self::Hyperparameter(_, kind) => kind.data_type(),
        }
    }
}

impl Layout {
    /// The layout of a tune's table before its first cv.
    pub(super) fn of_tune() -> Self {
        Self { hyperparameters: Some(Vec::new()), ..Self::default() }
    }

    /// Makes room for what the rows hold; columns already there keep their place or get wider.
    pub(super) fn admit(&mut self, rows: &[TableRow]) {
        for row in rows {
            for metric in row.run.metrics.keys() {
                if !self.metrics.contains(metric) {
                    self.metrics.insert(metric.clone());
                }
            }
            let Some(known) = &mut self.hyperparameters else { continue };
            for (name, value) in &row.hyperparameters {
                match known.iter_mut().find(|(other, _)| other == name) {
                    Some((_, kind)) => *kind = kind.clone().join(Kind::of(value)),
                    None => known.push((name.clone(), Kind::of(value))),
                }
            }
        }
    }

    /// The columns in their order, in a table of this version.
    ///
    /// Columns that are always there keep their names, in both tables alike. A hyperparameter keeps its own unless
    /// one of those has it (`seed` becomes `hyperparameter/seed`): configurations are compared by it. A metric
    /// gives way to both: the logged `learning_rate` becomes `metric/learning_rate` beside the hyperparameter.
    pub(super) fn columns(&self, version: u32) -> Vec<Column> {
        let fixed = |(name, content): (&str, Content)| Column { name: name.to_owned(), content };
        let mut taken: BTreeSet<String> = Content::BEFORE_METRICS
            .into_iter()
            .chain(Content::BEHIND_METRICS)
            .chain([Content::BEFORE_HYPERPARAMETERS])
            .chain(Content::last(version))
            .map(|(name, _)| name.to_owned())
            .collect();
        let mut hyperparameters = Vec::new();
        if let Some(known) = &self.hyperparameters {
            hyperparameters.push(fixed(Content::BEFORE_HYPERPARAMETERS));
            hyperparameters.extend(known.iter().map(|(name, kind)| Column {
                name: free_name(name, "hyperparameter", &mut taken),
                content: Content::Hyperparameter(name.clone(), kind.clone()),
            }));
        }
        let metrics: Vec<_> = self
            .metrics
            .iter()
            .map(|name| Column {
                name: free_name(name, "metric", &mut taken),
                content: Content::Metric(name.clone()),
            })
            .collect();
        let before = Content::BEFORE_METRICS.map(fixed).into_iter();
        let behind = Content::BEHIND_METRICS.map(fixed);
        before
            .chain(metrics)
            .chain(behind)
            .chain(hyperparameters)
            .chain(Content::last(version).map(fixed))
            .collect()
    }
}

/// The columns as arrow sees them. All may be null: readers in other languages expect no less.
pub(super) fn schema(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| Field::new(&column.name, column.content.data_type(), true);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// The name, with as many prefixes as it takes to be the only one.
fn free_name(name: &str, prefix: &str, taken: &mut BTreeSet<String>) -> String {
    let mut free = name.to_owned();
    while !taken.insert(free.clone()) {
        free = format!("{prefix}/{free}");
    }
    free
}
