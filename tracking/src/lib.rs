//! Metric types, metric files and run-info tables. Knows neither actors nor tensors.

pub mod metric;

pub use metric::{MetricPoint, Metrics};
