//! The engine's own cost: runs that do nothing through the whole tree, files and tables included.
//!
//! `cargo bench --package engine-benches`. Times of one machine say little; compare the two benches of one output.

#![expect(clippy::unwrap_used, reason = "a bench that can not start has nothing to measure")]

use divan::Bencher;

fn main() {
    divan::main();
}

/// One run in a cv of its own: the way up and down the tree.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn cv_of_one_noop_run(bencher: Bencher<'_, '_>) {
    noop_cv(bencher, 1);
}

/// Twenty runs in one cv: what a further run adds.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn cv_of_twenty_noop_runs(bencher: Bencher<'_, '_>) {
    noop_cv(bencher, 20);
}

fn noop_cv(bencher: Bencher<'_, '_>, cells: u32) {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine_benches::engine(folder.path()).unwrap();
    bencher.bench_local(|| {
        let outcome = engine.cv(engine_benches::cv(cells).unwrap()).unwrap().wait().unwrap();
        assert_eq!(outcome.score, Some(0.5));
    });
}
