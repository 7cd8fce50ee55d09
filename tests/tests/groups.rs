//! Jobs of several processes at the command line, started as `torchrun` starts them.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Output, Stdio};

use engine_tests::cli::Workplace;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const USAGE: i32 = 2;
const DATA: i32 = 3;
const DEVICE: i32 = 5;

/// A small network on the smallest data, on two slices of the cores for each node.
const TRAIN: [&str; 22] = [
    "train",
    "--json",
    "--train-data-dir",
    "data",
    "--artifact-dir",
    "out",
    "--fold-method",
    "region-stratified",
    "--total-folds",
    "2",
    "--model-encoder",
    "resnet18",
    "--batch-size",
    "2",
    "--accelerator",
    "cpu",
    "--backend",
    "tch",
    "--strategy",
    "ddp",
    "--num-nodes",
    "2",
];
const TWO_DEVICES: [&str; 5] = ["--max-epochs", "1", "--devices", "0", "1"];
const NO_END: [&str; 4] = ["--max-epochs", "1000", "--devices", "0"];

/// One process of a job, with torchrun's variables.
fn rank(place: &Workplace, arguments: &[&str], rank: u32, (world, local): (u32, u32)) -> Child {
    place
        .command(arguments)
        .env("RANK", rank.to_string())
        .env("LOCAL_RANK", (rank % local).to_string())
        .env("WORLD_SIZE", world.to_string())
        .env("LOCAL_WORLD_SIZE", local.to_string())
        .env("MASTER_ADDR", "127.0.0.1")
        .env("MASTER_PORT", "29500")
        .env("TORCHELASTIC_RUN_ID", "job")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn job(place: &Workplace, arguments: &[&str], shape: (u32, u32)) -> Vec<Child> {
    (0..shape.0).map(|number| rank(place, arguments, number, shape)).collect()
}

fn ends(ranks: Vec<Child>) -> Vec<Output> {
    ranks.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_job_of_another_shape_is_refused_by_every_rank() {
    let place = Workplace::with_data();
    for output in ends(job(&place, &[&TRAIN[..], &TWO_DEVICES].concat(), (2, 1))) {
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(USAGE), "{said}");
        assert!(said.contains("makes 4 ranks, but the launcher started 2, 1 on each node"), "{said}");
    }
    assert!(!place.path("out").exists(), "nothing is written");
}

#[test]
fn when_rank_0_can_not_start_the_others_leave() {
    let place = Workplace::new();
    let outputs = ends(job(&place, &[&TRAIN[..], &TWO_DEVICES].concat(), (4, 2)));
    assert_eq!(outputs[0].status.code(), Some(DATA), "{}", stderr(&outputs[0]));
    for output in &outputs[1..] {
        assert_eq!((output.status.code(), stderr(output)), (Some(0), String::new()));
        assert!(output.stdout.is_empty(), "a follower prints nothing");
    }
    assert!(!place.path("out/.ranks").exists(), "nothing is left of the job");
}

#[test]
fn several_devices_need_libtorch() {
    let place = Workplace::with_data();
    let one_node = &TRAIN[..TRAIN.len() - 6];
    let ended = place.run(&[one_node, &["--backend", "flex", "--strategy", "ddp"], &TWO_DEVICES].concat());
    assert_eq!(ended.code, Some(DEVICE), "{ended:?}");
    assert!(ended.stderr.contains("backend `flex` trains one model on one device only"), "{ended:?}");
    assert!(ended.stderr.contains("need backend `tch`"), "{ended:?}");
}

#[cfg(all(feature = "tch", target_os = "linux"))]
#[test]
fn two_nodes_of_two_devices_train_one_run() {
    let place = Workplace::with_data();
    let outputs = ends(job(&place, &[&TRAIN[..], &TWO_DEVICES].concat(), (4, 2)));
    for output in &outputs {
        assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    }
    let text = String::from_utf8(outputs[0].stdout.clone()).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.last().unwrap()["outcome"]["status"], "complete", "{text}");
    let prepared = events.iter().find(|event| event["event"] == "run-prepared").unwrap();
    assert!(prepared["device"].as_str().unwrap().contains("rank 0 of 4"), "{prepared}");
    assert!(outputs[1..].iter().all(|output| output.stdout.is_empty()), "a follower prints nothing");
    assert!(!place.path("out/.ranks").exists(), "nothing is left of the job");
    place.assert_left_by_all();

    // The same four ranks on one machine.
    let here = Workplace::with_data();
    let one_node = &TRAIN[..TRAIN.len() - 2];
    let four = ["--max-epochs", "1", "--devices", "0", "1", "2", "3"];
    let ended = here.run(&[one_node, &four].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(weights(&place) == weights(&here), "two nodes of two ranks equal four ranks of one, bit for bit");
    here.assert_left_by_all();
}

/// The weights a single run ended with.
#[cfg(all(feature = "tch", target_os = "linux"))]
fn weights(place: &Workplace) -> Vec<u8> {
    let run = std::fs::read_dir(place.path("out/_runs")).unwrap().next().unwrap().unwrap().path();
    std::fs::read(run.join("checkpoints/last/weights.safetensors")).unwrap()
}

#[cfg(all(feature = "tch", target_os = "linux"))]
#[test]
fn a_first_interrupt_of_all_processes_is_rank_0s_to_answer() {
    let place = Workplace::with_data();
    let mut ranks = job(&place, &[&TRAIN[..], &NO_END].concat(), (2, 1));
    // Training is under way: it has been validated once.
    let lines = BufReader::new(ranks[0].stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut lines = lines.skip_while(|line| !line.contains("\"event\":\"run-validated\""));
    assert!(lines.next().is_some(), "the run does not begin");
    for child in &ranks {
        let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(id, Signal::INT).unwrap();
    }
    let told: Vec<String> = lines.collect();
    let outputs = ends(ranks);
    assert_eq!(outputs[0].status.code(), Some(130), "{}", stderr(&outputs[0]));
    for output in &outputs[1..] {
        assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    }
    let outcome: Value = serde_json::from_str(told.last().unwrap()).unwrap();
    assert_eq!(outcome["outcome"]["failure"], Value::Null, "{outcome}");
    assert!(!outcome["outcome"]["checkpoint"].is_null(), "{outcome}");
    place.assert_left_by_all();
}
