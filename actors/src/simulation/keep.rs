//! How the actors keep facts, and how they are lost: `Journalled` and the closing of channels, played.

use std::collections::VecDeque;

use super::world::{Desk, Edge, Input, Kept, Parent, Who, Word, World};
use crate::cv::lost_cv;
use crate::journal::Record;
use crate::{cv, run, tune};

impl World {
    /// `Journalled::keep`.
    pub(super) fn keep(&mut self, who: Who, record: Option<Record>, input: Input) {
        let Some(record) = record else { return self.take(who, input) };
        if let Some(desk) = self.desk(who) {
            desk.waiting.push((record, input));
            self.write_desk(who);
        }
    }

    fn desk(&mut self, who: Who) -> Option<&mut Desk> {
        match who {
            Who::Tune => self.tune.as_mut().map(|tune| &mut tune.desk),
            Who::Cv(index) => self.cvs.get_mut(&index).map(|cv| &mut cv.desk),
            Who::Run(_) => None,
        }
    }

    fn write_desk(&mut self, who: Who) {
        let Some(desk) = self.desk(who).filter(|desk| !desk.is_writing && !desk.waiting.is_empty()) else {
            return;
        };
        desk.is_writing = true;
        let (records, inputs) = std::mem::take(&mut desk.waiting).into_iter().unzip();
        self.send(Edge::ToJournal(who), Word::Keep(who, records, Kept::Facts(inputs)));
    }

    /// `TuneActor::after`.
    pub(super) fn after(&mut self, record: Option<Record>, child: Who) {
        match record {
            Some(record) => {
                self.send(
                    Edge::ToJournal(Who::Tune),
                    Word::Keep(Who::Tune, vec![record], Kept::Begin(child)),
                );
            }
            None => self.begin(child),
        }
    }

    pub(super) fn begin(&mut self, child: Who) {
        let input = match child {
            Who::Cv(_) => Input::Cv(cv::Input::Begin),
            Who::Run(_) => Input::Run(run::Input::Begin),
            Who::Tune => return,
        };
        self.send(Edge::Begin(child), Word::Input(child, input));
    }

    /// The answer of the journal is back.
    pub(super) fn kept(&mut self, who: Who, written: Result<(), String>, kept: Kept) {
        if let (Err(reason), Kept::Facts(_) | Kept::Begin(_)) = (written, &kept) {
            let unkept = match who {
                Who::Tune => Input::Tune(tune::Input::Unkept { reason }),
                _ => Input::Cv(cv::Input::Unkept { reason }),
            };
            self.take(who, unkept);
        }
        match kept {
            Kept::Facts(inputs) => {
                inputs.into_iter().for_each(|input| self.take_perhaps_twice(who, input));
                self.desk(who).into_iter().for_each(|desk| desk.is_writing = false);
                self.write_desk(who);
                let mut waiting = VecDeque::new();
                if who == Who::Tune {
                    self.ask_sampler(&mut waiting);
                }
                waiting.into_iter().for_each(|input| self.take(who, input));
            }
            Kept::Begin(child) => self.begin(child),
            Kept::End(outcome) => self.outcome = Some(outcome),
            Kept::Nothing => {}
        }
    }

    /// A run's actor is gone by a panic: its worker is killed, its lease let go, its parent sees its channel closed.
    pub(super) fn lose_run(&mut self, id: u64) {
        let Some(run) = self.runs.remove(&id) else { return };
        self.count("lost run actors");
        self.kill_worker(run.worker);
        run.lease.into_iter().for_each(|lease| self.let_go(lease));
        self.abandoned.extend(run.request);
        match run.parent {
            Parent::Tune => {
                if let Some(tune) = &mut self.tune {
                    tune.children.remove(&Who::Run(id));
                }
                let lost = Word::Input(Who::Tune, Input::Tune(tune::Input::RetrainLost));
                self.send(Edge::Told(Who::Run(id)), lost);
            }
            Parent::Cv { cv: of, index, generation } => {
                if let Some(cv) = self.cvs.get_mut(&of).filter(|cv| cv.children.get(&index) == Some(&id)) {
                    cv.children.remove(&index);
                    let lost = Input::Cv(cv::Input::RunLost { index, generation });
                    self.send(Edge::Told(Who::Run(id)), Word::Input(Who::Cv(of), lost));
                }
            }
        }
    }

    /// A cv's actor is gone by a panic: its runs hear a kill, its tune sees its channel closed.
    pub(super) fn lose_cv(&mut self, index: usize) {
        let Some(cv) = self.cvs.remove(&index) else { return };
        self.count("lost cv actors");
        cv.lease.into_iter().for_each(|lease| self.let_go(lease));
        self.abandoned.extend(cv.request);
        for run in cv.children.values() {
            self.raise(Who::Run(*run), crate::stop::StopMode::Kill);
        }
        let outcome = Box::new(lost_cv(&cv.plan, &cv.runs));
        self.send(Edge::Told(Who::Cv(index)), Word::CvTold(index, outcome));
    }
}
