//! Charts as W&B lays them out: a table, and the panel that draws it.
//!
//! # Sources
//! `wandb/plot/{custom_chart,roc_curve,pr_curve,confusion_matrix,line_series}.py` and the offline files of the official
//! client 0.31.0.

use serde_json::{Map, Value, json};

use super::media::MediaError;
use crate::figure::Series;

/// Rows of a run's table file; what the official client reads and writes at the most.
pub(super) const MAX_RUN_ROWS: usize = 10_000;
/// Rows of a table's artifact; what the official client writes at the most.
pub(super) const MAX_ARTIFACT_ROWS: usize = 200_000;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Text,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Text => "string",
        }
    }
}

/// Names and kinds of a table's columns.
type Columns = [(&'static str, Kind); 3];

/// A table under a chart. Every number is finite: a chart has no place for others, and JSON no word.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    pub(super) columns: Columns,
    pub(super) rows: Vec<Value>,
}

/// A chart: its table, to be kept under `{name}_table`, and its entry in `_wandb.visualize`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chart {
    pub(super) table: Table,
    pub(super) panel: Value,
}

impl Table {
    /// The file of the run.
    pub(super) fn run_file(&self) -> String {
        let rows = &self.rows[..self.rows.len().min(MAX_RUN_ROWS)];
        json!({"columns": self.names(), "data": rows}).to_string()
    }

    /// The file of the artifact.
    pub(super) fn artifact_file(&self) -> String {
        let rows = &self.rows[..self.rows.len().min(MAX_ARTIFACT_ROWS)];
        let types: Map<String, Value> = self
            .columns
            .iter()
            .map(|(name, kind)| {
                let allowed = json!([{"wb_type": "none"}, {"wb_type": kind.name()}]);
                let column = json!({"wb_type": "union", "params": {"allowed_types": allowed}});
                ((*name).to_owned(), column)
            })
            .collect();
        json!({
            "_type": "table",
            "columns": self.names(),
            "data": rows,
            "column_types": {"wb_type": "typedDict", "params": {"type_map": types}},
            "ncols": self.columns.len(),
            "nrows": rows.len(),
            "log_mode": "IMMUTABLE",
        })
        .to_string()
    }

    fn names(&self) -> [&'static str; 3] {
        self.columns.map(|(name, _)| name)
    }
}

/// True positive rate over false positive rate.
pub(super) fn roc(name: &str, classes: &[Series]) -> Chart {
    let columns = [("class", Kind::Text), ("fpr", Kind::Number), ("tpr", Kind::Number)];
    let table = curve_table(columns, classes, |class, x, y| json!([class, x, y]));
    let fields = json!({"x": "fpr", "y": "tpr", "class": "class"});
    let texts = json!({
        "title": name, "x-axis-title": "False positive rate", "y-axis-title": "True positive rate",
    });
    Chart { table, panel: panel(name, "wandb/area-under-curve/v0", &fields, &texts) }
}

/// Precision over recall.
pub(super) fn precision_recall(name: &str, classes: &[Series]) -> Chart {
    let columns = [("class", Kind::Text), ("precision", Kind::Number), ("recall", Kind::Number)];
    let table = curve_table(columns, classes, |class, x, y| json!([class, y, x]));
    let fields = json!({"x": "recall", "y": "precision", "class": "class"});
    let texts = json!({"title": name, "x-axis-title": "Recall", "y-axis-title": "Precision"});
    Chart { table, panel: panel(name, "wandb/area-under-curve/v0", &fields, &texts) }
}

/// Lines over one axis.
pub(super) fn lines(name: &str, x_name: &str, series: &[Series]) -> Chart {
    let columns = [("step", Kind::Number), ("lineKey", Kind::Text), ("lineVal", Kind::Number)];
    let table = curve_table(columns, series, |line, x, y| json!([x, line, y]));
    let fields = json!({"step": "step", "lineKey": "lineKey", "lineVal": "lineVal"});
    let texts = json!({"title": name, "xname": x_name});
    Chart { table, panel: panel(name, "wandb/lineseries/v0", &fields, &texts) }
}

/// Counts by truth and prediction: all pairs, also those that never occurred.
pub(super) fn confusion_matrix(
    name: &str,
    classes: &[String],
    counts: &[Vec<u64>],
) -> Result<Chart, MediaError> {
    if counts.len() != classes.len() || counts.iter().any(|row| row.len() != classes.len()) {
        return Err(MediaError::Matrix { name: name.to_owned(), classes: classes.len() });
    }
    let rows = classes.iter().zip(counts).flat_map(|(actual, row)| {
        classes.iter().zip(row).map(move |(predicted, count)| json!([actual, predicted, count]))
    });
    let columns = [("Actual", Kind::Text), ("Predicted", Kind::Text), ("nPredictions", Kind::Number)];
    let table = Table { columns, rows: rows.take(MAX_ARTIFACT_ROWS).collect() };
    let fields = json!({"Actual": "Actual", "Predicted": "Predicted", "nPredictions": "nPredictions"});
    let panel = panel(name, "wandb/confusion_matrix/v1", &fields, &json!({"title": name}));
    Ok(Chart { table, panel })
}

/// One row a point, made of the name of its line, x and y. Points that are not finite are left out; of more points than a
/// panel reads, evenly spaced ones are kept, each line's ends among them.
fn curve_table(columns: Columns, series: &[Series], row: impl Fn(&str, Value, Value) -> Value) -> Table {
    let share = MAX_RUN_ROWS / series.len().clamp(1, MAX_RUN_ROWS);
    let mut rows = Vec::new();
    for line in series.iter().take(MAX_RUN_ROWS) {
        let points = line.x.iter().copied().zip(line.y.iter().copied());
        let points: Vec<(f64, f64)> = points.filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        let kept = evenly(points.len(), share).map(|place| points[place]);
        rows.extend(kept.map(|(x, y)| row(&line.name, number(x), number(y))));
    }
    Table { columns, rows }
}

/// At most `most` of `count` places, first and last among them.
fn evenly(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let kept = count.min(most);
    let between = kept.saturating_sub(1).max(1);
    (0..kept).map(move |place| if kept == count { place } else { place * (count - 1) / between })
}

/// A whole number is written as one.
fn number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT { json!(value as i64) } else { json!(value) }
}

/// A panel that draws the table kept under `{name}_table`.
fn panel(name: &str, definition: &str, fields: &Value, texts: &Value) -> Value {
    let bare = |name: &str| json!({"name": name, "fields": []});
    let table = json!({
        "name": "summaryTable",
        "args": [{"name": "tableKey", "value": format!("{name}_table")}],
        "fields": [],
    });
    let sets = json!({
        "name": "runSets",
        "args": [{"name": "runSets", "value": "${runSets}"}],
        "fields": [bare("id"), bare("name"), bare("_defaultColorIndex"), table],
    });
    json!({
        "panel_type": "Vega2",
        "panel_config": {
            "panelDefId": definition,
            "fieldSettings": fields,
            "stringSettings": texts,
            "transform": {"name": "tableWithLeafColNames"},
            "userQuery": {"queryFields": [sets]},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, x: &[f64], y: &[f64]) -> Series {
        Series { name: name.into(), x: x.to_vec(), y: y.to_vec() }
    }

    /// What `run.log` of the official client 0.31.0 left in its files for the same points.
    #[test]
    fn tables_and_panels_are_those_of_the_official_client() {
        let chart = roc("val/roc", &[series("p", &[0.0, 0.5, 1.0], &[0.0, 0.7, 1.0])]);
        assert_eq!(
            chart.table.run_file(),
            r#"{"columns":["class","fpr","tpr"],"data":[["p",0,0],["p",0.5,0.7],["p",1,1]]}"#
        );
        let artifact: Value = serde_json::from_str(&chart.table.artifact_file()).unwrap();
        let official = r#"{"_type": "table", "column_types": {"params": {"type_map": {"class": {"params": {"allowed_types":
            [{"wb_type": "none"}, {"wb_type": "string"}]}, "wb_type": "union"}, "fpr": {"params": {"allowed_types":
            [{"wb_type": "none"}, {"wb_type": "number"}]}, "wb_type": "union"}, "tpr": {"params": {"allowed_types":
            [{"wb_type": "none"}, {"wb_type": "number"}]}, "wb_type": "union"}}}, "wb_type": "typedDict"}, "columns":
            ["class", "fpr", "tpr"], "data": [["p", 0, 0], ["p", 0.5, 0.7], ["p", 1, 1]], "log_mode": "IMMUTABLE",
            "ncols": 3, "nrows": 3}"#;
        assert_eq!(artifact, serde_json::from_str::<Value>(official).unwrap());
        let official = r#"{"panel_type": "Vega2", "panel_config": {"panelDefId": "wandb/area-under-curve/v0",
            "fieldSettings": {"x": "fpr", "y": "tpr", "class": "class"}, "stringSettings": {"title": "val/roc",
            "x-axis-title": "False positive rate", "y-axis-title": "True positive rate"}, "transform": {"name":
            "tableWithLeafColNames"}, "userQuery": {"queryFields": [{"name": "runSets", "args": [{"name": "runSets",
            "value": "${runSets}"}], "fields": [{"name": "id", "fields": []}, {"name": "name", "fields": []}, {"name":
            "_defaultColorIndex", "fields": []}, {"name": "summaryTable", "args": [{"name": "tableKey", "value":
            "val/roc_table"}], "fields": []}]}]}}}"#;
        assert_eq!(chart.panel, serde_json::from_str::<Value>(official).unwrap());

        let chart =
            lines("ln", "epoch", &[series("a", &[0.0, 1.0], &[1.5, 2.0]), series("b", &[0.0], &[3.0])]);
        assert_eq!(
            chart.table.run_file(),
            r#"{"columns":["step","lineKey","lineVal"],"data":[[0,"a",1.5],[1,"a",2],[0,"b",3]]}"#
        );
        assert_eq!(chart.table.columns.map(|column| column.1), [Kind::Number, Kind::Text, Kind::Number]);
        let config = &chart.panel["panel_config"];
        assert_eq!(config["panelDefId"], "wandb/lineseries/v0");
        assert_eq!(config["stringSettings"], json!({"title": "ln", "xname": "epoch"}));

        let classes = ["negative".to_owned(), "positive".to_owned()];
        let chart = confusion_matrix("cm", &classes, &[vec![2, 0], vec![1, 1]]).unwrap();
        assert_eq!(
            chart.table.run_file(),
            r#"{"columns":["Actual","Predicted","nPredictions"],"data":[["negative","negative",2],["negative","positive",0],["positive","negative",1],["positive","positive",1]]}"#
        );
        assert_eq!(chart.panel["panel_config"]["panelDefId"], "wandb/confusion_matrix/v1");
    }

    #[test]
    fn points_that_are_not_finite_are_no_rows() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        let chart = precision_recall("pr", &[series("p", &[1.0, nan, 0.25, 0.0], &[0.1, 0.5, inf, 1.0])]);
        assert_eq!(
            chart.table.run_file(),
            r#"{"columns":["class","precision","recall"],"data":[["p",0.1,1],["p",1,0]]}"#
        );
        let none = precision_recall("pr", &[series("p", &[nan], &[nan])]);
        assert_eq!(none.table.run_file(), r#"{"columns":["class","precision","recall"],"data":[]}"#);
    }

    #[test]
    fn of_too_many_points_evenly_spaced_ones_are_kept_with_the_ends() {
        let x: Vec<f64> = (0..30_000).map(f64::from).collect();
        let chart = lines("long", "x", &[series("a", &x, &x), series("b", &x[..10], &x[..10])]);
        assert_eq!(chart.table.rows.len(), MAX_RUN_ROWS / 2 + 10);
        assert_eq!(chart.table.rows[0], json!([0, "a", 0]));
        assert_eq!(chart.table.rows[MAX_RUN_ROWS / 2 - 1], json!([29_999, "a", 29_999]));
        assert_eq!(evenly(7, 3).collect::<Vec<_>>(), [0, 3, 6]);
        assert_eq!(evenly(5, 1).collect::<Vec<_>>(), [0]);
        assert_eq!(evenly(0, 1).count(), 0);
    }

    #[test]
    fn a_matrix_that_is_not_square_is_refused_with_its_name() {
        let classes = ["a".to_owned(), "b".to_owned()];
        for counts in [vec![vec![1, 2]], vec![vec![1, 2], vec![3]], vec![vec![1, 2]; 3]] {
            let error = confusion_matrix("val/cm", &classes, &counts).unwrap_err().to_string();
            assert!(error.contains("val/cm") && error.contains('2'), "{error}");
        }
    }
}
