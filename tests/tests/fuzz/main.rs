//! Readers of files and pipes on hostile bytes: arbitrary ones, and valid ones that were changed.
//!
//! Rules, for every input: no panic, no more of the heap than a bound that grows with the input, an end within seconds, and an
//! error that names its file. Each target is one test:
//!
//! - `TEST_FUZZ_SECS`: seconds for new inputs, 2 unless set; set, it also has the figures printed
//! - `TEST_SEED`: which inputs, 1 unless set; the same seed makes the same inputs
//! - `TEST_FUZZ_INPUT`: a file that is the only input: `TEST_FUZZ_INPUT=… cargo test --test fuzz -- zarr_metadata`
//!
//! An input that breaks a rule is written to `target/tmp/fuzz`, and the one at hand to `NAME.current` there, for what ends the
//! process without a word. Inputs that broke a rule once lie in `data/fuzz/NAME` and are read first, every time.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what cannot be had fails the test")]

mod allocator;
mod folders;
mod frames;
mod framing;
mod harness;
mod images;
mod journal;
mod mutate;
mod tables;
mod text;
mod weights;

#[global_allocator]
static COUNTING: allocator::Counting = allocator::Counting;

/// An error and its sources on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
