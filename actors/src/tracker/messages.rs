//! What a TrackerActor hears and answers.

use actix::Message;
use engine_tracking::{Figure, MetricPoint, Metrics};

use crate::events::Event;

/// Something to keep of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// Values that were logged, in order.
    Points(Vec<MetricPoint>),
    /// Figures that were drawn, in order.
    Figures(Vec<Figure>),
    /// Lines the worker printed, in order, without their ends.
    Printed(Vec<String>),
    /// How busy machine and worker are.
    Measured(Metrics),
    /// Something happened to the run.
    Happened(Box<Event>),
}

/// Hands on one record. Sent by the run's RunActor, one at a time; a batch of points every quarter of a second or so.
///
/// Answered when the record is in the queue to the back ends, not when it is written. Sent twice, it is kept twice.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Track(pub Record);

const _: () = assert!(size_of::<Track>() <= 32);

/// Asks until all that was handed on is kept. Sent by the run's RunActor while its worker waits to write a checkpoint.
///
/// Answered when every back end that still works has kept it, or was given up. Twice is twice the question.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Settle;

/// The run is over. Sent once by the run's RunActor, after the last record; records after it are dropped.
///
/// Answered when every back end has closed, or was given up. If it never comes, they are closed when the actor is
/// dropped.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CloseRun;
