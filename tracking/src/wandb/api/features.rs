//! What a server can do.

use serde_json::Value;

pub(super) const QUERY: &str = "query ServerFeaturesQuery { serverInfo { features { name isEnabled } } }";

/// What a server can do, of what makes a difference to us. An old server can nothing of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Features {
    /// It takes console lines as JSON, with time and level; others take plain text.
    pub structured_console_logs: bool,
}

impl Features {
    /// From the `data` of the answer.
    pub(super) fn from_answer(data: &Value) -> Self {
        let all = data["serverInfo"]["features"].as_array().map(Vec::as_slice).unwrap_or_default();
        let can =
            |name: &str| all.iter().any(|feature| feature["name"] == name && feature["isEnabled"] == true);
        Self { structured_console_logs: can("STRUCTURED_CONSOLE_LOGS") }
    }
}
