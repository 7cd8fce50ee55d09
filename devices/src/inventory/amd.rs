//! AMD's GPUs as the kernel tells of them.
//!
//! libtorch built for ROCm calls its devices `cuda`, and so do we. The kernel's files need no library: a card is one that
//! HIP can use if the compute driver (`/dev/kfd`) is there and the card has memory of its own.
//!
//! # Sources
//! - Linux kernel, Documentation/gpu/amdgpu/driver-misc.rst: `mem_info_vram_total`, `mem_info_vram_used`,
//!   `product_name`, `unique_id`
//! - ROCm documentation, GPU isolation techniques: `ROCR_VISIBLE_DEVICES` (indices and UUIDs, mixed) is applied first,
//!   `HIP_VISIBLE_DEVICES` (indices) counts within what it leaves

use std::fs;
use std::path::{Path, PathBuf};

use super::gpu::GpuMemory;

/// AMD's number with the PCI special interest group.
const VENDOR: &str = "0x1002";

/// A card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Card {
    /// `GPU-` and the card's unique id, as ROCm writes it; none for cards without one.
    pub(super) uuid: Option<String>,
    pub(super) name: Option<String>,
    pub(super) total_bytes: u64,
    device: PathBuf,
}

/// The cards below `root`, in the order of the PCI bus, which is HIP's.
pub(super) fn cards(root: &Path) -> Vec<Card> {
    if !root.join("dev/kfd").exists() {
        return Vec::new();
    }
    let Ok(entries) = fs::read_dir(root.join("sys/class/drm")) else { return Vec::new() };
    let mut cards: Vec<(String, Card)> = entries
        .flatten()
        .filter(|entry| is_card(&entry.file_name().to_string_lossy()))
        .filter_map(|entry| {
            let device = entry.path().join("device");
            (text(&device, "vendor")? == VENDOR).then_some(())?;
            // `0000:c1:00.0`: the last name of where the link leads.
            let slot = fs::canonicalize(&device).ok()?.file_name()?.to_string_lossy().into_owned();
            Some((slot, card(device)?))
        })
        .collect();
    cards.sort_by(|(a, _), (b, _)| a.cmp(b));
    cards.into_iter().map(|(_, card)| card).collect()
}

/// `card0`, not `card0-DP-1` or `renderD128`.
fn is_card(name: &str) -> bool {
    name.strip_prefix("card")
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn card(device: PathBuf) -> Option<Card> {
    Some(Card {
        uuid: text(&device, "unique_id").map(|id| format!("GPU-{id}")),
        name: text(&device, "product_name"),
        total_bytes: number(&device, "mem_info_vram_total")?,
        device,
    })
}

/// Memory of a card now.
pub(super) fn memory(root: &Path, uuid: &str) -> Option<GpuMemory> {
    let card = cards(root).into_iter().find(|card| card.uuid.as_deref() == Some(uuid))?;
    let used_bytes = number(&card.device, "mem_info_vram_used")?;
    let total_bytes = card.total_bytes;
    Some(GpuMemory { total_bytes, used_bytes, free_bytes: total_bytes.saturating_sub(used_bytes) })
}

fn text(device: &Path, file: &str) -> Option<String> {
    let text = fs::read_to_string(device.join(file)).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn number(device: &Path, file: &str) -> Option<u64> {
    text(device, file)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(root: &Path, card: &str, slot: &str, files: &[(&str, &str)]) {
        let device = root.join("sys/devices").join(slot);
        fs::create_dir_all(&device).unwrap();
        for (name, text) in files {
            fs::write(device.join(name), format!("{text}\n")).unwrap();
        }
        let class = root.join("sys/class/drm").join(card);
        fs::create_dir_all(&class).unwrap();
        std::os::unix::fs::symlink(&device, class.join("device")).unwrap();
    }

    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let amd = |id: &'static str, used: &'static str| {
            vec![
                ("vendor", VENDOR),
                ("unique_id", id),
                ("product_name", "AMD Instinct MI250X"),
                ("mem_info_vram_total", "68702699520"),
                ("mem_info_vram_used", used),
            ]
        };
        make(root.path(), "card0", "0000:c1:00.0", &amd("bbbb", "1024"));
        make(root.path(), "card1", "0000:31:00.0", &amd("aaaa", "10485760"));
        make(root.path(), "card2", "0000:05:00.0", &[("vendor", "0x10de")]);
        make(root.path(), "card0-DP-1", "0000:c1:00.1", &amd("cccc", "0"));
        root
    }

    #[test]
    fn cards_of_amd_come_in_the_order_of_the_bus_if_the_compute_driver_is_there() {
        let root = machine();
        assert_eq!(cards(root.path()), [], "no /dev/kfd: a card for a screen only");
        fs::create_dir_all(root.path().join("dev")).unwrap();
        fs::write(root.path().join("dev/kfd"), "").unwrap();
        let found = cards(root.path());
        let uuids: Vec<_> = found.iter().map(|card| card.uuid.clone().unwrap()).collect();
        assert_eq!(uuids, ["GPU-aaaa", "GPU-bbbb"]);
        assert_eq!(found[0].total_bytes, 68_702_699_520);
        let memory = memory(root.path(), "GPU-aaaa").unwrap();
        assert_eq!((memory.used_bytes, memory.free_bytes), (10_485_760, 68_692_213_760));
        assert_eq!(super::memory(root.path(), "GPU-cccc"), None);
    }
}
