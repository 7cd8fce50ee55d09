//! Which rank the launcher of a job on several machines made this process: `torchrun`, or `srun` of SLURM.

mod hostlist;
mod slurm;

use std::net::ToSocketAddrs;

use thiserror::Error;

use crate::rank::{EXCHANGE_TIMEOUT, Rank, RankError, variables};

pub use hostlist::HostlistError;

/// The place of this process in a job on several machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// Number among all processes, from 0; that of rank 0 leads.
    pub rank: u32,
    /// Number on its machine, from 0.
    pub local_rank: u32,
    /// Number of its machine, from 0.
    pub node_rank: u32,
    /// Processes in all.
    pub world_size: u32,
    /// Processes on each machine.
    pub local_world_size: u32,
    /// Host of rank 0, as the other machines reach it.
    pub master_addr: String,
    /// The same for all processes of one start of the job, and no other's: safe as the name of a folder.
    pub session: String,
}

/// Why the environment of a launcher does not say which rank this is, or says what can not be followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AllocationError {
    /// What torchrun sets.
    #[error(transparent)]
    Rank(#[from] RankError),
    /// The list of nodes.
    #[error("SLURM's list of nodes can not be read: {0}")]
    Hostlist(#[from] HostlistError),
    /// A variable of SLURM.
    #[error("{name}={given} can not be read: it should be {expected}")]
    Unreadable {
        /// Its name.
        name: &'static str,
        /// As it stands; empty if it is not set.
        given: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// Machines with different numbers of processes.
    #[error(
        "SLURM starts {tasks_per_node} tasks on the nodes, and every node must have as many: start it by \
         `srun --ntasks-per-node` with the number of devices of a node"
    )]
    Uneven {
        /// As SLURM says it.
        tasks_per_node: String,
    },
    /// The job has another shape than the settings.
    #[error(
        "`num-nodes` {nodes} with {devices} devices each makes {} ranks, but the launcher started {world_size}, \
         {local_world_size} on each node: start one process for each device, or list one device for each process \
         with --devices",
        nodes.saturating_mul(*devices)
    )]
    Shape {
        /// Machines asked for.
        nodes: u32,
        /// Devices of each.
        devices: u32,
        /// Processes started.
        world_size: u32,
        /// Processes started on this machine.
        local_world_size: u32,
    },
}

impl Allocation {
    /// What the launcher says in the environment; `None` where there is none, or the job has one process only.
    ///
    /// # Errors
    /// [`AllocationError`] if what it says is incomplete or contradicts itself.
    pub fn from_env() -> Result<Option<Self>, AllocationError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// As [`Allocation::from_env`], over any look-up. torchrun's names come first: `srun torchrun` sets both.
    ///
    /// # Errors
    /// As [`Allocation::from_env`].
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, AllocationError> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let found = match Rank::read(get)? {
            Some(rank) => Some(Self::of_torchrun(rank, get)),
            None => slurm::read(get)?,
        };
        Ok(found.filter(|allocation| allocation.world_size > 1))
    }

    fn of_torchrun(rank: Rank, get: impl Fn(&str) -> Option<String>) -> Self {
        // torchrun's own default for the run's id is `none`: the port tells two such jobs apart.
        let part = |name: &str| get(name).unwrap_or_default();
        let session = [
            "torchrun".to_owned(),
            part("TORCHELASTIC_RUN_ID"),
            part(variables::MASTER_ADDR),
            part(variables::MASTER_PORT),
            part("TORCHELASTIC_RESTART_COUNT"),
        ];
        Self {
            rank: rank.rank,
            local_rank: rank.local_rank,
            node_rank: rank.node_rank,
            world_size: rank.world_size,
            local_world_size: rank.local_world_size,
            master_addr: rank.master_addr,
            session: folder_name(&session.join("-")),
        }
    }

    /// Holds the job's shape against the settings: `num-nodes`, and the devices of this machine.
    ///
    /// # Errors
    /// [`AllocationError::Shape`].
    pub fn check(&self, nodes: u32, devices: usize) -> Result<(), AllocationError> {
        let devices = u32::try_from(devices).unwrap_or(u32::MAX);
        let Self { world_size, local_world_size, .. } = *self;
        let fits = local_world_size == devices && nodes.checked_mul(devices) == Some(world_size);
        if fits {
            Ok(())
        } else {
            Err(AllocationError::Shape { nodes, devices, world_size, local_world_size })
        }
    }

    /// This rank in a run whose rank 0 listens on that port.
    #[must_use]
    pub fn rank_at(&self, master_port: u16) -> Rank {
        Rank {
            rank: self.rank,
            local_rank: self.local_rank,
            node_rank: self.node_rank,
            world_size: self.world_size,
            local_world_size: self.local_world_size,
            master_addr: self.master_addr.clone(),
            master_port,
            timeout: EXCHANGE_TIMEOUT,
        }
    }
}

/// The name under which this machine, which is rank 0's, is reached: the one that the launcher gave, or its own where
/// nobody knows that one. A batch system's names of its nodes need not be those of the network.
pub(crate) fn reachable(given: String) -> String {
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    known_of(given, own.trim(), |name| {
        (name, 0).to_socket_addrs().is_ok_and(|mut found| found.next().is_some())
    })
}

fn known_of(given: String, own: &str, is_known: impl Fn(&str) -> bool) -> String {
    if !is_known(&given) && !own.is_empty() && is_known(own) { own.to_owned() } else { given }
}

/// A text with everything replaced that has a meaning in a path.
fn folder_name(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    text.chars().map(safe).take(120).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Option<Allocation>, AllocationError> {
        let entries: HashMap<&str, &str> = entries.iter().copied().collect();
        Allocation::read(|name| entries.get(name).map(|value| (*value).to_owned()))
    }

    const TORCHRUN: [(&str, &str); 8] = [
        ("RANK", "3"),
        ("LOCAL_RANK", "1"),
        ("WORLD_SIZE", "4"),
        ("LOCAL_WORLD_SIZE", "2"),
        ("MASTER_ADDR", "node1"),
        ("MASTER_PORT", "29500"),
        ("TORCHELASTIC_RUN_ID", "../job 7"),
        ("SLURM_PROCID", "0"),
    ];

    /// What `srun -N2 --ntasks-per-node=2` sets for the last of four tasks, as far as it is read.
    const SRUN: [(&str, &str); 9] = [
        ("SLURM_PROCID", "3"),
        ("SLURM_LOCALID", "1"),
        ("SLURM_NODEID", "1"),
        ("SLURM_NTASKS", "4"),
        ("SLURM_STEP_TASKS_PER_NODE", "2(x2)"),
        ("SLURM_STEP_NODELIST", "n[07-08]"),
        ("SLURM_JOB_ID", "123"),
        ("SLURM_STEP_ID", "4"),
        ("SLURM_JOB_NAME", "train"),
    ];

    fn with(
        base: &[(&'static str, &'static str)],
        name: &str,
        value: &'static str,
    ) -> Vec<(&'static str, &'static str)> {
        base.iter().map(|(n, v)| if *n == name { (*n, value) } else { (*n, *v) }).collect()
    }

    #[test]
    fn torchrun_says_which_rank_and_which_job_this_is() {
        let found = read(&TORCHRUN).unwrap().unwrap();
        assert_eq!((found.rank, found.local_rank, found.node_rank), (3, 1, 1));
        assert_eq!((found.world_size, found.local_world_size), (4, 2));
        assert_eq!(found.session, "torchrun-___job_7-node1-29500-");
        assert_eq!(found.rank_at(5).environment()[6], ("MASTER_PORT", "5".to_owned()));
    }

    #[test]
    fn srun_says_the_same() {
        let found = read(&SRUN).unwrap().unwrap();
        assert_eq!((found.rank, found.local_rank, found.node_rank), (3, 1, 1));
        assert_eq!((found.world_size, found.local_world_size), (4, 2));
        assert_eq!((found.master_addr.as_str(), found.session.as_str()), ("n07", "slurm-123-4-0"));
    }

    #[test]
    fn a_shell_in_an_allocation_a_batch_script_and_one_task_are_no_ranks() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&with(&SRUN, "SLURM_JOB_NAME", "bash")), Ok(None));
        assert_eq!(read(&with(&SRUN, "SLURM_JOB_NAME", "interactive")), Ok(None));
        assert_eq!(read(&with(&SRUN, "SLURM_STEP_ID", "")), Ok(None));
        assert_eq!(read(&with(&SRUN, "SLURM_STEP_ID", "4294967291")), Ok(None));
        let alone =
            [("SLURM_NTASKS", "1"), ("SLURM_PROCID", "0"), ("SLURM_LOCALID", "0"), ("SLURM_NODEID", "0")];
        let alone: Vec<_> = alone
            .into_iter()
            .chain(SRUN[5..].iter().copied())
            .chain([("SLURM_STEP_TASKS_PER_NODE", "1")])
            .collect();
        assert_eq!(read(&alone), Ok(None));
    }

    #[test]
    fn nodes_with_different_numbers_of_tasks_are_refused() {
        let error = read(&with(&SRUN, "SLURM_STEP_TASKS_PER_NODE", "3,1")).unwrap_err().to_string();
        assert!(error.contains("3,1 tasks") && error.contains("--ntasks-per-node"), "{error}");
        let error = read(&with(&SRUN, "SLURM_LOCALID", "x")).unwrap_err().to_string();
        assert_eq!(error, "SLURM_LOCALID=x can not be read: it should be a number");
    }

    #[test]
    fn the_jobs_shape_is_held_against_the_settings() {
        let found = read(&SRUN).unwrap().unwrap();
        assert_eq!(found.check(2, 2), Ok(()));
        for (nodes, devices) in [(4, 1), (1, 4), (2, 3), (u32::MAX, 2)] {
            assert!(found.check(nodes, devices).is_err(), "{nodes} x {devices}");
        }
        let error = found.check(2, 3).unwrap_err().to_string();
        assert!(error.contains("makes 6 ranks, but the launcher started 4, 2 on each node"), "{error}");
    }

    #[test]
    fn a_name_that_only_the_batch_system_knows_is_replaced_by_the_machines_own() {
        assert_eq!(reachable("localhost".into()), "localhost");
        let chosen = |own: &str, known: &[&str]| known_of("n1".into(), own, |name| known.contains(&name));
        assert_eq!(chosen("box", &["n1", "box"]), "n1");
        assert_eq!(chosen("box", &["box"]), "box");
        assert_eq!(chosen("box", &[]), "n1", "the error is to name what the launcher gave");
        assert_eq!(chosen("", &[""]), "n1");
    }
}
