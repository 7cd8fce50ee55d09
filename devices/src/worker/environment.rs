//! What a worker process finds in its environment, and what it does not.

use std::process::Command;

use super::attach::{CORES_VARIABLE, LOCK_VARIABLE, MARK_VARIABLE, MAY_REST_VARIABLE, PARENT_VARIABLE};
use crate::inventory::DeviceKind;
use crate::lease::Place;
use crate::rank::variables as rank;

/// Thread counts of the libraries that a workload may compute with: OpenMP and MKL (libtorch), OpenBLAS, rayon.
pub(super) const THREAD_VARIABLES: [&str; 4] =
    ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"];

/// How the threads of an OpenMP team wait for work: they spin for ten thousand turns, then sleep. A thread that spins for
/// long takes the core from those that have work: loading threads, the engine, other workers; one that sleeps at once is woken
/// late, a tenth of a step on two idle cores. What a team computes is the same, bit for bit. docs/performance.md has the figures.
///
/// # Sources
/// libgomp manual, `GOMP_SPINCOUNT`.
const WAITING: (&str, &str) = ("GOMP_SPINCOUNT", "10000");

/// With which a user says how they wait: any of these, and nothing is changed.
///
/// # Sources
/// OpenMP 5.2, section 21.7, `OMP_WAIT_POLICY`; LLVM/OpenMP runtimes, `KMP_BLOCKTIME`.
const WAITING_IS_CHOSEN: [&str; 3] = [WAITING.0, "OMP_WAIT_POLICY", "KMP_BLOCKTIME"];

/// What the C library's allocator keeps of what was freed: all that a step needs again in the next. Left alone it hands large
/// blocks back to the system and has them given anew, page by page, each a fault: a tenth of a step. The peak stays the same;
/// a worker holds on to it until it ends. docs/performance.md has the figures.
///
/// # Sources
/// glibc manual, Malloc Tunable Parameters: `M_MMAP_THRESHOLD`, `M_TRIM_THRESHOLD`. Bytes.
const ALLOCATOR: [(&str, &str); 2] =
    [("MALLOC_MMAP_THRESHOLD_", "1073741824"), ("MALLOC_TRIM_THRESHOLD_", "4294967296")];

/// With which a user says how memory is kept.
///
/// # Sources
/// glibc manual, Memory Allocation Tunables.
const ALLOCATOR_IS_CHOSEN: [&str; 3] = [ALLOCATOR[0].0, ALLOCATOR[1].0, "GLIBC_TUNABLES"];

/// By which drivers and batch systems say which GPUs a process may use: a worker is told anew. An outer
/// `ROCR_VISIBLE_DEVICES` stays, because the indices that the worker is told count within it.
const MASKS: [&str; 3] = ["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"];

/// With which a process sees no GPU. HIP takes an empty list for none given, and ends a list at an index it does not know.
///
/// # Sources
/// CUDA Programming Guide, CUDA Environment Variables; ROCclr, `rocdevice.cpp` (`HIP_VISIBLE_DEVICES`).
const NO_GPU: [(&str, &str); 2] = [("CUDA_VISIBLE_DEVICES", ""), ("HIP_VISIBLE_DEVICES", "-1")];

/// What a launcher of data-parallel runs tells the engine itself: a worker is one only if the engine says so.
const OF_THE_ENGINES_OWN_RANK: [&str; 9] = [
    rank::RANK,
    rank::LOCAL_RANK,
    rank::NODE_RANK,
    rank::WORLD_SIZE,
    rank::LOCAL_WORLD_SIZE,
    rank::MASTER_ADDR,
    rank::MASTER_PORT,
    rank::TIMEOUT,
    "GROUP_RANK",
];
const OF_TORCHRUN: &str = "TORCHELASTIC_";

/// What only the engine itself speaks to a service with. A workload's libraries, and what they log, need none of it.
const SECRETS: [&str; 2] = ["WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"];

/// Makes the command that of a worker on this place.
pub(super) fn set_up(command: &mut Command, place: &Place) {
    hold(command, place);
    command.env(MARK_VARIABLE, "1").env(PARENT_VARIABLE, std::process::id().to_string());
    if let Some(lock) = &place.lock {
        command.env(LOCK_VARIABLE, lock);
    }
    let cores: Vec<String> = place.cores.iter().map(ToString::to_string).collect();
    command.env(CORES_VARIABLE, cores.join(","));
}

/// Makes the command that of a program that knows nothing of workers and is not to take itself for one.
pub(super) fn set_up_program(command: &mut Command, place: &Place) {
    hold(command, place);
    for name in [MARK_VARIABLE, PARENT_VARIABLE, LOCK_VARIABLE, CORES_VARIABLE, MAY_REST_VARIABLE] {
        command.env_remove(name);
    }
}

/// Holds the command to this place, its environment cleaned of what is meant for others.
fn hold(command: &mut Command, place: &Place) {
    let inherited = std::env::vars_os().map(|(name, _)| name);
    let of_torchrun = inherited.filter(|name| name.to_string_lossy().starts_with(OF_TORCHRUN));
    for name in of_torchrun {
        command.env_remove(name);
    }
    for name in OF_THE_ENGINES_OWN_RANK.into_iter().chain(SECRETS).chain(MASKS) {
        command.env_remove(name);
    }
    for variable in THREAD_VARIABLES {
        command.env(variable, place.threads.to_string());
    }
    command.envs(computing_environment(place.kind));
    if place.kind != DeviceKind::Cuda {
        command.envs(NO_GPU);
    }
    if let Some(token) = &place.token {
        command.envs(token.environment());
    }
}

/// Variables with which arithmetic on such a device is fastest, read by its libraries as a process starts: how threads wait, and
/// what the allocator keeps. What this process' own environment says about either stays. None for a GPU, whose host does little.
pub fn computing_environment(kind: DeviceKind) -> Vec<(&'static str, &'static str)> {
    chosen_environment(kind, |name| std::env::var_os(name).is_some())
}

fn chosen_environment(kind: DeviceKind, is_set: impl Fn(&str) -> bool) -> Vec<(&'static str, &'static str)> {
    if kind != DeviceKind::Cpu {
        return Vec::new();
    }
    let is_free = |chosen: &[&str]| !chosen.iter().any(|name| is_set(name));
    let waiting = is_free(&WAITING_IS_CHOSEN).then_some(WAITING);
    let allocator = is_free(&ALLOCATOR_IS_CHOSEN).then_some(ALLOCATOR);
    waiting.into_iter().chain(allocator.into_iter().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::inventory::{DeviceId, Token};

    fn slice() -> Place {
        Place {
            device: DeviceId::new(DeviceKind::Cpu, 1),
            kind: DeviceKind::Cpu,
            index: 1,
            token: None,
            cores: vec![2, 3],
            threads: 2,
            lock: None,
        }
    }

    /// What is set, and what is taken away (none).
    fn environment(place: &Place) -> BTreeMap<String, Option<String>> {
        environment_of(set_up, place)
    }

    fn environment_of(set_up: fn(&mut Command, &Place), place: &Place) -> BTreeMap<String, Option<String>> {
        let mut command = Command::new("engine");
        set_up(&mut command, place);
        let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        command.get_envs().map(|(name, value)| (text(name), value.map(text))).collect()
    }

    #[test]
    fn a_worker_is_held_to_its_threads_and_cores() {
        let environment = environment(&slice());
        for variable in THREAD_VARIABLES {
            assert_eq!(environment[variable].as_deref(), Some("2"));
        }
        assert_eq!(environment[CORES_VARIABLE].as_deref(), Some("2,3"));
    }

    #[test]
    fn a_cpu_slice_computes_at_its_fastest_unless_the_user_says_how() {
        let names = |is_set: &dyn Fn(&str) -> bool| -> Vec<&str> {
            chosen_environment(DeviceKind::Cpu, is_set).into_iter().map(|(name, _)| name).collect()
        };
        let (waiting, allocator) = (["GOMP_SPINCOUNT"], ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"]);
        assert_eq!(names(&|_| false), [&waiting[..], &allocator].concat());
        for chosen in ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"] {
            assert_eq!(names(&|name| name == chosen), allocator, "{chosen}");
        }
        for chosen in ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"] {
            assert_eq!(names(&|name| name == chosen), waiting, "{chosen}");
        }
        assert_eq!(chosen_environment(DeviceKind::Cuda, |_| false), []);
    }

    #[test]
    fn a_worker_without_a_gpu_sees_none_and_one_with_a_gpu_its_own_alone() {
        let on_cpu = environment(&slice());
        assert_eq!(on_cpu["CUDA_VISIBLE_DEVICES"].as_deref(), Some(""));
        assert_eq!(on_cpu["HIP_VISIBLE_DEVICES"].as_deref(), Some("-1"));
        let gpu = Place { kind: DeviceKind::Cuda, token: Some(Token::nvidia("GPU-8932f937")), ..slice() };
        let on_gpu = environment(&gpu);
        assert_eq!(on_gpu["CUDA_VISIBLE_DEVICES"].as_deref(), Some("GPU-8932f937"));
        assert_eq!(on_gpu["HIP_VISIBLE_DEVICES"], None);
        assert_eq!(on_gpu["GPU_DEVICE_ORDINAL"], None);
    }

    #[test]
    fn a_program_is_held_to_its_place_and_is_no_worker() {
        let environment = environment_of(set_up_program, &slice());
        for variable in THREAD_VARIABLES {
            assert_eq!(environment[variable].as_deref(), Some("2"));
        }
        assert_eq!(environment["CUDA_VISIBLE_DEVICES"].as_deref(), Some(""));
        for name in [MARK_VARIABLE, PARENT_VARIABLE, LOCK_VARIABLE, CORES_VARIABLE, "RANK", "WANDB_API_KEY"] {
            assert_eq!(environment.get(name), Some(&None), "{name}");
        }
    }

    #[test]
    fn neither_ranks_nor_secrets_are_handed_on() {
        let environment = environment(&slice());
        for name in
            ["RANK", "WORLD_SIZE", "MASTER_PORT", "GROUP_RANK", "WANDB_API_KEY", "ENGINE_RANK_TIMEOUT_SECS"]
        {
            assert_eq!(environment.get(name), Some(&None), "{name}");
        }
    }
}
