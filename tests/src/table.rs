//! Run-info tables as any reader of parquet sees them.

use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// A table, read whole.
pub struct Table {
    batch: RecordBatch,
}

impl Table {
    /// Reads a parquet file.
    pub fn read(path: &Path) -> Self {
        let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap();
        let schema = reader.schema().clone();
        let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        Self { batch: arrow::compute::concat_batches(&schema, &batches).unwrap() }
    }

    /// Names of the columns, in order.
    pub fn columns(&self) -> Vec<&str> {
        self.batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect()
    }

    fn column(&self, name: &str, of: &DataType) -> ArrayRef {
        let column = self.batch.column_by_name(name).unwrap();
        assert_eq!(column.null_count(), 0, "{name} has nulls");
        cast(column, of).unwrap()
    }

    /// A column of texts without nulls.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let column = self.column(name, &DataType::Utf8);
        column.as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect()
    }

    /// A column of integers without nulls.
    pub fn integers(&self, name: &str) -> Vec<i64> {
        self.column(name, &DataType::Int64).as_primitive::<Int64Type>().values().to_vec()
    }

    /// A column of floats without nulls.
    pub fn floats(&self, name: &str) -> Vec<f64> {
        self.column(name, &DataType::Float64).as_primitive::<Float64Type>().values().to_vec()
    }
}

/// That a table has the columns of its kind in their order: what identifies a run, its metrics, what came of it, in a
/// tune's table the cv and the hyperparameters, and how it went.
///
/// Metrics are those of the passes given by prefix, and the learning rate.
pub fn assert_columns(table: &Table, hyperparameters: Option<&[&str]>, passes: &[&str]) {
    let mut behind = vec!["checkpoint", "is_unstable", "score", "score_is_unstable"];
    if let Some(names) = hyperparameters {
        behind.push("cv_name");
        behind.extend(names);
    }
    behind.extend(["status", "failure", "attempts", "device"]);
    behind.extend(["peak_memory_bytes", "peak_device_memory_bytes"]);
    let columns = table.columns();
    let (before, rest) = columns.split_at(5);
    assert_eq!(before, ["run_name", "run_id", "fold", "seed", "duration"]);
    let (metrics, end) = rest.split_at(rest.len() - behind.len());
    assert_eq!(end, behind);
    let rate = if hyperparameters.is_some_and(|names| names.contains(&"learning_rate")) {
        "metric/learning_rate"
    } else {
        "learning_rate"
    };
    for pass in passes {
        let mut expected = vec![
            "Accuracy",
            "CohenKappa",
            "F1Score",
            "HammingDistance",
            "JaccardIndex",
            "Precision",
            "Recall",
            "Specificity",
            "loss",
        ];
        if *pass != "train/" {
            expected.extend(["AUROC", "AveragePrecision"]);
        }
        for name in expected {
            assert!(
                metrics.contains(&format!("{pass}{name}").as_str()),
                "{pass}{name} is missing: {metrics:?}"
            );
        }
    }
    let of_a_pass = |name: &&str| **name == *rate || passes.iter().any(|pass| name.starts_with(pass));
    assert!(metrics.iter().all(of_a_pass), "{metrics:?}");
}
