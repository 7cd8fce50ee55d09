//! What a worker process finds in its environment, and what it does not.

use std::process::Command;

use super::attach::{CORES_VARIABLE, LOCK_VARIABLE, MARK_VARIABLE, PARENT_VARIABLE};
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

/// Makes the command that of a worker on this place, its environment cleaned of what is meant for others.
pub(super) fn set_up(command: &mut Command, place: &Place) {
    let inherited = std::env::vars_os().map(|(name, _)| name);
    let of_torchrun = inherited.filter(|name| name.to_string_lossy().starts_with(OF_TORCHRUN));
    for name in of_torchrun {
        command.env_remove(name);
    }
    for name in OF_THE_ENGINES_OWN_RANK.into_iter().chain(SECRETS).chain(MASKS) {
        command.env_remove(name);
    }
    command.env(MARK_VARIABLE, "1").env(PARENT_VARIABLE, std::process::id().to_string());
    if let Some(lock) = &place.lock {
        command.env(LOCK_VARIABLE, lock);
    }
    let cores: Vec<String> = place.cores.iter().map(ToString::to_string).collect();
    command.env(CORES_VARIABLE, cores.join(","));
    for variable in THREAD_VARIABLES {
        command.env(variable, place.threads.to_string());
    }
    command.envs(waiting(place.kind, |name| std::env::var_os(name).is_some()));
    if place.kind != DeviceKind::Cuda {
        command.envs(NO_GPU);
    }
    if let Some(token) = &place.token {
        command.envs(token.environment());
    }
}

/// What a worker on such a device is told about waiting: on a GPU nothing, its host threads are few.
fn waiting(kind: DeviceKind, is_set: impl Fn(&str) -> bool) -> Option<(&'static str, &'static str)> {
    let is_chosen = WAITING_IS_CHOSEN.into_iter().any(is_set);
    (kind == DeviceKind::Cpu && !is_chosen).then_some(WAITING)
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
    fn threads_of_a_cpu_slice_spin_shortly_unless_the_user_says_how_they_wait() {
        assert_eq!(waiting(DeviceKind::Cpu, |_| false), Some(("GOMP_SPINCOUNT", "10000")));
        for chosen in ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"] {
            assert_eq!(waiting(DeviceKind::Cpu, |name| name == chosen), None, "{chosen}");
        }
        assert_eq!(waiting(DeviceKind::Cuda, |_| false), None);
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
    fn neither_ranks_nor_secrets_are_handed_on() {
        let environment = environment(&slice());
        for name in
            ["RANK", "WORLD_SIZE", "MASTER_PORT", "GROUP_RANK", "WANDB_API_KEY", "ENGINE_RANK_TIMEOUT_SECS"]
        {
            assert_eq!(environment.get(name), Some(&None), "{name}");
        }
    }
}
