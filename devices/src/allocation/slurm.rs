//! What `srun` tells its tasks.
//!
//! # Sources
//! srun(1), "OUTPUT ENVIRONMENT VARIABLES". Lightning's `SLURMEnvironment` passes over shells (`bash`, `interactive`)
//! by the job's name in the same way.

use super::hostlist::{self, HostlistError};
use super::{Allocation, AllocationError, folder_name};

/// Steps from here on are no `srun`: the batch script itself, the step that holds an interactive allocation.
const FIRST_SPECIAL_STEP: u32 = 0xffff_fff0;

pub(super) fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<Allocation>, AllocationError> {
    if get("SLURM_PROCID").is_none() || is_shell(&get) {
        return Ok(None);
    }
    // The variables of a task stand in a batch script too, whose one process is no rank of anything.
    let Some(step) =
        get("SLURM_STEP_ID").filter(|step| step.parse().is_ok_and(|step: u32| step < FIRST_SPECIAL_STEP))
    else {
        return Ok(None);
    };
    let node_rank = number(&get, "SLURM_NODEID")?;
    let world_size = number(&get, "SLURM_NTASKS")?;
    Ok(Some(Allocation {
        rank: number(&get, "SLURM_PROCID")?,
        local_rank: number(&get, "SLURM_LOCALID")?,
        node_rank,
        world_size,
        local_world_size: tasks_of_each_node(&get)?,
        master_addr: first_host(&get)?,
        session: folder_name(&format!(
            "slurm-{}-{step}-{}",
            get("SLURM_JOB_ID").unwrap_or_default(),
            get("SLURM_RESTART_COUNT").unwrap_or_else(|| "0".to_owned())
        )),
    }))
}

fn is_shell(get: &impl Fn(&str) -> Option<String>) -> bool {
    get("SLURM_JOB_NAME").is_some_and(|name| name == "bash" || name == "interactive")
}

fn number(get: &impl Fn(&str) -> Option<String>, name: &'static str) -> Result<u32, AllocationError> {
    let given = get(name).unwrap_or_default();
    given.parse().map_err(|_| AllocationError::Unreadable { name, given, expected: "a number" })
}

/// Reads `2(x3)`: two tasks on each of three nodes.
fn tasks_of_each_node(get: &impl Fn(&str) -> Option<String>) -> Result<u32, AllocationError> {
    let name = "SLURM_STEP_TASKS_PER_NODE";
    let given = get(name).unwrap_or_default();
    let counts = given.split(',').map(|entry| entry.split('(').next().unwrap_or(entry).trim().parse::<u32>());
    let counts: Vec<u32> = counts.collect::<Result<_, _>>().map_err(|_| AllocationError::Unreadable {
        name,
        given: given.clone(),
        expected: "numbers of tasks, as 2(x3)",
    })?;
    match counts.as_slice() {
        [first, rest @ ..] if rest.iter().all(|count| count == first) => Ok(*first),
        _ => Err(AllocationError::Uneven { tasks_per_node: given }),
    }
}

/// The first node of the step holds rank 0. `SLURM_LAUNCH_NODE_IPADDR` would be an address, but of the machine `srun`
/// was called on, which may be a login node.
fn first_host(get: &impl Fn(&str) -> Option<String>) -> Result<String, AllocationError> {
    let names = ["SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"];
    let list = names.into_iter().find_map(get).unwrap_or_default();
    let hosts = hostlist::expand(&list)?;
    Ok(hosts.into_iter().next().ok_or(HostlistError::Empty)?)
}
