//! Reading `CUDA_VISIBLE_DEVICES` and its like as the drivers do.
//!
//! # Sources
//! - CUDA Programming Guide, CUDA Environment Variables, `CUDA_VISIBLE_DEVICES`: indices, UUIDs and unambiguous
//!   beginnings of them, in the order of the list, which ends before its first invalid entry; empty hides everything
//! - PyTorch, `torch/cuda/__init__.py`, `_parse_visible_devices` and `_transform_uuid_to_ordinals`: what the guide leaves
//!   open, and what libtorch's users go by. The first entry says of which sort the list is, an index is read as C's
//!   `strtoul` reads it, and a device that is listed twice leaves none at all
//! - NVIDIA Multi-Instance GPU User Guide, Device Enumeration and CUDA Visible Devices: a process sees one MIG device,
//!   by its `MIG-…` UUID; of a divided GPU that is named as a whole, the first

/// A GPU as a list may name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its index with the driver.
    pub(super) index: u32,
    /// `GPU-…`
    pub(super) uuid: String,
    /// UUIDs of its MIG devices, in the driver's order; none for a GPU that is not divided.
    pub(super) parts: Option<Vec<String>>,
}

/// A device that a list leaves visible, by places in what was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Visible {
    pub(super) gpu: usize,
    pub(super) part: Option<usize>,
}

/// What there is without a list: every GPU that is not divided, and every MIG device of those that are, since each can
/// be masked to by its UUID.
pub(super) fn all(known: &[Listed]) -> Vec<Visible> {
    let of = |(gpu, listed): (usize, &Listed)| match &listed.parts {
        None => vec![Visible { gpu, part: None }],
        Some(parts) => (0..parts.len()).map(|part| Visible { gpu, part: Some(part) }).collect(),
    };
    known.iter().enumerate().flat_map(of).collect()
}

/// What a list leaves visible, in its order, as CUDA and HIP read it.
pub(super) fn read(list: &str, known: &[Listed]) -> Vec<Visible> {
    match list.trim_start() {
        first if first.starts_with("GPU-") => listed(list, known, by_uuid),
        first if first.starts_with("MIG-") => listed(list, known, by_part),
        _ => listed(list, known, by_index),
    }
}

/// The same for a list that may mix indices and UUIDs, as ROCm's own may.
pub(super) fn read_mixed(list: &str, known: &[Listed]) -> Vec<Visible> {
    listed(list, known, |entry, known| by_uuid(entry, known).or_else(|| by_index(entry, known)))
}

fn listed(list: &str, known: &[Listed], named: fn(&str, &[Listed]) -> Option<Visible>) -> Vec<Visible> {
    let mut seen = Vec::new();
    for entry in list.split(',') {
        let Some(found) = named(entry.trim(), known) else { break };
        if seen.contains(&found) {
            return Vec::new();
        }
        seen.push(found);
    }
    seen
}

fn by_index(entry: &str, known: &[Listed]) -> Option<Visible> {
    let entry = entry.strip_prefix('+').unwrap_or(entry);
    let digits = entry.find(|c: char| !c.is_ascii_digit()).unwrap_or(entry.len());
    let index: u32 = entry[..digits].parse().ok()?;
    whole(known.iter().position(|gpu| gpu.index == index)?, known)
}

fn by_uuid(entry: &str, known: &[Listed]) -> Option<Visible> {
    if !entry.starts_with("GPU-") {
        return None;
    }
    let mut fitting = known.iter().enumerate().filter(|(_, gpu)| gpu.uuid.starts_with(entry));
    match (fitting.next(), fitting.next()) {
        (Some((gpu, _)), None) => whole(gpu, known),
        _ => None,
    }
}

fn by_part(entry: &str, known: &[Listed]) -> Option<Visible> {
    known.iter().enumerate().find_map(|(gpu, listed)| {
        let part = listed.parts.iter().flatten().position(|uuid| uuid == entry)?;
        Some(Visible { gpu, part: Some(part) })
    })
}

/// A GPU named as a whole: itself, or its first MIG device if it is divided.
fn whole(gpu: usize, known: &[Listed]) -> Option<Visible> {
    match &known[gpu].parts {
        None => Some(Visible { gpu, part: None }),
        Some(parts) => (!parts.is_empty()).then_some(Visible { gpu, part: Some(0) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(uuids: &[&str]) -> Vec<Listed> {
        let listed = |(index, uuid): (usize, &&str)| Listed {
            index: u32::try_from(index).unwrap(),
            uuid: (*uuid).to_owned(),
            parts: None,
        };
        uuids.iter().enumerate().map(listed).collect()
    }

    fn four() -> Vec<Listed> {
        known(&["GPU-aa10", "GPU-ab20", "GPU-c300", "GPU-d400"])
    }

    fn gpus(list: &str, known: &[Listed]) -> Vec<usize> {
        read(list, known).iter().map(|visible| visible.gpu).collect()
    }

    #[test]
    fn indices_come_in_the_order_of_the_list_up_to_the_first_that_is_none() {
        assert_eq!(gpus("2, 0", &four()), [2, 0]);
        // The guide's own example.
        assert_eq!(gpus("0,2,-1,1", &four()), [0, 2]);
        assert_eq!(gpus("1,9,0", &four()), [1]);
        assert_eq!(gpus("1gpu,+2", &four()), [1, 2]);
        assert_eq!(gpus("3,x,1", &four()), [3]);
        assert_eq!(gpus("3,,1", &four()), [3]);
    }

    #[test]
    fn an_empty_list_or_minus_one_hides_all() {
        for list in ["", " ", "-1", "-1,0", ",0", "none", "NoDevFiles", "99999999999"] {
            assert!(read(list, &four()).is_empty(), "{list:?}");
        }
    }

    #[test]
    fn a_uuid_may_be_cut_short_as_long_as_it_is_one_gpus() {
        assert_eq!(gpus("GPU-ab20", &four()), [1]);
        assert_eq!(gpus("GPU-c,GPU-aa", &four()), [2, 0]);
        assert_eq!(gpus("GPU-d,GPU-a,GPU-c", &four()), [3], "GPU-a is two GPUs'");
        assert!(gpus("GPU-", &four()).is_empty());
        assert!(gpus("GPU-ff", &four()).is_empty());
    }

    #[test]
    fn the_first_entry_says_of_which_sort_the_list_is() {
        assert_eq!(gpus("GPU-c,0", &four()), [2]);
        assert_eq!(gpus("0,GPU-c", &four()), [0]);
        let mixed = |list| read_mixed(list, &four()).iter().map(|visible| visible.gpu).collect::<Vec<_>>();
        assert_eq!(mixed("0,GPU-c"), [0, 2]);
        assert_eq!(mixed("0,GPU-aa"), [0; 0]);
    }

    #[test]
    fn a_device_listed_twice_leaves_none() {
        assert!(read("0,1,0", &four()).is_empty());
        assert!(read("GPU-aa10,GPU-aa", &four()).is_empty());
        assert_eq!(gpus("0,9,0", &four()), [0], "what stands behind the list's end is not read");
    }

    fn divided() -> Vec<Listed> {
        let mut known = four();
        known[1].parts = Some(vec!["MIG-1a".into(), "MIG-1b".into()]);
        known[2].parts = Some(Vec::new());
        known
    }

    #[test]
    fn mig_devices_are_named_in_full_and_by_themselves() {
        let part = |part| Visible { gpu: 1, part: Some(part) };
        assert_eq!(read("MIG-1b,MIG-1a", &divided()), [part(1), part(0)]);
        assert_eq!(read("MIG-1", &divided()), []);
        assert_eq!(read("MIG-1a,0", &divided()), [part(0)]);
        assert_eq!(
            read("MIG-GPU-ab20/1/0", &divided()),
            [],
            "the form of drivers before 470 is not known here"
        );
    }

    #[test]
    fn a_divided_gpu_named_as_a_whole_is_its_first_part() {
        assert_eq!(read("1", &divided()), [Visible { gpu: 1, part: Some(0) }]);
        assert_eq!(read("GPU-ab", &divided()), [Visible { gpu: 1, part: Some(0) }]);
        assert_eq!(gpus("0,2,3", &divided()), [0], "GPU 2 is divided into nothing");
    }

    #[test]
    fn without_a_list_every_part_is_a_device() {
        let parts: Vec<_> = all(&divided()).iter().map(|seen| (seen.gpu, seen.part)).collect();
        assert_eq!(parts, [(0, None), (1, Some(0)), (1, Some(1)), (3, None)]);
    }
}
