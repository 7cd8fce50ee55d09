//! What runs of a family need of a device's memory, as far as it is known.

use std::collections::BTreeMap;

use crate::inventory::DeviceKind;

/// A run is taken to need this much of what one like it was measured to use, in percent: batches differ, and caches
/// grow late.
///
/// # Sources
/// A choice, not a law: [`LeaseEvent::RanOutOfMemory`](super::LeaseEvent::RanOutOfMemory) corrects it where it is too
/// little.
pub const NEED_PERCENT: u64 = 115;

/// What a process takes of a GPU besides its tensors: the driver's context and the kernels of the libraries.
///
/// Counted on top of a peak that may hold some of it already: a run that does not fit costs more than one that waits.
///
/// # Sources
/// A choice with room to spare, corrected as [`NEED_PERCENT`] is.
pub const GPU_CONTEXT_BYTES: u64 = 600 << 20;

/// The needs of the families that are known.
#[derive(Debug, Clone, Default)]
pub(super) struct Needs {
    families: BTreeMap<String, u64>,
}

impl Needs {
    pub(super) fn of(&self, family: &str) -> Option<u64> {
        self.families.get(family).copied()
    }

    /// A run of the family used so much on a device of that kind. Without a peak nothing is known.
    pub(super) fn measured(&mut self, family: &str, kind: DeviceKind, peak_bytes: u64) {
        if peak_bytes > 0 {
            self.raise(family, need_of(kind, peak_bytes));
        }
    }

    /// A run of the family found no memory left on a device with so many runs: one fewer must fill it.
    pub(super) fn ran_out(&mut self, family: &str, capacity_bytes: u64, runs: usize) {
        let fewer = u64::try_from(runs.saturating_sub(1)).unwrap_or(u64::MAX).max(1);
        self.raise(family, capacity_bytes / fewer);
    }

    fn raise(&mut self, family: &str, need_bytes: u64) {
        let need = self.families.entry(family.to_owned()).or_default();
        *need = need_bytes.max(*need);
    }
}

pub(super) fn need_of(kind: DeviceKind, peak_bytes: u64) -> u64 {
    let context = match kind {
        DeviceKind::Cuda => GPU_CONTEXT_BYTES,
        DeviceKind::Cpu | DeviceKind::Mps => 0,
    };
    let with_margin = u128::from(peak_bytes) * u128::from(NEED_PERCENT) / 100;
    u64::try_from(with_margin).unwrap_or(u64::MAX).saturating_add(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_need_is_the_peak_with_its_margin_and_on_a_gpu_the_context() {
        assert_eq!(need_of(DeviceKind::Cpu, 1_000), 1_150);
        assert_eq!(need_of(DeviceKind::Cuda, 1_000), 1_150 + (600 << 20));
        assert_eq!(need_of(DeviceKind::Cuda, u64::MAX), u64::MAX);
    }

    #[test]
    fn a_need_only_grows_and_no_peak_is_no_measurement() {
        let mut needs = Needs::default();
        needs.measured("cv", DeviceKind::Cpu, 0);
        assert_eq!(needs.of("cv"), None);
        needs.measured("cv", DeviceKind::Cpu, 200);
        needs.measured("cv", DeviceKind::Cpu, 100);
        assert_eq!(needs.of("cv"), Some(230));
    }

    #[test]
    fn after_running_out_one_fewer_fits() {
        let mut needs = Needs::default();
        needs.ran_out("cv", 1_000, 4);
        assert_eq!(needs.of("cv").map(|need| 1_000 / need), Some(3));
        needs.ran_out("cv", 1_000, 1);
        assert_eq!(needs.of("cv"), Some(1_000), "alone and still too much: the whole device");
    }
}
