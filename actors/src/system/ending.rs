//! The end of a job: kept in its journal before its caller hears of it.

use tokio::sync::oneshot;

use crate::bus::EventBus;
use crate::events::Event;
use crate::journal::{JournalLine, Ledger, Record, end_of};
use crate::outcome::{CvOutcome, RunOutcome, Status, TuneOutcome};
use crate::stop::{Hold, StopSignal};
use crate::wiring::Wiring;

/// Stands between the actor of a job and its caller. To the system the job is not over before its end is kept.
pub(super) struct Ending {
    line: JournalLine,
    bus: EventBus,
    hold: Hold,
}

impl Ending {
    pub(super) fn of(ledger: &Ledger, wiring: &Wiring, stop: &StopSignal) -> Self {
        Self { line: ledger.line.clone(), bus: wiring.bus.clone(), hold: stop.hold() }
    }

    pub(super) fn of_tune(self, caller: oneshot::Sender<TuneOutcome>) -> oneshot::Sender<TuneOutcome> {
        self.before(caller, |tune| (vec![Record::Ended { cancelled: tune.cancelled }], None))
    }

    pub(super) fn of_cv(self, caller: oneshot::Sender<CvOutcome>) -> oneshot::Sender<CvOutcome> {
        self.before(caller, |cv| (vec![Record::Ended { cancelled: cv.status == Status::Cancelled }], None))
    }

    /// A run that was stopped alone was stopped by its user: it goes on when it is resumed.
    pub(super) fn of_run(self, caller: oneshot::Sender<RunOutcome>) -> oneshot::Sender<RunOutcome> {
        self.before(caller, |run| {
            let cancelled = run.status == Status::Cancelled;
            let records = end_of(run, true).into_iter().chain([Record::Ended { cancelled }]).collect();
            (records, Some(Event::run_finished(None, run)))
        })
    }

    fn before<O: 'static>(
        self,
        caller: oneshot::Sender<O>,
        facts: impl FnOnce(&O) -> (Vec<Record>, Option<Event>) + 'static,
    ) -> oneshot::Sender<O> {
        let (outcome, told) = oneshot::channel::<O>();
        actix::spawn(async move {
            let Ok(outcome) = told.await else {
                // An actor that was lost tells nothing; its caller sees that by the channel.
                return self.bus.end();
            };
            let (records, event) = facts(&outcome);
            if let Err(unwritten) = self.line.append(records).await {
                let message = format!("the end of the job does not stand in its journal: {unwritten}");
                self.bus.publish(Event::Warned { message });
            }
            if let Some(event) = event {
                self.bus.publish(event);
            }
            self.bus.end();
            // The journal is let go before anybody can want to resume the job.
            drop(self.line);
            // A caller that is gone has no use for it.
            drop(caller.send(outcome));
            drop(self.hold);
        });
        outcome
    }
}
