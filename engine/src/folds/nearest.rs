//! How an unknown region, sample id or augmentation is pointed out.

pub(crate) use engine_devices::suggest::nearest;

/// Words the hint as it stands after an unknown name.
pub(crate) fn hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default()
}
