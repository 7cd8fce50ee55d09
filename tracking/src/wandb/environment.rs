//! The machine and the program, as a run's Overview page shows them.

use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;
use std::{env, fs};

use rand::RngExt as _;

use super::record::{Disk, Environment, Memory, Timestamp};

/// Variable with the API key, whose value is blotted out wherever it turns up.
const KEY_VARIABLE: &str = "WANDB_API_KEY";

/// Shown in place of a key.
const HIDDEN: &str = "(hidden)";

/// What can be learned of the machine and the program without asking a driver; what can not be learned is left out.
pub(super) fn here(started: Timestamp) -> Environment {
    let key = env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty());
    let logical = std::thread::available_parallelism().map_or(0, |count| count.get() as u32);
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let gpus = gpu_models();
    let mut args = env::args_os().map(|arg| without_key(&arg.to_string_lossy(), key.as_deref()));
    Environment {
        os: os(),
        started_at: Some(started),
        program: args.next().unwrap_or_default(),
        args: args.collect(),
        root: env::current_dir().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        host: host(),
        executable: env::current_exe().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        cpu_count: physical_cores(&cpus).unwrap_or(logical),
        cpu_count_logical: logical,
        gpu_count: gpus.len() as u32,
        gpu_type: gpus.into_iter().next().unwrap_or_default(),
        disk: disk(),
        memory: memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        slurm: slurm(
            env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        ),
        writer_id: writer_id(),
        ..Environment::default()
    }
}

/// Name of the machine.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A moment as records hold it.
pub(super) fn timestamp(at: SystemTime) -> Timestamp {
    let since = chrono::DateTime::<chrono::Utc>::from(at);
    Timestamp { seconds: since.timestamp(), nanos: since.timestamp_subsec_nanos() as i32 }
}

fn os() -> String {
    let system = rustix::system::uname();
    let parts = [system.sysname(), system.release(), system.machine()];
    parts.map(|part| part.to_string_lossy()).join("-")
}

/// An argument without the API key, should it hold it.
fn without_key(arg: &str, key: Option<&str>) -> String {
    key.map_or_else(|| arg.to_owned(), |key| arg.replace(key, HIDDEN))
}

/// Cores by package and number within it; `None` where the processor does not tell.
fn physical_cores(cpuinfo: &str) -> Option<u32> {
    let mut cores = BTreeSet::new();
    let mut package = "";
    for line in cpuinfo.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.trim() {
            "physical id" => package = value.trim(),
            "core id" => {
                cores.insert((package, value.trim()));
            }
            _ => {}
        }
    }
    (!cores.is_empty()).then_some(cores.len() as u32)
}

fn memory(meminfo: &str) -> Option<Memory> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Memory { total: kibibytes * 1024 })
}

fn disk() -> HashMap<String, Disk> {
    let Ok(root) = rustix::fs::statvfs("/") else { return HashMap::new() };
    let total = root.f_blocks * root.f_frsize;
    let used = total.saturating_sub(root.f_bfree * root.f_frsize);
    HashMap::from([("/".to_owned(), Disk { total, used })])
}

/// Models of the NVIDIA GPUs, as the kernel's driver lists them.
fn gpu_models() -> Vec<String> {
    let Ok(folders) = fs::read_dir("/proc/driver/nvidia/gpus") else { return vec![] };
    let texts = folders.flatten().filter_map(|gpu| fs::read_to_string(gpu.path().join("information")).ok());
    texts.filter_map(|text| gpu_model(&text)).collect()
}

fn gpu_model(information: &str) -> Option<String> {
    let model = information.lines().find_map(|line| line.strip_prefix("Model:"))?;
    Some(model.trim().to_owned())
}

/// `SLURM_JOB_ID` and the like, as the official client names them: `job_id`.
fn slurm(variables: impl Iterator<Item = (String, String)>) -> HashMap<String, String> {
    variables
        .filter_map(|(name, value)| Some((name.strip_prefix("SLURM_")?.to_lowercase(), value)))
        .filter(|(name, _)| !name.contains("jwt") && !name.contains("token"))
        .collect()
}

/// Tells the writers of one run apart.
fn writer_id() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_counted_once_per_package() {
        let cpuinfo = "physical id\t: 0\ncore id\t: 0\n\nphysical id\t: 0\ncore id\t: 1\n\n\
                       physical id\t: 0\ncore id\t: 1\n\nphysical id\t: 1\ncore id\t: 0\n";
        assert_eq!(physical_cores(cpuinfo), Some(3));
        assert_eq!(physical_cores("BogoMIPS\t: 48.00\n"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        let meminfo = "MemTotal:       24684084 kB\nMemFree: 1 kB\n";
        assert_eq!(memory(meminfo), Some(Memory { total: 24_684_084 * 1024 }));
        assert_eq!(memory("MemTotal: much\n"), None);
    }

    #[test]
    fn the_model_of_a_gpu_is_read_from_its_information() {
        let information = "Model: \t\t NVIDIA H200\nIRQ:   \t\t 120\n";
        assert_eq!(gpu_model(information), Some("NVIDIA H200".to_owned()));
    }

    #[test]
    fn settings_of_slurm_lose_their_prefix_and_its_tokens_are_left_out() {
        let variables = [("SLURM_JOB_ID", "7"), ("SLURM_JWT", "secret"), ("PATH", "/bin")];
        let found = slurm(variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter());
        assert_eq!(found, HashMap::from([("job_id".to_owned(), "7".to_owned())]));
    }

    #[test]
    fn a_key_among_the_arguments_is_not_written_down() {
        assert_eq!(without_key("--key=abc", Some("abc")), "--key=(hidden)");
        assert_eq!(without_key("--key=abc", None), "--key=abc");
    }

    #[test]
    fn this_machine_is_described() {
        let found = here(timestamp(SystemTime::now()));
        assert!(found.cpu_count_logical > 0);
        assert!(!found.host.is_empty() && !found.os.is_empty() && !found.executable.is_empty());
        assert_eq!(found.writer_id.len(), 32);
    }
}
