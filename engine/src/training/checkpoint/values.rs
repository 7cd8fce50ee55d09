//! Metrics in JSON: numbers where they are finite, and the words of `metrics.csv` where they are not.

use engine_tracking::Metrics;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serializer};

/// What stands for one value.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Word(Word),
    /// Version 1 wrote null for whatever was not finite.
    NotFinite(()),
}

#[derive(Clone, Copy, Deserialize, serde::Serialize)]
enum Word {
    #[serde(rename = "nan")]
    Nan,
    #[serde(rename = "inf")]
    Infinity,
    #[serde(rename = "-inf")]
    NegativeInfinity,
}

pub(crate) fn serialize<S: Serializer>(metrics: &Metrics, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(metrics.len()))?;
    for (name, value) in metrics {
        match *value {
            nan if nan.is_nan() => map.serialize_entry(name, &Word::Nan)?,
            f64::INFINITY => map.serialize_entry(name, &Word::Infinity)?,
            f64::NEG_INFINITY => map.serialize_entry(name, &Word::NegativeInfinity)?,
            finite => map.serialize_entry(name, &finite)?,
        }
    }
    map.end()
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Metrics, D::Error> {
    let written = std::collections::BTreeMap::<String, Written>::deserialize(deserializer)?;
    let value = |written| match written {
        Written::Number(value) => value,
        Written::Word(Word::Infinity) => f64::INFINITY,
        Written::Word(Word::NegativeInfinity) => f64::NEG_INFINITY,
        Written::Word(Word::Nan) | Written::NotFinite(()) => f64::NAN,
    };
    Ok(written.into_iter().map(|(name, written)| (name, value(written))).collect())
}
