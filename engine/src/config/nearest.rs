//! How a misspelt option or name is pointed out.

pub use engine_devices::suggest::nearest;

/// `; did you mean …?`, or nothing.
pub(crate) fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}
