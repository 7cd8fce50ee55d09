//! Arrow columns back to rows.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;
use serde_json::Value;

use super::columns::{Column, Content};
use super::kind::Kind;
use super::rows::{CvScore, TableRow};

/// The rows of a batch whose columns are the given ones, types included.
pub(super) fn rows(columns: &[Column], batch: &RecordBatch) -> Result<Vec<TableRow>, ArrowError> {
    let mut rows = vec![TableRow::default(); batch.num_rows()];
    for (column, array) in columns.iter().zip(batch.columns()) {
        for (place, row) in rows.iter_mut().enumerate() {
            fill(row, &column.content, array, place)?;
        }
    }
    Ok(rows)
}

fn fill(row: &mut TableRow, content: &Content, array: &ArrayRef, place: usize) -> Result<(), ArrowError> {
    if let Content::Hyperparameter(name, kind) = content {
        row.hyperparameters.insert(name.clone(), value(kind, array, place)?);
        return Ok(());
    }
    if array.is_null(place) {
        return Ok(());
    }
    let text = || array.as_string::<i32>().value(place).to_owned();
    let float = || array.as_primitive::<Float64Type>().value(place);
    let unsigned = || array.as_primitive::<UInt64Type>().value(place);
    let run = &mut row.run;
    match content {
        Content::RunName => run.run_name = text(),
        Content::RunId => run.run_id = text(),
        Content::Checkpoint => run.checkpoint = Some(text()),
        Content::Status => run.status = text(),
        Content::Failure => run.failure = Some(text()),
        Content::Device => run.device = Some(text()),
        Content::CvName => row.cv_name = Some(text()),
        Content::Fold => run.fold = count(array, place)?,
        Content::Attempts => run.attempts = count(array, place)?,
        Content::Seed => run.seed = unsigned(),
        Content::PeakMemoryBytes => run.peak_memory_bytes = Some(unsigned()),
        Content::PeakDeviceMemoryBytes => run.peak_device_memory_bytes = Some(unsigned()),
        Content::DurationSecs => run.duration_secs = float(),
        Content::Metric(name) => drop(run.metrics.insert(name.clone(), float())),
        Content::IsUnstable => run.is_unstable = Some(array.as_boolean().value(place)),
        Content::Score => score_of(row).score = Some(float()),
        Content::ScoreIsUnstable => score_of(row).score_is_unstable = array.as_boolean().value(place),
        Content::Hyperparameter(..) => {}
    }
    Ok(())
}

fn score_of(row: &mut TableRow) -> &mut CvScore {
    row.score.get_or_insert(CvScore { score: None, score_is_unstable: false })
}

fn count(array: &ArrayRef, place: usize) -> Result<u32, ArrowError> {
    let found = array.as_primitive::<Int64Type>().value(place);
    u32::try_from(found).map_err(|_| ArrowError::ParseError(format!("{found} is no count of 32 bits")))
}

fn value(kind: &Kind, array: &ArrayRef, place: usize) -> Result<Value, ArrowError> {
    if array.is_null(place) {
        return Ok(Value::Null);
    }
    let text = || array.as_string::<i32>().value(place);
    Ok(match kind {
        Kind::Bool => array.as_boolean().value(place).into(),
        Kind::Int => array.as_primitive::<Int64Type>().value(place).into(),
        Kind::Float => array.as_primitive::<Float64Type>().value(place).into(),
        Kind::Null | Kind::Text => text().into(),
        Kind::Json => {
            serde_json::from_str(text()).map_err(|error| ArrowError::ParseError(error.to_string()))?
        }
        Kind::List(item) => {
            let items = array.as_list::<i32>().value(place);
            (0..items.len()).map(|place| value(item, &items, place)).collect::<Result<_, _>>()?
        }
    })
}
