//! What the figures of a run are drawn from, as data.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::error::RunError;
use crate::metrics::CurveData;

/// One pass and its curves, as written to `figures/{prefix}_curves.json`.
#[derive(Debug, Serialize)]
struct Curves<'a> {
    epoch: u32,
    step: u64,
    #[serde(flatten)]
    curves: &'a CurveData,
}

/// Writes the curves of a pass, whole or not at all, in place of those before.
pub(super) fn write_curves(
    run_dir: &Path,
    prefix: &str,
    (epoch, step): (u32, u64),
    curves: &CurveData,
) -> Result<(), RunError> {
    let dir = run_dir.join("figures");
    let path = dir.join(format!("{prefix}_curves.json"));
    let aside = dir.join(format!(".{prefix}_curves.json"));
    let write = || {
        fs::create_dir_all(&dir)?;
        let mut file = File::create(&aside)?;
        serde_json::to_writer_pretty(&mut file, &Curves { epoch, step, curves })?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&aside, &path)
    };
    write().map_err(|source| RunError::Figure { path: path.clone(), source })
}
