//! Runs one reader on input after input, and fails with the input that broke a rule.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use engine_tests::note;

use crate::allocator::{Taken, counted, is_counting};
use crate::mutate::{Dice, arbitrary, change, mutated};

/// What a call may hold of the heap, whatever its input, beyond what the target itself allows.
const BASE_BYTES: usize = 64 << 20;
/// What it may hold for every byte of its input.
const BYTES_PER_BYTE: usize = 64;
/// Longest a call may take. One that takes longer is repeated: what was the machine's doing is not so slow twice.
const LONGEST_CALL: Duration = Duration::from_secs(5);
/// A call that takes so long has no end, and ends the process.
const ENDLESS: Duration = Duration::from_secs(120);
/// Inputs kept because they led to an outcome not seen before.
const MOST_KEPT: usize = 2000;
/// Letters by which outcomes are told apart.
const LETTERS_OF_OUTCOME: usize = 96;

thread_local! {
    /// Where the last panic within a call was.
    static PANICKED_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps the place of a panic within a call instead of printing it: a backtrace takes more memory than a reader may, and a
/// reader may catch it.
fn hush() {
    static HUSHED: Once = Once::new();
    HUSHED.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| match panic.location().filter(|_| is_counting()) {
            Some(place) => PANICKED_AT.set(place.to_string()),
            None => others(panic),
        }));
    });
}

/// Puts what an input stands for into the form in which it is read.
pub type Seal = fn(&[u8]) -> Vec<u8>;

/// A reader and what it is fed with.
pub struct Target {
    /// Name, also of its folder of inputs in `tests/data/fuzz`.
    pub name: &'static str,
    /// Valid inputs, in the form before sealing.
    pub corpus: Vec<Vec<u8>>,
    /// Words of the format.
    pub words: &'static [&'static str],
    /// Lengths and checksums around an input, so that what lies behind them is reached.
    pub seal: Option<Seal>,
    /// Bytes the reader may hold for a reason of its own: a documented bound of the format.
    pub allowed_bytes: usize,
}

/// What a call came to.
struct Call {
    outcome: String,
    taken: Taken,
    took: Duration,
}

impl Target {
    /// Reads the inputs that broke a rule once, then new ones for `TEST_FUZZ_SECS`; or `TEST_FUZZ_INPUT` alone. `read` says in words what
    /// became of an input.
    pub fn run(mut self, mut read: impl FnMut(&[u8]) -> String) {
        hush();
        if let Some(path) = std::env::var_os("TEST_FUZZ_INPUT") {
            self.check(&fs::read(path).unwrap(), 0, &mut read);
            return;
        }
        let found = found_before(self.name);
        let watch = Watch::start(self.name);
        for (path, input) in &found {
            watch.begins(input);
            note_if_slow(path, self.check(input, 0, &mut read).took);
        }
        for input in self.corpus.clone() {
            let sealed = self.sealed(&input);
            watch.begins(&sealed);
            let call = self.check(&sealed, 0, &mut read);
            assert!(call.outcome.starts_with("read"), "a valid input of {}: {}", self.name, call.outcome);
        }
        self.corpus.extend(found.into_iter().map(|(_, input)| input));
        self.search(&watch, &mut read);
    }

    fn search(mut self, watch: &Watch, read: &mut impl FnMut(&[u8]) -> String) {
        let (seed, time) = (seed(), time());
        let mut dice = Dice::new(seed);
        let (mut outcomes, mut calls, mut most_taken) = (HashSet::new(), 0_u64, 0);
        let mut longest = Duration::ZERO;
        let began = Instant::now();
        while began.elapsed() < time {
            let (input, bytes) = self.next_input(&mut dice);
            watch.begins(&bytes);
            let call = self.check(&bytes, seed, read);
            calls += 1;
            most_taken = most_taken.max(call.taken.peak);
            longest = longest.max(call.took);
            if outcomes.insert(shape(&call.outcome)) && self.corpus.len() < MOST_KEPT {
                self.corpus.push(input);
            }
        }
        assert!(outcomes.len() > 1, "all of {calls} inputs of {} ended alike: {outcomes:?}", self.name);
        if std::env::var_os("TEST_FUZZ_SECS").is_some() {
            note(&format!(
                "fuzz {}: {calls} inputs, {} outcomes in {:.0} s; at most {} KiB held, {longest:?} taken; seed {seed}",
                self.name,
                outcomes.len(),
                began.elapsed().as_secs_f64(),
                most_taken >> 10
            ));
        }
    }

    /// The next input before sealing, and as it is read.
    fn next_input(&self, dice: &mut Dice) -> (Vec<u8>, Vec<u8>) {
        let input = if dice.one_in(32) { arbitrary(dice) } else { mutated(dice, &self.corpus, self.words) };
        let mut bytes = if dice.one_in(32) { input.clone() } else { self.sealed(&input) };
        if self.seal.is_some() && dice.one_in(4) {
            change(dice, &mut bytes, &self.corpus, self.words);
        }
        (input, bytes)
    }

    fn sealed(&self, input: &[u8]) -> Vec<u8> {
        self.seal.map_or_else(|| input.to_vec(), |seal| seal(input))
    }

    /// Reads one input and fails if it breaks a rule.
    fn check(&self, input: &[u8], seed: u64, read: &mut impl FnMut(&[u8]) -> String) -> Call {
        let mut call = self.call(input, seed, read);
        if call.took > LONGEST_CALL {
            call = self.call(input, seed, read);
        }
        let limit = BASE_BYTES + BYTES_PER_BYTE * input.len() + self.allowed_bytes;
        if usize::try_from(call.taken.peak).unwrap_or(0) > limit {
            let held = call.taken.peak;
            self.fail(input, seed, &format!("held {held} bytes, at most {limit} for {} bytes", input.len()));
        }
        if call.took > LONGEST_CALL {
            self.fail(input, seed, &format!("took {:?}", call.took));
        }
        call
    }

    fn call(&self, input: &[u8], seed: u64, read: &mut impl FnMut(&[u8]) -> String) -> Call {
        let began = Instant::now();
        let (answer, taken) = counted(|| catch_unwind(AssertUnwindSafe(|| read(input))));
        let took = began.elapsed();
        match answer {
            Ok(outcome) => Call { outcome, taken, took },
            Err(panic) => {
                let said = panic.downcast_ref::<String>().cloned();
                let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                let place = PANICKED_AT.take();
                self.fail(input, seed, &format!("panicked at {place}: {}", said.unwrap_or_default()))
            }
        }
    }

    fn fail(&self, input: &[u8], seed: u64, what: &str) -> ! {
        let path = scratch().join(format!("{}-{:08x}.bin", self.name, crc32fast::hash(input)));
        fs::write(&path, input).unwrap();
        panic!(
            "the reader `{}` {what}; seed {seed}; the input, to be kept in tests/data/fuzz/{}, and to be repeated with \
             TEST_FUZZ_INPUT: {}",
            self.name,
            self.name,
            path.display()
        );
    }
}

/// Where inputs are written to.
fn scratch() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Inputs that broke a rule once.
fn found_before(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/fuzz").join(name);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn note_if_slow(path: &Path, took: Duration) {
    if took > Duration::from_secs(1) {
        note(&format!("fuzz: {took:?} for {}", path.display()));
    }
}

fn seed() -> u64 {
    number_in("TEST_SEED").unwrap_or(1)
}

fn time() -> Duration {
    Duration::from_secs(number_in("TEST_FUZZ_SECS").unwrap_or(2))
}

fn number_in(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, but must be a number")))
}

/// An outcome without what is of one input alone: numbers, and what stands in quotation marks.
fn shape(outcome: &str) -> String {
    let mut quote = None;
    let mut shape = String::new();
    for letter in outcome.chars() {
        match (quote, letter) {
            (Some(mark), letter) if mark == letter => quote = None,
            (Some(_), _) => {}
            (None, '`' | '"' | '\'') => quote = Some(letter),
            (None, letter) if letter.is_ascii_digit() => {
                if !shape.ends_with('#') {
                    shape.push('#');
                }
            }
            (None, letter) => shape.push(letter),
        }
        if shape.len() > LETTERS_OF_OUTCOME {
            break;
        }
    }
    shape
}

/// Ends the process if a call does not end, and keeps the input at hand for whatever ends the process.
struct Watch {
    began: std::sync::Arc<AtomicU64>,
    is_over: std::sync::Arc<AtomicBool>,
    since: Instant,
    input: PathBuf,
}

impl Watch {
    fn start(name: &'static str) -> Self {
        let since = Instant::now();
        let (began, is_over) =
            (std::sync::Arc::new(AtomicU64::new(0)), std::sync::Arc::new(AtomicBool::new(false)));
        let input = scratch().join(format!("{name}.current"));
        let (watched, over, path) = (began.clone(), is_over.clone(), input.clone());
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_secs(1));
                let at = Duration::from_millis(watched.load(Ordering::Relaxed));
                if since.elapsed().saturating_sub(at) > ENDLESS && !over.load(Ordering::Relaxed) {
                    note(&format!("the reader `{name}` does not end; its input: {}", path.display()));
                    std::process::abort();
                }
            }
        });
        Self { began, is_over, since, input }
    }

    /// An abort or an overflow of the stack leaves nobody to write the input down: it is written before.
    fn begins(&self, input: &[u8]) {
        fs::write(&self.input, input).unwrap();
        self.began.store(u64::try_from(self.since.elapsed().as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_reader_that_panics_or_takes_too_much_is_found_with_its_input() {
    let target =
        |name| Target { name, corpus: vec![b"abc".to_vec()], words: &[], seal: None, allowed_bytes: 0 };
    let fails = |name, read: fn(&[u8]) -> String| {
        let failed = catch_unwind(AssertUnwindSafe(|| target(name).run(read))).unwrap_err();
        let said = failed.downcast_ref::<String>().unwrap().clone();
        let path = PathBuf::from(said.rsplit(": ").next().unwrap());
        let input = fs::read(&path).unwrap();
        fs::remove_file(path).unwrap();
        (said, input)
    };
    let (said, input) = fails("self-test-panic", |input| {
        assert!(!input.contains(&b'd'), "no d");
        format!("read {}", input.len() % 2 == 0)
    });
    assert!(said.contains("panicked at ") && said.contains(": no d") && input.contains(&b'd'), "{said}");
    let (said, input) = fails("self-test-memory", |input| {
        let length = if input.len() > 5 { usize::from(input[0]) << 20 } else { 1 };
        format!("read {}", Vec::<u8>::with_capacity(length).capacity() > 1)
    });
    assert!(said.contains("held ") && input[0] > 64, "{said}");
}
