//! Launches a worker as one process or as several ranks, as its grant says.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::lead::Lead;
use super::members::Assembly;
use super::port::ReservedPort;
use super::state::{Judge, Patience};
use crate::lease::Place;
use crate::rank::Rank;
use crate::worker::{EventSink, Launch, LaunchError, Launcher, ProcessLauncher, Worker};

/// Starts workers as child processes: one for a grant of one place, a group of ranks for a grant of several.
///
/// Rank `i` is put on the grant's place `i`, is told so by the environment of [`Rank`], and hears every message. Where
/// a [`Lead`] is given, each worker is rank 0 of a group whose other ranks are on other processes' places.
pub struct GroupLauncher<In, Out> {
    processes: ProcessLauncher,
    alone: Arc<dyn Launcher<In, Out>>,
    judge: Judge<Out>,
    patience: Patience,
    lead: Option<Arc<Lead>>,
}

impl<In, Out> GroupLauncher<In, Out>
where
    In: Serialize + Send + 'static,
    Out: DeserializeOwned + Send + 'static,
{
    /// Groups of processes that `processes` starts and whose messages `judge` reads.
    #[must_use]
    pub fn new(processes: ProcessLauncher, judge: Judge<Out>) -> Self {
        let alone = Arc::new(processes.clone());
        Self { processes, alone, judge, patience: Patience::LOCAL, lead: None }
    }

    /// Workers that have one place and lead nobody are started by `launcher`.
    #[must_use]
    pub fn alone_by(mut self, launcher: Arc<dyn Launcher<In, Out>>) -> Self {
        self.alone = launcher;
        self
    }

    /// Every worker leads the ranks of other processes, on several machines.
    #[must_use]
    pub fn leading(mut self, lead: Arc<Lead>) -> Self {
        self.patience = Patience::NODES;
        self.lead = Some(lead);
        self
    }

    /// Other durations than [`Patience::LOCAL`], or [`Patience::NODES`] where there are several machines.
    #[must_use]
    pub fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }
}

impl<In, Out> Launcher<In, Out> for GroupLauncher<In, Out>
where
    In: Serialize + Clone + Send + 'static,
    Out: Serialize + DeserializeOwned + Send + 'static,
{
    fn launch(&self, launch: &Launch<'_>, sink: EventSink<Out>) -> Result<Box<dyn Worker<In>>, LaunchError> {
        match (&self.lead, launch.grant.places.as_slice()) {
            (Some(lead), [place]) => self.launch_leading(lead, launch.name, place, sink),
            (None, [_, _, ..]) => self.launch_here(launch, sink),
            // One place, or a grant that the launcher of processes refuses.
            _ => self.alone.launch(launch, sink),
        }
    }
}

impl<In, Out> GroupLauncher<In, Out>
where
    In: Serialize + Clone + Send + 'static,
    Out: Serialize + DeserializeOwned + Send + 'static,
{
    fn launch_here(
        &self,
        launch: &Launch<'_>,
        sink: EventSink<Out>,
    ) -> Result<Box<dyn Worker<In>>, LaunchError> {
        let port = reserve(launch.name)?;
        let places = &launch.grant.places;
        let mut assembly = Assembly::new();
        let world_size = u32::try_from(places.len()).unwrap_or(u32::MAX);
        for (rank, place) in (0..world_size).zip(places) {
            let environment = Rank::local(rank, world_size, port.port()).environment();
            let name = rank_name(rank, launch.name);
            assembly.add_here(rank, |sink| self.processes.start(&name, place, &environment, sink))?;
        }
        assembly.run(launch.name, (self.judge, self.patience), port, sink)
    }

    fn launch_leading(
        &self,
        lead: &Arc<Lead>,
        name: &str,
        place: &Place,
        sink: EventSink<Out>,
    ) -> Result<Box<dyn Worker<In>>, LaunchError> {
        let port = reserve(name)?;
        let own = lead.allocation().rank_at(port.port());
        let mut assembly = Assembly::new();
        let own_name = rank_name(own.rank, name);
        assembly
            .add_here(own.rank, |sink| self.processes.start(&own_name, place, &own.environment(), sink))?;
        let others = (0..own.world_size).filter(|rank| *rank != own.rank);
        assembly.add_elsewhere(others, |first, tell| lead.order(name, &own, first, tell))?;
        assembly.run(name, (self.judge, self.patience), port, sink)
    }
}

fn reserve(name: &str) -> Result<ReservedPort, LaunchError> {
    ReservedPort::any().map_err(|source| LaunchError::Port { name: name.to_owned(), source })
}

/// Threads carry it, and their names are cut short: the rank comes first.
pub(super) fn rank_name(rank: u32, name: &str) -> String {
    format!("r{rank} {name}")
}
