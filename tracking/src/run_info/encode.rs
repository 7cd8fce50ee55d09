//! Rows to arrow columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::error::ArrowError;
use serde_json::Value;

use super::columns::{Column, Content, schema};
use super::kind::Kind;
use super::rows::TableRow;

/// One batch with the given columns.
pub(super) fn batch(columns: &[Column], rows: &[TableRow]) -> Result<RecordBatch, ArrowError> {
    let arrays = columns.iter().map(|column| array(&column.content, rows)).collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema(columns), arrays)
}

fn array(content: &Content, rows: &[TableRow]) -> Result<ArrayRef, ArrowError> {
    Ok(match content {
        Content::RunName => text(rows, |row| Some(&row.run.run_name)),
        Content::RunId => text(rows, |row| Some(&row.run.run_id)),
        Content::Checkpoint => text(rows, |row| row.run.checkpoint.as_ref()),
        Content::CvName => text(rows, |row| row.cv_name.as_ref()),
        Content::Status => text(rows, |row| Some(&row.run.status)),
        Content::Failure => text(rows, |row| row.run.failure.as_ref()),
        Content::Device => text(rows, |row| row.run.device.as_ref()),
        Content::Fold => {
            Arc::new(rows.iter().map(|row| Some(i64::from(row.run.fold))).collect::<Int64Array>())
        }
        Content::Attempts => {
            Arc::new(rows.iter().map(|row| Some(i64::from(row.run.attempts))).collect::<Int64Array>())
        }
        Content::Seed => unsigned(rows, |row| Some(row.run.seed)),
        Content::PeakMemoryBytes => unsigned(rows, |row| row.run.peak_memory_bytes),
        Content::PeakDeviceMemoryBytes => unsigned(rows, |row| row.run.peak_device_memory_bytes),
        Content::DurationSecs => float(rows, |row| Some(row.run.duration_secs)),
        Content::Metric(name) => float(rows, |row| row.run.metrics.get(name).copied()),
        Content::Score => float(rows, |row| row.score.and_then(|score| score.score)),
        Content::IsUnstable => Arc::new(rows.iter().map(|row| row.run.is_unstable).collect::<BooleanArray>()),
        Content::ScoreIsUnstable => Arc::new(
            rows.iter().map(|row| row.score.map(|score| score.score_is_unstable)).collect::<BooleanArray>(),
        ),
        Content::Hyperparameter(name, kind) => {
            let values: Vec<&Value> =
                rows.iter().map(|row| row.hyperparameters.get(name).unwrap_or(&Value::Null)).collect();
            values_of_kind(kind, &values)?
        }
    })
}

fn text<'a>(rows: &'a [TableRow], of: impl Fn(&'a TableRow) -> Option<&'a String>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<StringArray>())
}

fn unsigned(rows: &[TableRow], of: impl Fn(&TableRow) -> Option<u64>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<UInt64Array>())
}

fn float(rows: &[TableRow], of: impl Fn(&TableRow) -> Option<f64>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<Float64Array>())
}

/// Values whose kinds the given one holds.
fn values_of_kind(kind: &Kind, values: &[&Value]) -> Result<ArrayRef, ArrowError> {
    let each = || values.iter().copied();
    Ok(match kind {
        Kind::Bool => Arc::new(each().map(Value::as_bool).collect::<BooleanArray>()),
        Kind::Int => Arc::new(each().map(Value::as_i64).collect::<Int64Array>()),
        Kind::Float => Arc::new(each().map(Value::as_f64).collect::<Float64Array>()),
        Kind::Null | Kind::Text => Arc::new(each().map(Value::as_str).collect::<StringArray>()),
        Kind::Json => {
            let json = |value: &Value| (!value.is_null()).then(|| value.to_string());
            Arc::new(each().map(json).collect::<StringArray>())
        }
        Kind::List(item) => {
            let lists = || each().map(|value| value.as_array().map(Vec::as_slice));
            let items: Vec<&Value> = lists().flatten().flatten().collect();
            let offsets = OffsetBuffer::from_lengths(lists().map(|list| list.map_or(0, <[Value]>::len)));
            let nulls: NullBuffer = lists().map(|list| list.is_some()).collect::<Vec<_>>().into();
            Arc::new(ListArray::try_new(item.element(), offsets, values_of_kind(item, &items)?, Some(nulls))?)
        }
    })
}
