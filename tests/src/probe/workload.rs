//! Runs that do what their script says.

use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use engine::backend::burn;
use engine::workload::{RunContext, Workload};
use engine_actors::outcome::{Cause, Failure};
use engine_actors::protocol::{Phase, Progress, RunOrder, RunSummary};
use engine_tracking::{MetricPoint, Metrics};
use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};
use serde_json::Value;

use super::marker::{Mark, Moment};
use super::script::{Step, steps};

/// Name of the one metric that scores.
pub(super) const SCORE: &str = "val/score";

/// Time of one optimizer step.
const STEP_TIME: Duration = Duration::from_millis(1);
/// Between two looks for a file.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Memory a run that allocates until it dies may take beyond what it has.
const ALLOWANCE_BYTES: u64 = 256 << 20;
const MIB: usize = 1 << 20;

/// The workload of the program `probe`; see [`super::script`].
pub struct Scripted;

impl Workload for Scripted {
    fn run(&self, order: &RunOrder, context: &RunContext) -> Result<RunSummary, Failure> {
        let script = order.plan.hyperparameters.get("script").unwrap_or(&Value::Null);
        let steps = steps(script, order.plan.cell, order.attempt)
            .map_err(|message| failure(Cause::Configuration, message))?;
        let mut run = Performance::new(order, context);
        for step in steps {
            run.perform(step)?;
            if context.stop_requested() {
                break;
            }
        }
        Ok(run.summary())
    }
}

fn failure(cause: Cause, message: impl Into<String>) -> Failure {
    Failure { cause, message: message.into(), stderr_tail: Vec::new() }
}

/// A run under way. Dropped, it writes the end into its marker files.
struct Performance<'a> {
    context: &'a RunContext,
    done: u64,
    score: f64,
    held: Vec<Vec<u8>>,
    markers: Vec<std::path::PathBuf>,
    claims: Vec<File>,
    mark: Mark,
}

impl<'a> Performance<'a> {
    fn new(order: &'a RunOrder, context: &'a RunContext) -> Self {
        let mark = Mark {
            run: order.plan.run_name.clone(),
            device: order.grant.device_names(),
            attempt: order.attempt,
            pid: std::process::id(),
            moment: Moment::Begin,
            at_nanos: 0,
        };
        Self { context, done: 0, score: 0.5, held: Vec::new(), markers: Vec::new(), claims: Vec::new(), mark }
    }

    fn claim(&mut self, folder: &Path) -> Result<(), Failure> {
        std::fs::create_dir_all(folder).unwrap();
        let file = File::create(folder.join(self.mark.device.replace(':', "-"))).unwrap();
        if file.try_lock().is_err() {
            let message = format!("another run is on {} already", self.mark.device);
            return Err(failure(Cause::Configuration, message));
        }
        self.claims.push(file);
        Ok(())
    }

    fn perform(&mut self, step: Step) -> Result<(), Failure> {
        match step {
            Step::Steps(count) => self.train(count),
            Step::Score(score) => self.score = score,
            Step::Marker(path) => {
                self.mark.write(&path, Moment::Begin);
                self.markers.push(path);
            }
            Step::Claim(folder) => self.claim(&folder)?,
            Step::Environment(path) => write_environment(&path),
            Step::WaitFile(path) => {
                while !path.exists() && !self.context.stop_requested() {
                    thread::sleep(LOOK_EVERY);
                }
            }
            Step::Hog(mebibytes) => self.held.push(touched(mebibytes * MIB)),
            Step::Warn(message) => self.context.warn(message),
            Step::Diverge => return Err(failure(Cause::Diverged, "the script lets the loss diverge")),
            Step::Data => return Err(failure(Cause::Data, "the script finds no data")),
            #[expect(clippy::panic, reason = "the script says so")]
            Step::Panic => panic!("the script panics"),
            Step::PanicInModel => panic_in_model(),
            Step::Allocate => self.allocate_until_death(),
            Step::StopSelf => kill_process(getpid(), Signal::STOP).unwrap(),
            Step::KillSelf => kill_process(getpid(), Signal::KILL).unwrap(),
            Step::Stderr(mebibytes) => print_to_stderr(mebibytes),
            Step::SpawnChild => {
                // Nobody waits for it: what ends the worker has to end it.
                let mut sleep = Command::new("sleep");
                drop(sleep.arg("1000").stdin(Stdio::null()).spawn().unwrap());
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "a worker that leaves without a word is what is tested"
            )]
            Step::Exit(code) => std::process::exit(code),
        }
        Ok(())
    }

    fn train(&mut self, count: u32) {
        for batch in 1..=count {
            thread::sleep(STEP_TIME);
            self.done += 1;
            let values = [("train/loss".to_owned(), 1.0 / self.done as f64)].into();
            self.context.log(MetricPoint { epoch: 0, step: self.done, values });
            self.context.progress(Progress {
                epoch: 0,
                max_epochs: 1,
                batch,
                batches: count,
                phase: Phase::Train,
            });
            if self.context.stop_requested() {
                return;
            }
        }
    }

    fn allocate_until_death(&mut self) {
        let limit = Some(address_space_bytes() + ALLOWANCE_BYTES);
        // A core of all that it holds would take longer than the death.
        let core = getrlimit(Resource::Core);
        setrlimit(Resource::Core, Rlimit { current: Some(0), ..core }).unwrap();
        setrlimit(Resource::As, Rlimit { current: limit, maximum: getrlimit(Resource::As).maximum }).unwrap();
        loop {
            self.held.push(touched(64 * MIB));
        }
    }

    fn summary(&self) -> RunSummary {
        let metrics: Metrics = [(SCORE.to_owned(), self.score)].into();
        let stopped = self.context.stop_requested();
        RunSummary { metrics, steps: self.done, epochs: 1, stopped, ..RunSummary::default() }
    }
}

impl Drop for Performance<'_> {
    fn drop(&mut self) {
        for path in &self.markers {
            self.mark.write(path, Moment::End);
        }
        black_box(&self.held);
    }
}

fn address_space_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kibibytes: u64 = size.trim().trim_end_matches("kB").trim().parse().unwrap();
    kibibytes * 1024
}

fn touched(bytes: usize) -> Vec<u8> {
    black_box(vec![1; bytes])
}

fn write_environment(path: &Path) {
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let of_rank = environment.get("RANK").map(|rank| path.with_extension(rank));
    let path = of_rank.as_deref().unwrap_or(path);
    // Whole or not at all: a test waits for it.
    let aside = path.with_file_name(format!("part-{}", std::process::id()));
    std::fs::write(&aside, serde_json::to_vec(&environment).unwrap()).unwrap();
    std::fs::rename(aside, path).unwrap();
}

fn print_to_stderr(mebibytes: usize) {
    let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
    let mut stderr = std::io::stderr().lock();
    for _ in 0..mebibytes * MIB / line.len() {
        stderr.write_all(&line).unwrap();
    }
    stderr.write_all(b"the last line\n").unwrap();
}

/// A model with one row of weights that asks for the sixth.
#[derive(burn::module::Module, Debug)]
struct OneRow {
    weight: burn::module::Param<burn::tensor::Tensor<2>>,
}

impl OneRow {
    fn forward(&self) -> burn::tensor::Tensor<2> {
        let weight = self.weight.val();
        let sixth = burn::tensor::Tensor::from_data([5], &weight.device());
        weight.select(0, sixth)
    }
}

fn panic_in_model() {
    let device = engine::backend::BackendName::Flex.device(engine::backend::ComputeDevice::Cpu).unwrap();
    let weight = burn::module::Param::from_tensor(burn::tensor::Tensor::zeros([1, 4], &device));
    black_box(OneRow { weight }.forward().into_data());
}
