//! Which process of a data-parallel run this is, as every launcher of such runs says it: in the environment.
//!
//! The names are torchrun's, so that a run started by `torchrun`, by `srun` with a thin script, or by the engine
//! itself reads the same.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Time a rank waits for the others, at the rendezvous and in every exchange, unless told otherwise.
///
/// A rank that died is noticed at once by its closed connection, and one that hangs by its missing beats; this is
/// the last resort. PyTorch waits 30 minutes over Gloo and 10 over NCCL.
pub const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(600);

/// Where the ranks of one machine meet.
const LOCALHOST: &str = "127.0.0.1";

/// Environment of a rank: the names torchrun uses, and one of our own.
pub mod variables {
    /// Number of the process among all.
    pub const RANK: &str = "RANK";
    /// Number of the process on its machine.
    pub const LOCAL_RANK: &str = "LOCAL_RANK";
    /// Number of the machine.
    pub const NODE_RANK: &str = "NODE_RANK";
    /// Processes in all.
    pub const WORLD_SIZE: &str = "WORLD_SIZE";
    /// Processes on this machine.
    pub const LOCAL_WORLD_SIZE: &str = "LOCAL_WORLD_SIZE";
    /// Host that rank 0 listens on.
    pub const MASTER_ADDR: &str = "MASTER_ADDR";
    /// Port that rank 0 listens on.
    pub const MASTER_PORT: &str = "MASTER_PORT";
    /// [`Rank::timeout`](super::Rank::timeout) in seconds.
    pub const TIMEOUT: &str = "ENGINE_RANK_TIMEOUT_SECS";
}

/// One process of a data-parallel run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rank {
    /// Number among all processes of the run, from 0.
    pub rank: u32,
    /// Number on its machine, from 0: its place in the [`Grant`](crate::Grant).
    pub local_rank: u32,
    /// Number of its machine, from 0.
    pub node_rank: u32,
    /// Processes of the run.
    pub world_size: u32,
    /// Processes of the run on this machine.
    pub local_world_size: u32,
    /// Host that rank 0 listens on.
    pub master_addr: String,
    /// Port that rank 0 listens on.
    pub master_port: u16,
    /// How long to wait for the others.
    pub timeout: Duration,
}

/// Why the environment does not say which rank this is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RankError {
    /// One of the names is missing where others are set.
    #[error(
        "{name} is not set, though WORLD_SIZE is: set RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT"
    )]
    Missing {
        /// The name.
        name: &'static str,
    },
    /// A value is no number.
    #[error("{name}={given} is no number in range")]
    NotANumber {
        /// The name.
        name: &'static str,
        /// As it stands.
        given: String,
    },
    /// The numbers contradict each other.
    #[error("{first} is not below {second}: numbers of ranks count from 0")]
    OutOfRange {
        /// The smaller one, as `RANK=4`.
        first: String,
        /// The bound, as `WORLD_SIZE=4`.
        second: String,
    },
}

impl Rank {
    /// One of `world_size` ranks that are all on this machine, and meet at its loopback interface.
    #[must_use]
    pub fn local(rank: u32, world_size: u32, master_port: u16) -> Self {
        Self {
            rank,
            local_rank: rank,
            node_rank: 0,
            world_size,
            local_world_size: world_size,
            master_addr: LOCALHOST.to_owned(),
            master_port,
            timeout: EXCHANGE_TIMEOUT,
        }
    }

    /// The rank this process was started as; `None` where no launcher said anything (`WORLD_SIZE` is not set).
    ///
    /// # Errors
    /// [`RankError`] if some of the names are set but not all, or do not fit each other.
    pub fn from_env() -> Result<Option<Self>, RankError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// As [`Rank::from_env`], over any look-up.
    ///
    /// # Errors
    /// As [`Rank::from_env`].
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, RankError> {
        use variables as v;
        let Some(world_size) = number::<u32>(&get, v::WORLD_SIZE)? else { return Ok(None) };
        let needed = |name| number::<u32>(&get, name)?.ok_or(RankError::Missing { name });
        let (rank, local_rank) = (needed(v::RANK)?, needed(v::LOCAL_RANK)?);
        let local_world_size: u32 = number(&get, v::LOCAL_WORLD_SIZE)?.unwrap_or(world_size);
        let node_rank = match number(&get, v::NODE_RANK)? {
            Some(node_rank) => node_rank,
            None => rank / local_world_size.max(1),
        };
        let below = |first: &str, value: u32, second: &str, bound: u32| {
            let text = |name: &str, value: u32| format!("{name}={value}");
            if value < bound {
                Ok(())
            } else {
                Err(RankError::OutOfRange { first: text(first, value), second: text(second, bound) })
            }
        };
        below(v::RANK, rank, v::WORLD_SIZE, world_size)?;
        below(v::LOCAL_RANK, local_rank, v::LOCAL_WORLD_SIZE, local_world_size)?;
        let timeout =
            number::<u32>(&get, v::TIMEOUT)?.map_or(EXCHANGE_TIMEOUT, |s| Duration::from_secs(u64::from(s)));
        Ok(Some(Self {
            rank,
            local_rank,
            node_rank,
            world_size,
            local_world_size,
            master_addr: get(v::MASTER_ADDR).ok_or(RankError::Missing { name: v::MASTER_ADDR })?,
            master_port: number(&get, v::MASTER_PORT)?.ok_or(RankError::Missing { name: v::MASTER_PORT })?,
            timeout,
        }))
    }

    /// The environment that makes a process this rank.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        use variables as v;
        vec![
            (v::RANK, self.rank.to_string()),
            (v::LOCAL_RANK, self.local_rank.to_string()),
            (v::NODE_RANK, self.node_rank.to_string()),
            (v::WORLD_SIZE, self.world_size.to_string()),
            (v::LOCAL_WORLD_SIZE, self.local_world_size.to_string()),
            (v::MASTER_ADDR, self.master_addr.clone()),
            (v::MASTER_PORT, self.master_port.to_string()),
            (v::TIMEOUT, self.timeout.as_secs().to_string()),
        ]
    }
}

fn number<N: std::str::FromStr>(
    get: &impl Fn(&str) -> Option<String>,
    name: &'static str,
) -> Result<Option<N>, RankError> {
    match get(name).filter(|given| !given.is_empty()) {
        None => Ok(None),
        Some(given) => given.trim().parse().map(Some).map_err(|_| RankError::NotANumber { name, given }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Option<Rank>, RankError> {
        let entries: HashMap<String, String> =
            entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Rank::read(|name| entries.get(name).cloned())
    }

    const SECOND_OF_FOUR: [(&str, &str); 6] = [
        ("RANK", "3"),
        ("LOCAL_RANK", "1"),
        ("WORLD_SIZE", "4"),
        ("LOCAL_WORLD_SIZE", "2"),
        ("MASTER_ADDR", "node1"),
        ("MASTER_PORT", "29500"),
    ];

    #[test]
    fn torchruns_names_are_read() {
        let rank = read(&SECOND_OF_FOUR).unwrap().unwrap();
        assert_eq!((rank.rank, rank.local_rank, rank.node_rank), (3, 1, 1));
        assert_eq!((rank.world_size, rank.local_world_size), (4, 2));
        assert_eq!((rank.master_addr.as_str(), rank.master_port), ("node1", 29500));
        assert_eq!(rank.timeout, EXCHANGE_TIMEOUT);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut rank = read(&SECOND_OF_FOUR).unwrap().unwrap();
        rank.timeout = Duration::from_secs(20);
        let environment = rank.environment();
        let entries: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(read(&entries).unwrap().unwrap(), rank);
    }

    #[test]
    fn without_a_launcher_there_is_no_rank() {
        assert_eq!(read(&[]).unwrap(), None);
        assert_eq!(read(&[("RANK", "1")]).unwrap(), None);
    }

    #[test]
    fn half_an_environment_is_an_error_that_names_the_rest() {
        let error = read(&SECOND_OF_FOUR[1..]).unwrap_err();
        assert_eq!(error, RankError::Missing { name: "RANK" });
        let mut beyond = SECOND_OF_FOUR;
        beyond[0].1 = "4";
        assert_eq!(
            read(&beyond).unwrap_err().to_string(),
            "RANK=4 is not below WORLD_SIZE=4: numbers of ranks count from 0"
        );
        beyond[0].1 = "four";
        assert!(read(&beyond).unwrap_err().to_string().starts_with("RANK=four is no number"));
    }
}
