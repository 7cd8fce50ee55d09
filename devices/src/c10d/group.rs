//! Joining a group, and the exchanges within it.

use std::ffi::{CString, c_int};
use std::net::TcpListener;
use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::time::Duration;

use tch::Tensor;

use super::address::Binding;
use super::error::GroupError;
use super::ffi::{Handle, Seat, Store, Work};
use crate::rank::Rank;

/// What carries the tensors of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP. For tensors in host memory; those of a GPU are taken through it.
    Gloo,
    /// NVLink, PCIe or InfiniBand, between the GPUs themselves. For tensors of this CUDA device alone.
    Nccl {
        /// Its index among those this process sees.
        device: usize,
    },
}

impl Transport {
    /// The one to take for tensors of a CUDA device: NCCL where this build has it.
    ///
    /// NCCL refuses two ranks on one GPU and MIG slices of one; `ENGINE_EXCHANGE=gloo` is for those.
    #[must_use]
    pub fn for_cuda(device: usize) -> Self {
        let asked = std::env::var("ENGINE_EXCHANGE").is_ok_and(|name| name.eq_ignore_ascii_case("gloo"));
        if super::HAS_NCCL && !asked { Self::Nccl { device } } else { Self::Gloo }
    }
}

/// What becomes of the values of all ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Their sum.
    Sum,
    /// The greatest.
    Max,
    /// The least.
    Min,
}

/// Where the ranks of a run meet: the store that rank 0 serves. Any number of groups can be made over it.
#[derive(Debug)]
pub struct Rendezvous {
    store: Arc<Store>,
    rank: Rank,
}

impl Rendezvous {
    /// Waits until every rank is there.
    ///
    /// Rank 0 listens on [`Rank::master_port`].
    ///
    /// # Errors
    /// [`GroupError::Unreachable`] for a host that is not known here, [`GroupError::Timeout`] if a rank does not come
    /// within [`Rank::timeout`].
    pub fn open(rank: &Rank) -> Result<Self, GroupError> {
        let what = "meeting the other ranks";
        // Asked first: libtorch takes a host that nobody knows for one that is late, and waits.
        let binding = Binding::for_rank(rank)?;
        let host = text(&rank.master_addr)?;
        let listener = if rank.rank == 0 { listen_on_loopback(&binding, rank)? } else { None };
        let store = Store::connect(&host, rank.master_port, listener, rank.rank == 0, seat(rank))
            .map_err(|error| GroupError::of(what, rank.timeout, &error))?;
        Ok(Self { store: Arc::new(store), rank: rank.clone() })
    }

    /// Joins the group of this name; every rank joins the same ones in the same order.
    ///
    /// # Errors
    /// [`GroupError`] if a rank is late or gone, or the transport can not be had.
    pub fn group(&self, name: &str, transport: Transport) -> Result<Group, GroupError> {
        let prefix = text(name)?;
        let handle = match transport {
            Transport::Gloo => {
                let (address, interface) = match Binding::for_rank(&self.rank)? {
                    Binding::Address(address) => (Some(text(&address.to_string())?), None),
                    Binding::Interface(name) => (None, Some(text(&name)?)),
                };
                Handle::gloo(&self.store, &prefix, seat(&self.rank), address.as_deref(), interface.as_deref())
            }
            #[cfg(engine_nccl)]
            Transport::Nccl { device } => Handle::nccl(&self.store, &prefix, seat(&self.rank), count(device)),
            #[cfg(not(engine_nccl))]
            Transport::Nccl { .. } => return Err(GroupError::NoNccl),
        };
        let handle =
            handle.map_err(|error| GroupError::of("connecting the ranks", self.rank.timeout, &error))?;
        Ok(Group { handle, _store: Arc::clone(&self.store), rank: self.rank.clone() })
    }
}

/// A socket that only this machine reaches, for ranks that are all on it: libtorch's own would listen on every
/// address, and asks nobody who they are.
fn listen_on_loopback(binding: &Binding, rank: &Rank) -> Result<Option<c_int>, GroupError> {
    let Binding::Address(address) = binding else { return Ok(None) };
    if !address.is_loopback() {
        return Ok(None);
    }
    let listener = TcpListener::bind((*address, rank.master_port)).map_err(|error| {
        let text = format!("{address}:{}: {error}", rank.master_port);
        GroupError::of("listening for the other ranks", rank.timeout, &text)
    })?;
    // The store closes it.
    Ok(Some(listener.into_raw_fd()))
}

/// A group of processes that exchange tensors: torch's own, and so the same numbers as torch's.
///
/// Every rank asks for the same exchanges in the same order, with tensors of the same sizes. Dropping it waits for what
/// is under way.
#[derive(Debug)]
pub struct Group {
    // Before the store: a group that still talks needs it.
    handle: Handle,
    _store: Arc<Store>,
    rank: Rank,
}

impl Group {
    /// Meets the other ranks and joins their one group.
    ///
    /// # Errors
    /// As [`Rendezvous::open`] and [`Rendezvous::group`].
    pub fn join(rank: &Rank, transport: Transport) -> Result<Self, GroupError> {
        Rendezvous::open(rank)?.group("ranks", transport)
    }

    /// Which process this is.
    #[must_use]
    pub fn rank(&self) -> &Rank {
        &self.rank
    }

    /// Starts to put the reduced values of all ranks in place of each tensor's own.
    ///
    /// The memory of a tensor must not be used through another handle until [`Pending::wait`] gives it back.
    ///
    /// # Errors
    /// [`GroupError`] if the exchange can not begin.
    pub fn all_reduce(&self, tensors: Vec<Tensor>, op: Op) -> Result<Pending, GroupError> {
        let op = match op {
            Op::Sum => 0,
            Op::Max => 1,
            Op::Min => 2,
        };
        self.start("reducing over the ranks", tensors, |tensor| self.handle.all_reduce(tensor, op))
    }

    /// Starts to put the values of rank `root` in place of everybody's.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn broadcast(&self, tensors: Vec<Tensor>, root: u32) -> Result<Pending, GroupError> {
        let root = count(root as usize);
        self.start("spreading from one rank", tensors, |tensor| self.handle.broadcast(tensor, root))
    }

    /// Waits until every rank has come here.
    ///
    /// # Errors
    /// [`GroupError`] if one is late or gone.
    pub fn barrier(&self) -> Result<(), GroupError> {
        let what = "waiting for the other ranks";
        self.handle.barrier().map_err(|error| GroupError::of(what, self.rank.timeout, &error))
    }

    fn start(
        &self,
        what: &'static str,
        tensors: Vec<Tensor>,
        start: impl Fn(&mut Tensor) -> Result<Work, String>,
    ) -> Result<Pending, GroupError> {
        let mut pending = Pending { what, timeout: self.rank.timeout, under_way: Vec::new(), tensors };
        for tensor in &mut pending.tensors {
            let work = start(tensor).map_err(|error| GroupError::of(what, self.rank.timeout, &error))?;
            pending.under_way.push(work);
        }
        Ok(pending)
    }
}

/// Exchanges under way. Dropped unheard, it waits for them all the same.
#[derive(Debug)]
#[must_use = "the tensors come back by `wait`"]
pub struct Pending {
    what: &'static str,
    timeout: Duration,
    under_way: Vec<Work>,
    tensors: Vec<Tensor>,
}

impl Pending {
    /// Waits for every exchange and gives the tensors back, in the order they came.
    ///
    /// # Errors
    /// The first [`GroupError`]; no exchange is under way then either.
    pub fn wait(mut self) -> Result<Vec<Tensor>, GroupError> {
        self.settle()?;
        Ok(std::mem::take(&mut self.tensors))
    }

    /// All are waited for, whatever becomes of the first: each of them writes to a tensor.
    fn settle(&mut self) -> Result<(), GroupError> {
        let mut result = Ok(());
        for work in self.under_way.drain(..) {
            let waited = work.wait().map_err(|error| GroupError::of(self.what, self.timeout, &error));
            result = result.and(waited);
        }
        result
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Err(error) = self.settle() {
            tracing::warn!(%error, "an exchange that nobody waited for failed");
        }
    }
}

fn seat(rank: &Rank) -> Seat {
    Seat {
        rank: count(rank.rank as usize),
        world: count(rank.world_size as usize),
        timeout_ms: i64::try_from(rank.timeout.as_millis()).unwrap_or(i64::MAX),
    }
}

/// Ranks and devices are counted in a few digits.
fn count(count: usize) -> c_int {
    c_int::try_from(count).unwrap_or(c_int::MAX)
}

fn text(text: &str) -> Result<CString, GroupError> {
    CString::new(text).map_err(|error| GroupError::Refused {
        what: "a name with a zero byte in it",
        text: error.to_string(),
    })
}
