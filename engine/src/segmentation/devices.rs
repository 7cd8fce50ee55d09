//! What there is to compute on, and what of it a job would take: what `engine devices` tells.

use engine_devices::inventory::{DeviceReport, Machine};
use engine_devices::lock::holders;
use engine_devices::{Accelerator, DeviceKind, InventoryError};

use super::jobs::{PlanError, chosen_backend, supported};
use crate::config::{DeviceConfig, OptionValue, Resolved};

/// The devices of this machine next to what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survey {
    /// Every device of the kind asked for; those a job would take are chosen.
    pub report: DeviceReport,
    /// What a job with the same options would be refused with. The devices it names are chosen all the same where only
    /// this build can not compute on them.
    pub refused: Option<InventoryError>,
}

/// Looks at every device of this machine with the options `accelerator`, `devices` and `backend`.
///
/// # Errors
/// [`PlanError`] for options that mean nothing, a backend that is not in this build. A device that is not there is no
/// error here but [`Survey::refused`].
pub fn survey(resolved: &Resolved) -> Result<Survey, PlanError> {
    let config = DeviceConfig::new(resolved)?;
    let asked: Accelerator = config.accelerator.parse()?;
    let backend = match resolved.get("backend").map(|option| &option.value) {
        Some(OptionValue::Text(name)) if name != "auto" => Some(name.as_str()),
        _ => None,
    };
    let kinds = supported(chosen_backend(backend)?);
    let machine = Machine::probe();
    let (taken, refused) = match machine.select(asked, &config.devices, &kinds) {
        Ok(taken) => (taken, None),
        Err(error @ InventoryError::Unsupported { .. }) => {
            match machine.select(asked, &config.devices, &DeviceKind::ALL) {
                Ok(named) => (named, Some(error)),
                Err(missing) => (Vec::new(), Some(missing)),
            }
        }
        Err(error) => (Vec::new(), Some(error)),
    };
    let mut report = machine.report(asked, &taken, &holders(&config.lock_dir));
    let idle = report.devices.iter().find(|row| !kinds.contains(&row.kind) && refused.is_none());
    if let Some(row) = idle {
        let error = InventoryError::Unsupported { kind: row.kind, supported: kinds };
        report.notes.push(error.to_string());
    }
    Ok(Survey { report, refused })
}
