//! A disk that is full under a job's journal: the job stops and says why, nothing is damaged, and with space it goes on.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::fs;

use engine_tests::cli::Ended;
use engine_tests::resume::Job;
use engine_tests::resume::compare::{assert_same, assert_same_outcome};
use engine_tests::skipped;
use rustix::process::Signal;

/// Bytes of a page, the unit in which a disk in memory is filled.
const PAGE: u64 = 4096;
/// Bytes that are enough for the record of a process that takes a job up, and for no end of a run.
const OPENED: u64 = 400;

/// In a name space of its own: `mnt/t` is a small disk with the journal of `out/t`, whose cvs lie on the large disk as before. Full but for
/// `$FREE` pages the job is resumed; then, with space, once more.
const SCRIPT: &str = r#"
set -e
mkdir -p mnt/t
mount -t tmpfs -o size=64k none mnt/t
cp out/t/engine.journal mnt/t/
for cv in t-cv0 t-cv1; do
  mkdir -p "out/t/$cv" "mnt/t/$cv"
  mount --bind "out/t/$cv" "mnt/t/$cv"
done
dd if=/dev/zero of=mnt/t/.fill bs=4096 2> /dev/null || true
truncate --size=-$((FREE * 4096)) mnt/t/.fill
code=0
"$@" > full.out 2> full.err || code=$?
echo $code > full.code
rm mnt/t/.fill
mount -o remount,size=16m mnt/t
code=0
"$@" > again.out 2> again.err || code=$?
echo $code > again.code
mkdir kept
cp -r mnt/t kept/
"#;

fn ended(job: &Job, name: &str) -> Ended {
    let text = |kind: &str| fs::read_to_string(job.path(&format!("{name}.{kind}"))).unwrap();
    Ended { code: text("code").trim().parse().ok(), stdout: text("out"), stderr: text("err") }
}

#[test]
fn a_job_whose_journal_finds_no_space_stops_and_goes_on_when_there_is_some() {
    let job = Job::small("tune --name t --hpconfig space.toml --n-trials 2 --max-epochs 1 --devices 0");
    let able = ["--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"];
    if !job.place.program("unshare".as_ref()).args(able).output().is_ok_and(|tried| tried.status.success()) {
        skipped("a full disk: this user may mount none, not even in a name space of its own");
        return;
    }
    let undisturbed = job.done("undisturbed", &[]);
    let mut running = job.start("out", &[]);
    running.until_event("run-finished");
    running.until_event("run-started");
    running.signal(Signal::KILL);
    running.end();

    // Room for the record that begins a process, at least: what fails then is a record in the middle of the job.
    let length = fs::metadata(job.path("out/t/engine.journal")).unwrap().len();
    let slack = length.next_multiple_of(PAGE) - length;
    let free = u64::from(slack < OPENED);
    let plain = job.command("mnt", &["--resume"]);
    let mut command = job.place.program("unshare".as_ref());
    command.args(["--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh"]).env("FREE", free.to_string());
    command.arg(plain.get_program()).args(plain.get_args());
    let script = job.place.start_command(command).end();
    assert_eq!(script.code, Some(0), "{}", script.stderr);

    let full = ended(&job, "full");
    assert_eq!(full.code, Some(1), "{}\n{}", full.stdout, full.stderr);
    let halted = full.outcome()["halted"].as_str().unwrap().to_owned();
    assert!(
        halted.contains("the journal can not be written at byte") && halted.contains("free space"),
        "{halted}"
    );

    let again = ended(&job, "again");
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_same_outcome(&undisturbed.outcome(), &again.outcome());
    assert_same(&job.path("undisturbed/t"), &job.path("kept/t"));
    job.place.assert_left_by_all();
}
