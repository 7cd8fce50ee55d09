//! Inputs made of valid ones: flips, cuts, insertions, splices, doubled chunks, hostile numbers and lengths.

/// Bytes an input has at the most: longer ones find nothing that these do not.
const LONGEST_INPUT: usize = 256 * 1024;

/// Numbers that break arithmetic, as text.
const HOSTILE_NUMBERS: [&str; 20] = [
    "0",
    "-1",
    "1",
    "255",
    "65536",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "99999999999999999999999",
    "1e308",
    "1e-320",
    "-0.0",
    "1e999",
    "0.1",
    "1000000",
];

/// Lengths that break arithmetic, as 32 bits.
const HOSTILE_LENGTHS: [u32; 8] = [0, 1, 0x7f, 0xffff, 16 << 20, i32::MAX as u32, 1 << 31, u32::MAX];

/// The same as 64 bits: lengths, and numbers that are not finite.
const HOSTILE_WORDS: [u64; 6] =
    [0, 1 << 62, u64::MAX, i64::MAX as u64, f64::NAN.to_bits(), f64::INFINITY.to_bits()];

/// Steele, Lea and Flood 2014, SplitMix64: the same inputs for the same seed on every machine.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next() % bound as u64) as usize }
    }

    pub fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let from = self.below(length + 1);
        // Short ones mostly: a change must leave something that is still read.
        let most = if self.one_in(4) { length - from } else { (length - from).min(16) };
        from..from + self.below(most + 1)
    }
}

/// Bytes from nowhere: any, or text.
pub fn arbitrary(dice: &mut Dice) -> Vec<u8> {
    let scale = dice.below(13);
    let length = dice.below(1 << scale);
    let any = dice.one_in(2);
    (0..length).map(|_| if any { dice.next() as u8 } else { b' ' + dice.below(95) as u8 }).collect()
}

/// One of the corpus, changed in one to eight places.
pub fn mutated(dice: &mut Dice, corpus: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut input = dice.of(corpus).clone();
    let changes = 1 << dice.below(4);
    for _ in 0..changes {
        change(dice, &mut input, corpus, words);
    }
    input.truncate(LONGEST_INPUT);
    input
}

/// Changes an input in one place.
pub fn change(dice: &mut Dice, input: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&str]) {
    let at = dice.below(input.len());
    let range = dice.range(input.len());
    match dice.below(14) {
        0 | 1 if !input.is_empty() => input[at] ^= 1 << dice.below(8),
        2 if !input.is_empty() => {
            input[at] = *dice.of(&[0, 1, 0x7f, 0x80, 0xff, b'\n', b'"', b'0', b'-', b'[']);
        }
        3 if !input.is_empty() => input[at] = dice.next() as u8,
        4 => input.truncate(at),
        5 => drop(input.drain(range)),
        6 => {
            let some = arbitrary(dice);
            let some = &some[..some.len().min(32)];
            input.splice(at..at, some.iter().copied());
        }
        7 => {
            let chunk = input[range.clone()].to_vec();
            let times = if dice.one_in(8) { 1 + dice.below(4000) } else { 1 + dice.below(4) };
            let times = times.min(LONGEST_INPUT / (chunk.len() + 1));
            input.splice(range.end..range.end, chunk.repeat(times));
        }
        8 => {
            let other = dice.of(corpus).clone();
            let theirs = dice.range(other.len());
            input.splice(range, other[theirs].iter().copied());
        }
        9 | 10 => number(dice, input, at),
        11 if at + 4 <= input.len() => {
            let length = dice.of(&HOSTILE_LENGTHS);
            let bytes = if dice.one_in(2) { length.to_le_bytes() } else { length.to_be_bytes() };
            input[at..at + 4].copy_from_slice(&bytes);
        }
        12 if at + 8 <= input.len() => {
            let value = dice.of(&HOSTILE_WORDS);
            input[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        _ if !words.is_empty() => {
            let word = dice.of(words).as_bytes();
            let to = if dice.one_in(2) { range.end } else { range.start };
            input.splice(range.start..to, word.iter().copied());
        }
        _ => {}
    }
}

/// Another number for one that stands in the text behind a place.
fn number(dice: &mut Dice, input: &mut Vec<u8>, at: usize) {
    let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    let Some(start) = input[at.min(input.len())..].iter().position(u8::is_ascii_digit).map(|far| at + far)
    else {
        return;
    };
    let end = input[start..].iter().position(|byte| !is_part(byte)).map_or(input.len(), |far| start + far);
    input.splice(start..end, dice.of(&HOSTILE_NUMBERS).bytes());
}
