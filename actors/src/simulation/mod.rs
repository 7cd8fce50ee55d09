//! A whole tune without its machine: the states of all actors, the lease book and the fold over the journal, under schedules
//! that a seed makes.
//!
//! The code under test is that which runs live: the `State`s, what they recall, what they keep ([`Record`]s), how runs are
//! planned. What the actors perform is played here: effects become words on edges, and the scheduler takes the next word from
//! whichever edge the seed says. An edge keeps the order that its real channel keeps:
//!
//! | edge | order |
//! |---|---|
//! | from a child to its parent | one word |
//! | from a worker to its run, from a run to its worker | as said |
//! | from an actor to the journal, to the table writer, to the devices, and back | as sent |
//! | a stop line | the strongest mode, once |
//! | a timer | any time while armed; those for progress and beats only of workers that hang |
//!
//! Between edges there is no order at all. Words are doubled, workers fail in every way, users stop, and the process is
//! killed, or loses its power, at any step and at every record of its journal; then another process goes on from what is on the
//! [`Disk`](disk::Disk).
//!
//! `TEST_SEEDS=10000` plays so many seeds, `TEST_SEED=7` replays one and prints its schedule.

mod check;
mod devices;
mod disk;
mod fate;
mod keep;
mod perform;
mod play;
mod rng;
mod schedule;
mod worker;
mod world;
