//! What TensorBoard's HPARAMS tab is made of: each run is a session of an experiment.

use prost::Message;
use serde_json::{Map, Value};

use super::proto::{
    Datum, Experiment, HparamInfo, HparamKind, HparamValue, HparamsContent, HparamsData, MetricInfo,
    MetricName, PluginData, SessionEnd, SessionStart, SummaryMetadata, SummaryValue, Tensor,
};

/// Name of the plugin.
const PLUGIN: &str = "hparams";

/// Which columns the tab has. Every run says so; the tab takes it from any.
pub(super) fn experiment(values: &Map<String, Value>, metrics: &[String], at: f64) -> SummaryValue {
    let infos =
        values.iter().map(|(name, value)| HparamInfo { name: name.clone(), r#type: data_type(value) });
    let metrics = metrics.iter().map(|tag| MetricInfo { name: Some(MetricName { tag: tag.clone() }) });
    let experiment =
        Experiment { time_created_secs: at, hparam_infos: infos.collect(), metric_infos: metrics.collect() };
    value("_hparams_/experiment", HparamsContent::Experiment(experiment))
}

/// The run's own values.
pub(super) fn session_start(values: &Map<String, Value>, at: f64) -> SummaryValue {
    let hparams = values.iter().map(|(name, value)| (name.clone(), typed(value))).collect();
    let start = SessionStart { hparams, start_time_secs: at };
    value("_hparams_/session_start_info", HparamsContent::SessionStart(start))
}

/// How the run ended. What is neither complete nor failed has no word here.
pub(super) fn session_end(status: &str, at: f64) -> SummaryValue {
    let status = match status {
        "complete" => 1,
        "failed" => 2,
        _ => 0,
    };
    let end = SessionEnd { status, end_time_secs: at };
    value("_hparams_/session_end_info", HparamsContent::SessionEnd(end))
}

/// The type of a column: of texts, unless the value is a number or a boolean.
fn data_type(value: &Value) -> i32 {
    match typed(value).kind {
        Some(HparamKind::Flag(_)) => 2,
        Some(HparamKind::Number(_)) => 3,
        Some(HparamKind::Text(_)) | None => 1,
    }
}

fn typed(value: &Value) -> HparamValue {
    let kind = match value {
        Value::Null => HparamKind::Text("none".into()),
        Value::Bool(flag) => HparamKind::Flag(*flag),
        Value::String(text) => HparamKind::Text(text.clone()),
        Value::Number(number) => match number.as_f64() {
            Some(number) => HparamKind::Number(number),
            None => HparamKind::Text(number.to_string()),
        },
        Value::Array(_) | Value::Object(_) => HparamKind::Text(value.to_string()),
    };
    HparamValue { kind: Some(kind) }
}

/// A value without numbers: its metadata are what counts.
fn value(tag: &str, data: HparamsContent) -> SummaryValue {
    let content = HparamsData { version: 0, data: Some(data) }.encode_to_vec();
    let plugin_data = Some(PluginData { plugin_name: PLUGIN.into(), content });
    let metadata = Some(SummaryMetadata { plugin_data, summary_description: String::new() });
    SummaryValue { tag: tag.into(), metadata, value: Some(Datum::Tensor(Tensor::empty())) }
}
