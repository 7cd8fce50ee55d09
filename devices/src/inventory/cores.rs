//! The cores this process may use, and their slices.

use std::path::Path;

/// Cores and threads of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) cores: Vec<usize>,
    pub(super) threads: u32,
}

/// Cores of the affinity mask, ascending, never empty; `0..n` where the system has no such mask.
pub(super) fn allowed() -> Vec<usize> {
    let mask = affinity_mask();
    if mask.is_empty() { (0..budget()).collect() } else { mask }
}

/// How many cores' worth of time there is: the mask's count, or less under a cgroup quota (v1 or v2, which the
/// standard library reads).
pub(super) fn budget() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

#[cfg(target_os = "linux")]
fn affinity_mask() -> Vec<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let Ok(mask) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|core| mask.is_set(*core)).collect()
}

#[cfg(not(target_os = "linux"))]
fn affinity_mask() -> Vec<usize> {
    Vec::new()
}

/// Cuts the cores into `n` runs of neighbours whose lengths differ by at most one; with more slices than cores each
/// slice has one core and cores are shared. Threads share the budget, not the cores: under a quota the process has
/// fewer cores' worth of time than cores.
pub(super) fn slices(cores: &[usize], budget: usize, n: usize) -> Vec<Slice> {
    (0..n)
        .map(|i| Slice { cores: share_of_cores(cores, i, n), threads: share_of_threads(budget, i, n) })
        .collect()
}

fn share_of_cores(cores: &[usize], i: usize, n: usize) -> Vec<usize> {
    if cores.len() < n {
        return cores.iter().copied().cycle().skip(i).take(cores.len().min(1)).collect();
    }
    let (start, length) = part(cores.len(), i, n);
    cores[start..start + length].to_vec()
}

fn share_of_threads(budget: usize, i: usize, n: usize) -> u32 {
    let (_, length) = part(budget, i, n);
    u32::try_from(length.max(1)).unwrap_or(u32::MAX)
}

/// Start and length of part `i` of `n` of `total`: the first `total % n` parts are one longer.
fn part(total: usize, i: usize, n: usize) -> (usize, usize) {
    let (quotient, rest) = (total / n, total % n);
    (i * quotient + i.min(rest), quotient + usize::from(i < rest))
}

/// The processor's product name, where the system tells: not on every architecture.
pub(super) fn model(root: &Path) -> Option<String> {
    let text = std::fs::read_to_string(root.join("proc/cpuinfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_cores_make_two_slices_of_one_thread() {
        let slices = slices(&[0, 1], 2, 2);
        assert_eq!(slices[0], Slice { cores: vec![0], threads: 1 });
        assert_eq!(slices[1], Slice { cores: vec![1], threads: 1 });
    }

    #[test]
    fn under_a_quota_threads_are_fewer_than_cores() {
        let slices = slices(&[0, 1, 2, 3, 4, 5, 6, 7], 4, 2);
        assert_eq!(slices[1], Slice { cores: vec![4, 5, 6, 7], threads: 2 });
    }

    #[test]
    fn more_slices_than_cores_share_them_with_one_thread_each() {
        let slices = slices(&[3, 5], 2, 3);
        assert_eq!(
            slices.iter().map(|slice| slice.cores.clone()).collect::<Vec<_>>(),
            [vec![3], vec![5], vec![3]]
        );
        assert!(slices.iter().all(|slice| slice.threads == 1));
    }

    #[test]
    fn this_process_has_a_core() {
        assert!(!allowed().is_empty());
        assert!(budget() <= allowed().len());
    }

    #[test]
    fn the_product_is_named_where_the_system_names_it() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(model(root.path()), None);
        std::fs::create_dir(root.path().join("proc")).unwrap();
        let text = "processor\t: 0\nmodel name\t: AMD EPYC 9654\nprocessor\t: 1\nmodel name\t: other\n";
        std::fs::write(root.path().join("proc/cpuinfo"), text).unwrap();
        assert_eq!(model(root.path()).as_deref(), Some("AMD EPYC 9654"));
    }

    proptest! {
        #[test]
        fn slices_cover_every_core_once(cores in 1usize..200, n in 1usize..64) {
            prop_assume!(n <= cores);
            let all: Vec<usize> = (0..cores).collect();
            let slices = slices(&all, cores, n);
            let joined: Vec<usize> = slices.iter().flat_map(|slice| slice.cores.clone()).collect();
            prop_assert_eq!(joined, all);
            let lengths = slices.iter().map(|slice| slice.cores.len());
            prop_assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1);
            prop_assert!(slices.iter().all(|slice| slice.threads as usize == slice.cores.len()));
        }
    }
}
