//! Random search: a trial asked for and told, and the same with a journal.

use actix::System;
use engine::space::{DEFAULT_SEED, Distribution, RandomSampler, SearchSpace};
use engine_actors::journal::Record;
use engine_actors::outcome::RunOutcome;
use engine_actors::ports::Sampler;
use serde_json::json;

use crate::session::{PAIRS, Session, each};
use crate::stage::folder;
use crate::{records, samples};

/// Trials before those that are measured: what is known already is looked through.
const KNOWN: u32 = 1000;
/// Trials of a block.
const BLOCK: u32 = 200;

pub fn space() -> SearchSpace {
    let choice = |values: &[&str]| Distribution::Choice(values.iter().map(|value| json!(value)).collect());
    SearchSpace::new([
        ("learning_rate".to_owned(), Distribution::LogUniform { low: 1e-5, high: 1e-1 }),
        ("weight_decay".to_owned(), Distribution::Uniform { low: 0.0, high: 0.1 }),
        ("batch_size".to_owned(), Distribution::IntUniform { low: 1, high: 64 }),
        ("model_arch".to_owned(), choice(&["Unet", "Linknet", "FPN"])),
        ("augment".to_owned(), choice(&["none", "flips", "all"])),
    ])
    .unwrap()
}

pub fn trials(id: &'static str, session: &mut Session) {
    let folder = folder();
    let line = records::journal(folder.path());
    let system = System::new();
    let mut sampler = RandomSampler::new(space(), DEFAULT_SEED);
    let mut trial = KNOWN;
    assert!(sampler.propose(trial).is_some());
    let mut times = Vec::new();
    for _ in 0..PAIRS {
        let took = each(BLOCK as usize, || {
            for _ in 0..BLOCK {
                trial += 1;
                let hyperparameters = Sampler::propose(&mut sampler, trial).unwrap();
                if id == "search/durable-trial" {
                    let ended = Box::new(samples::run_outcome(&folder.path().join("r")));
                    system.block_on(keep(&line, trial, hyperparameters, ended));
                }
                sampler.tell(trial, Some(0.5));
            }
        });
        times.push(took.as_secs_f64() * 1e3);
    }
    session.middle(id, "ms_per_trial", times);
}

/// What the actors keep of a trial of one run: the configuration and the run's id before it starts, its end before it is told.
async fn keep(
    line: &engine_actors::journal::JournalLine,
    trial: u32,
    hyperparameters: engine::Hyperparameters,
    ended: Box<RunOutcome>,
) {
    line.append(vec![Record::Proposed { trial, hyperparameters }]).await.unwrap();
    line.append(vec![samples::record("record/cv-planned")]).await.unwrap();
    line.append(vec![Record::RunEnded(ended)]).await.unwrap();
    line.append(vec![samples::record("record/cv-ended")]).await.unwrap();
}
