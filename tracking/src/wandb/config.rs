//! The configuration of a run as W&B keeps it: every value wrapped, and under `_wandb` what wrote it, the definitions of
//! its metrics, and where it ran.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat};
use prost::Message;
use prost::encoding::decode_varint;
use serde_json::{Map, Value, json};

use super::record::{Environment, Items, Metric, Telemetry, Timestamp};
use super::tree::{Tree, path_of, value_of};

/// Version of the official client whose formats these are, where a journal does not say.
///
/// # Sources
/// The protocol was recorded with this version; servers refuse clients that are too old.
const CLIENT_VERSION: &str = "0.31.0";

/// Everything of a journal that goes into the configuration.
#[derive(Debug, Clone, Default)]
pub(super) struct Config {
    values: Tree,
    metrics: Vec<Metric>,
    telemetry: Telemetry,
    features: BTreeSet<u64>,
    environments: Vec<Environment>,
}

impl Config {
    /// Takes a record of values.
    pub(super) fn update(&mut self, items: Items) {
        for item in &items.remove {
            self.values.remove(&path_of(item));
        }
        for item in items.update {
            let path: Vec<String> = path_of(&item).into_iter().map(str::to_owned).collect();
            let path = path.iter().map(String::as_str);
            // The official client writes an empty `_wandb` beside what is in it.
            if item.nested_key.is_empty() && item.key == "_wandb" {
                let mut added = Tree::default();
                added.set(path, Tree::parse(&value_of(item)));
                self.values.merge(added);
            } else {
                self.values.set(path, Tree::leaf(value_of(item)));
            }
        }
    }

    /// Takes the definition of a metric; of two of one name the later holds.
    pub(super) fn define(&mut self, metric: Metric) {
        let same = |known: &&mut Metric| known.name == metric.name && known.glob_name == metric.glob_name;
        match self.metrics.iter_mut().find(same) {
            Some(known) => *known = metric,
            None => self.metrics.push(metric),
        }
    }

    /// Takes what wrote the journal: features add up, versions are set.
    pub(super) fn written_by(&mut self, telemetry: Telemetry) {
        self.features.extend(flags_of(&telemetry.feature));
        let known = &mut self.telemetry;
        for (known, new) in [
            (&mut known.python_version, telemetry.python_version),
            (&mut known.cli_version, telemetry.cli_version),
            (&mut known.core_version, telemetry.core_version),
            (&mut known.platform, telemetry.platform),
        ] {
            if !new.is_empty() {
                *known = new;
            }
        }
    }

    /// Takes where the run ran; the parts of one writer add up.
    pub(super) fn ran_on(&mut self, environment: Environment) {
        match self.environments.iter_mut().find(|known| known.writer_id == environment.writer_id) {
            Some(known) => {
                // Merging messages is what protobuf means by reading one behind the other; what was just written can be read.
                if known.merge(environment.encode_to_vec().as_slice()).is_err() {
                    *known = environment;
                }
            }
            None => self.environments.push(environment),
        }
    }

    /// The environment of the first writer, as `wandb-metadata.json` has it.
    pub(super) fn metadata(&self) -> Option<Value> {
        self.environments.first().map(environment_json)
    }

    /// The program of the run and the commit of its code, where known.
    pub(super) fn program(&self) -> Option<&str> {
        self.environments.first().map(|known| known.program.as_str()).filter(|program| !program.is_empty())
    }

    /// The whole as JSON, over what the server held before.
    ///
    /// # Sources
    /// Recorded with W&B client 0.31.0; `t` must be there, or the run can not be resumed by anyone.
    pub(super) fn to_json(&self, before: Option<&str>) -> String {
        let mut all = before.map(Tree::parse).unwrap_or_default();
        let mut own = self.values.clone();
        let hidden = own.members().remove("_wandb").unwrap_or_default();
        for (key, value) in std::mem::take(own.members()) {
            all.set([key.as_str()], Tree::default());
            all.set([key.as_str(), "value"], value);
        }
        let mut wandb = hidden;
        if wandb.get("value").is_some() {
            // A journal that was wrapped already.
            wandb = wandb.members().remove("value").unwrap_or_default();
        }
        wandb.merge(Tree::parse(&self.about().to_string()));
        let mut wrapped = Tree::default();
        wrapped.set(["_wandb", "value"], wandb);
        all.merge(wrapped);
        all.to_json()
    }

    fn about(&self) -> Value {
        let telemetry = &self.telemetry;
        let client =
            if telemetry.cli_version.is_empty() { CLIENT_VERSION } else { telemetry.cli_version.as_str() };
        let mut seen = Map::new();
        let mut put = |number: &str, text: &str| {
            if !text.is_empty() {
                seen.insert(number.to_owned(), text.into());
            }
        };
        put("4", &telemetry.python_version);
        put("5", client);
        put("12", &telemetry.core_version);
        put("13", &telemetry.platform);
        if !self.features.is_empty() {
            seen.insert("3".to_owned(), json!(self.features));
        }
        let mut about = json!({ "cli_version": client, "t": seen, "m": metrics_json(&self.metrics) });
        if !telemetry.python_version.is_empty() {
            about["python_version"] = telemetry.python_version.clone().into();
        }
        if !self.environments.is_empty() {
            let named = self.environments.iter().map(|known| {
                let writer = if known.writer_id.is_empty() { "engine" } else { &known.writer_id };
                (writer.to_owned(), environment_json(known))
            });
            about["e"] = Value::Object(named.collect());
        }
        about
    }
}

/// The definitions, each with its step metric by its place in the list, from 1.
fn metrics_json(metrics: &[Metric]) -> Value {
    let mut names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    let mut list = Vec::with_capacity(metrics.len());
    for metric in metrics {
        let mut known = Map::new();
        if !metric.name.is_empty() {
            known.insert("1".to_owned(), metric.name.clone().into());
        }
        if !metric.glob_name.is_empty() {
            known.insert("2".to_owned(), metric.glob_name.clone().into());
        }
        if !metric.step_metric.is_empty() {
            let at = names.iter().position(|name| *name == metric.step_metric).unwrap_or_else(|| {
                names.push(&metric.step_metric);
                names.len() - 1
            });
            known.insert("5".to_owned(), (at + 1).into());
        }
        let options = metric.options.clone().unwrap_or_default();
        let shown = [(options.step_sync, 1), (options.hidden, 2), (options.defined, 3)];
        known.insert("6".to_owned(), set_ones(&shown));
        let held = metric.summary.clone().unwrap_or_default();
        let held = [
            (held.min, 1),
            (held.max, 2),
            (held.mean, 3),
            (held.best, 4),
            (held.last, 5),
            (held.none, 6),
            (held.first, 8),
        ];
        known.insert("7".to_owned(), set_ones(&held));
        if metric.goal != 0 {
            known.insert("8".to_owned(), metric.goal.into());
        }
        list.push(Value::Object(known));
    }
    // Step metrics that nobody defined stand behind the others.
    list.extend(names[metrics.len()..].iter().map(|name| json!({ "1": name, "6": [], "7": [] })));
    Value::Array(list)
}

/// Numbers of the flags in a message that has nothing else: pairs of a field's head and a value.
fn flags_of(mut message: &[u8]) -> Vec<u64> {
    let mut flags = Vec::new();
    while let (Ok(head), Ok(value)) = (decode_varint(&mut message), decode_varint(&mut message)) {
        if head & 7 == 0 && value != 0 {
            flags.push(head >> 3);
        }
    }
    flags
}

fn set_ones(flags: &[(bool, u32)]) -> Value {
    flags.iter().filter(|(is_set, _)| *is_set).map(|(_, number)| *number).collect()
}

/// Protobuf's JSON of an environment: 64-bit numbers are texts, what is empty is left out.
fn environment_json(known: &Environment) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        let is_empty = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Number(number) => number.as_u64() == Some(0),
            Value::Bool(_) => false,
        };
        if !is_empty {
            out.insert(key.to_owned(), value);
        }
    };
    put("os", known.os.clone().into());
    put("startedAt", known.started_at.map(rfc3339).into());
    put("args", known.args.clone().into());
    put("program", known.program.clone().into());
    put("codePath", known.code_path.clone().into());
    if let Some(git) = &known.git {
        put("git", json!({ "remote": git.remote_url, "commit": git.commit }));
    }
    put("root", known.root.clone().into());
    put("host", known.host.clone().into());
    put("executable", known.executable.clone().into());
    put("cpu_count", known.cpu_count.into());
    put("cpu_count_logical", known.cpu_count_logical.into());
    put("gpu", known.gpu_type.clone().into());
    put("gpu_count", known.gpu_count.into());
    let disks = known.disk.iter().map(|(at, disk)| {
        (at.clone(), json!({ "total": disk.total.to_string(), "used": disk.used.to_string() }))
    });
    put("disk", Value::Object(disks.collect()));
    if let Some(memory) = known.memory {
        put("memory", json!({ "total": memory.total.to_string() }));
    }
    put(
        "slurm",
        known
            .slurm
            .iter()
            .map(|(key, value)| (key.clone(), value.clone().into()))
            .collect::<Map<_, _>>()
            .into(),
    );
    put("writerId", known.writer_id.clone().into());
    Value::Object(out)
}

fn rfc3339(at: Timestamp) -> String {
    let nanos = u32::try_from(at.nanos).unwrap_or(0);
    DateTime::from_timestamp(at.seconds, nanos)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::super::record::{Item, MetricOptions, MetricSummary};
    use super::*;

    fn item(path: &[&str], value: &str) -> Item {
        let value_json = value.to_owned();
        match path {
            [key] => Item { key: (*key).to_owned(), value_json, ..Item::default() },
            path => {
                let nested_key = path.iter().map(|key| (*key).to_owned()).collect();
                Item { nested_key, value_json, ..Item::default() }
            }
        }
    }

    fn read(config: &Config, before: Option<&str>) -> Value {
        serde_json::from_str(&config.to_json(before)).unwrap()
    }

    #[test]
    fn values_are_wrapped_and_what_wrote_them_is_always_there() {
        let mut config = Config::default();
        config.update(Items {
            update: vec![
                item(&["_wandb"], "{}"),
                item(&["lr"], "0.1"),
                item(&["net"], r#"{"width":3,"deep":{"er":1}}"#),
            ],
            remove: vec![],
        });
        config.update(Items {
            update: vec![item(&["net", "deep", "er"], "2")],
            remove: vec![item(&["lr"], "")],
        });
        config.update(Items {
            update: vec![item(&["_wandb", "visualize", "cm"], r#"{"panel_type":"Vega2"}"#)],
            remove: vec![],
        });
        let want = json!({
            "net": { "value": { "width": 3, "deep": { "er": 2 } } },
            "_wandb": { "value": { "cli_version": "0.31.0", "t": { "5": "0.31.0" }, "m": [],
                "visualize": { "cm": { "panel_type": "Vega2" } } } },
        });
        assert_eq!(read(&config, None), want);
    }

    #[test]
    fn metrics_are_defined_as_the_official_client_does() {
        let metric = |name: &str| Metric { name: name.to_owned(), ..Metric::default() };
        let mut config = Config::default();
        let defined = Some(MetricOptions { defined: true, ..MetricOptions::default() });
        config.define(Metric { options: defined.clone(), ..metric("epoch") });
        let min = Some(MetricSummary { min: true, ..MetricSummary::default() });
        config.define(Metric { options: defined, summary: min, ..metric("loss") });
        let both = Some(MetricSummary { min: true, max: true, ..MetricSummary::default() });
        let synced = Some(MetricOptions { step_sync: true, ..MetricOptions::default() });
        config.define(Metric {
            glob_name: "val/*".to_owned(),
            step_metric: "epoch".to_owned(),
            options: synced,
            summary: both,
            ..metric("")
        });
        config.define(Metric { step_metric: "samples".to_owned(), goal: 2, ..metric("late") });
        let want = json!([
            { "1": "epoch", "6": [3], "7": [] },
            { "1": "loss", "6": [3], "7": [1] },
            { "2": "val/*", "5": 1, "6": [1], "7": [1, 2] },
            { "1": "late", "5": 5, "6": [], "7": [], "8": 2 },
            { "1": "samples", "6": [], "7": [] },
        ]);
        assert_eq!(read(&config, None)["_wandb"]["value"]["m"], want);
    }

    #[test]
    fn telemetry_and_environment_add_up() {
        let mut config = Config::default();
        let told = |flags: &[u8], core: &str| Telemetry {
            feature: flags.iter().flat_map(|flag| [flag << 3, 1]).collect(),
            cli_version: "0.31.0".to_owned(),
            core_version: core.to_owned(),
            ..Telemetry::default()
        };
        config.written_by(told(&[4, 3], "0.1.0"));
        config.written_by(told(&[4, 15], ""));
        let writer_id = "w".to_owned();
        let started_at = Some(Timestamp { seconds: 1_795_413_844, nanos: 979_267_000 });
        config.ran_on(Environment {
            started_at,
            args: vec!["a".to_owned()],
            writer_id: writer_id.clone(),
            ..Environment::default()
        });
        let memory = Some(super::super::record::Memory { total: 5 });
        config.ran_on(Environment { cpu_count: 2, memory, writer_id, ..Environment::default() });
        let about = &read(&config, None)["_wandb"]["value"];
        assert_eq!(about["t"], json!({ "3": [3, 4, 15], "5": "0.31.0", "12": "0.1.0" }));
        let want = json!({ "startedAt": "2026-11-23T06:04:04.979267Z", "args": ["a"], "cpu_count": 2,
            "memory": { "total": "5" }, "writerId": "w" });
        assert_eq!(about["e"], json!({ "w": want }));
        assert_eq!(config.metadata(), Some(want));
    }

    #[test]
    fn what_the_server_held_stays_unless_set_anew() {
        let mut config = Config::default();
        config.update(Items { update: vec![item(&["lr"], r#"{"a":NaN}"#)], remove: vec![] });
        let before = r#"{"lr":{"value":{"b":1}},"old":{"value":Infinity},"_wandb":{"value":{"viz":{"x":1},"t":{"5":"0.1"}}}}"#;
        let all = config.to_json(Some(before));
        assert!(all.contains(r#""lr":{"value":{"a":NaN}}"#), "{all}");
        assert!(all.contains(r#""old":{"value":Infinity}"#), "{all}");
        assert!(all.contains(r#""viz":{"x":1}"#) && all.contains(r#""t":{"5":"0.31.0"}"#), "{all}");
    }
}
