//! What a run makes of its worker's words.

use engine_tracking::Metrics;

use super::{Phase, State, Verdict, WorkerIs, failure};
use crate::events::Event;
use crate::outcome::Cause;
use crate::protocol::{FromWorker, PROTOCOL_VERSION};
use crate::run::effects::{Effect, Timer};

impl State {
    pub(super) fn hear(&mut self, word: FromWorker) -> Vec<Effect> {
        let is_progress = !matches!(word, FromWorker::Beat);
        let mut effects = match self.phase {
            Phase::Starting => self.hear_hello(&word),
            Phase::Training | Phase::Stopping => self.hear_word(word),
            _ => vec![Effect::CountLate("said")],
        };
        if matches!(self.phase, Phase::Starting | Phase::Training) {
            effects.push(Effect::Arm(Timer::Beat));
            if is_progress {
                effects.push(Effect::Arm(Timer::Progress));
            }
        }
        effects
    }

    fn hear_hello(&mut self, word: &FromWorker) -> Vec<Effect> {
        match word {
            FromWorker::Hello { protocol: PROTOCOL_VERSION, pid } => {
                self.phase = Phase::Training;
                let ready = Event::WorkerReady { run_id: self.plan.run_id.clone(), pid: *pid };
                vec![Effect::SendStart { attempt: self.attempts }, Effect::Publish(ready)]
            }
            FromWorker::Hello { protocol, .. } => self.give_up_on_worker(failure(
                Cause::Configuration,
                format!(
                    "the worker speaks protocol {protocol}, this engine {PROTOCOL_VERSION}: use one build for both"
                ),
            )),
            _ => self.give_up_on_worker(failure(Cause::Lost, "the worker did not say hello first".into())),
        }
    }

    fn hear_word(&mut self, word: FromWorker) -> Vec<Effect> {
        let run_id = self.plan.run_id.clone();
        match word {
            FromWorker::Beat => vec![],
            FromWorker::Hello { .. } => vec![Effect::CountLate("hello")],
            FromWorker::Prepared { train_samples, val_samples, parameters, device, from, metrics } => {
                self.metrics = metrics;
                vec![Effect::Publish(Event::RunPrepared {
                    run_id,
                    train_samples,
                    val_samples,
                    parameters,
                    device,
                    from,
                })]
            }
            FromWorker::Settle => vec![Effect::Settle],
            FromWorker::Progress(progress) => {
                vec![Effect::Publish(Event::RunProgressed { run_id, progress, skipped: 0 })]
            }
            FromWorker::Logged(points) => {
                points.iter().for_each(|point| self.note_last(&point.values));
                vec![Effect::Track(points)]
            }
            FromWorker::Drawn(figures) => vec![Effect::TrackFigures(figures)],
            FromWorker::Validated { epoch, step, metrics } => {
                vec![Effect::Publish(Event::RunValidated { run_id, epoch, step, metrics })]
            }
            FromWorker::CheckpointWritten { path, epoch, monitored, .. } => {
                vec![Effect::Publish(Event::CheckpointWritten { run_id, path, epoch, monitored })]
            }
            FromWorker::Warned { message } => {
                let message = format!("run `{}`: {message}", self.plan.run_name);
                vec![Effect::Publish(Event::Warned { message })]
            }
            FromWorker::Finished(summary) => self.final_word(Verdict::Finished(summary)),
            FromWorker::Failed(why) => self.final_word(Verdict::Failed(why)),
        }
    }

    /// The values last logged. Names are the same row by row, and not copied each time.
    fn note_last(&mut self, values: &Metrics) {
        for (name, value) in values {
            match self.metrics.get_mut(name) {
                Some(last) => *last = *value,
                None => {
                    self.metrics.insert(name.clone(), *value);
                }
            }
        }
    }

    /// After its final word a worker has only to exit.
    fn final_word(&mut self, verdict: Verdict) -> Vec<Effect> {
        if self.verdict.is_some() {
            return vec![Effect::CountLate("final-word")];
        }
        self.verdict = Some(verdict);
        let mut effects = self.leave_training();
        if self.worker == WorkerIs::Alive {
            effects.push(Effect::Arm(Timer::Stop));
        }
        effects
    }
}
