//! The back ends of one run, as their thread drives them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Record;
use super::seat::Left;
use crate::events::Event;
use crate::plan::RunPlan;
use crate::ports::{RunLine, Tracker, TrackerError};

/// Those that still work.
pub(super) struct BackEnds {
    plan: Arc<RunPlan>,
    working: Vec<Box<dyn Tracker>>,
    line: RunLine,
}

impl BackEnds {
    pub(super) fn new(plan: Arc<RunPlan>, all: Vec<Box<dyn Tracker>>, line: RunLine) -> Self {
        Self { plan, working: all, line }
    }

    pub(super) fn left(&self) -> Left {
        if self.working.is_empty() { Left::None } else { Left::Some }
    }

    pub(super) fn open(&mut self) {
        let (plan, line) = (Arc::clone(&self.plan), self.line.clone());
        self.each(|tracker| tracker.open(&plan, &line));
    }

    pub(super) fn record(&mut self, record: &Record) {
        match record {
            Record::Points(points) => self.each(|tracker| tracker.points(points)),
            Record::Figures(figures) => self.each(|tracker| tracker.figures(figures)),
            Record::Printed(lines) => self.each(|tracker| tracker.printed(lines)),
            Record::Measured(sample) => self.each(|tracker| tracker.system(sample)),
            Record::Happened(event) => self.each(|tracker| tracker.event(event)),
        }
    }

    /// What they were given is to outlive the engine.
    pub(super) fn settle(&mut self) {
        self.each(|tracker| tracker.settle());
    }

    /// Nothing is to be asked of them afterwards.
    pub(super) fn close(&mut self) {
        self.each(|tracker| tracker.close());
    }

    /// Calls every back end, and drops those that fail or panic.
    fn each(&mut self, mut call: impl FnMut(&mut dyn Tracker) -> Result<(), TrackerError>) {
        let (plan, line) = (&self.plan, &self.line);
        self.working.retain_mut(|tracker| {
            let why = match catch_unwind(AssertUnwindSafe(|| call(tracker.as_mut()))) {
                Ok(Ok(())) => return true,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it panicked".into(),
            };
            let message = format!("{} of `{}` is turned off: {why}", tracker.name(), plan.run_name);
            line.publish(Event::Warned { message });
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use engine_tracking::MetricPoint;

    use super::*;
    use crate::bus::EventBus;
    use crate::stop::StopLine;
    use crate::testing::run_plan;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<&'static str>>>);

    struct Fake {
        heard: Heard,
        breaks_at: &'static str,
    }

    impl Fake {
        fn hear(&mut self, call: &'static str) -> Result<(), TrackerError> {
            self.heard.0.lock().unwrap().push(call);
            match self.breaks_at {
                "panic" if call == "points" => panic!("disk on fire"),
                at if at == call => Err("no space left on device".into()),
                _ => Ok(()),
            }
        }
    }

    impl Tracker for Fake {
        fn name(&self) -> &str {
            "fake"
        }
        fn open(&mut self, _: &RunPlan, _: &RunLine) -> Result<(), TrackerError> {
            self.hear("open")
        }
        fn points(&mut self, _: &[MetricPoint]) -> Result<(), TrackerError> {
            self.hear("points")
        }
        fn event(&mut self, _: &Event) -> Result<(), TrackerError> {
            self.hear("event")
        }
        fn close(&mut self) -> Result<(), TrackerError> {
            self.hear("close")
        }
    }

    fn heard_when(breaks_at: &'static str) -> (Vec<&'static str>, Vec<&'static str>, usize) {
        let (broken, sound) = (Heard::default(), Heard::default());
        let bus = EventBus::new();
        let mut warnings = bus.subscribe();
        let fake = |heard: &Heard, breaks_at| -> Box<dyn Tracker> {
            Box::new(Fake { heard: heard.clone(), breaks_at })
        };
        let all = vec![fake(&broken, breaks_at), fake(&sound, "")];
        let (stop, _run) = StopLine::new();
        let (log, _logged) = tokio::sync::mpsc::channel(8);
        let mut back_ends = BackEnds::new(Arc::new(run_plan("r")), all, RunLine::new(bus, log, stop));
        assert_eq!(back_ends.left(), Left::Some);
        back_ends.open();
        back_ends.record(&Record::Points(vec![]));
        back_ends.record(&Record::Happened(Box::new(Event::Warned { message: "x".into() })));
        back_ends.close();
        let mut warned = 0;
        while warnings.try_next().is_some() {
            warned += 1;
        }
        let of = |heard: Heard| heard.0.lock().unwrap().clone();
        (of(broken), of(sound), warned)
    }

    #[test]
    fn track_1_every_back_end_hears_open_records_close_in_order() {
        let all = vec!["open", "points", "event", "close"];
        assert_eq!(heard_when(""), (all.clone(), all, 0));
    }

    #[test]
    fn track_2_a_failing_back_end_is_turned_off_with_one_warning_and_the_others_go_on() {
        let all = vec!["open", "points", "event", "close"];
        assert_eq!(heard_when("open"), (vec!["open"], all.clone(), 1));
        assert_eq!(heard_when("points"), (vec!["open", "points"], all.clone(), 1));
        assert_eq!(heard_when("panic"), (vec!["open", "points"], all.clone(), 1));
        assert_eq!(heard_when("close"), (all.clone(), all, 1));
    }
}
