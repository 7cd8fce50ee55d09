//! Masks as bits, a row of whole words each: what is done to one pixel is done to 64.

/// Bits of a word.
const WORD: usize = u64::BITS as usize;

/// Which pixels of an image are set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mask {
    height: usize,
    width: usize,
    /// Words of a row; bits beyond the width are never set.
    words: usize,
    bits: Vec<u64>,
}

impl Mask {
    /// An empty mask.
    pub(super) fn new(height: usize, width: usize) -> Self {
        let words = width.div_ceil(WORD);
        Self { height, width, words, bits: vec![0; height * words] }
    }

    /// Becomes an empty mask of this size, in the memory it has.
    pub(super) fn reset(&mut self, height: usize, width: usize) {
        (self.height, self.width, self.words) = (height, width, width.div_ceil(WORD));
        self.bits.clear();
        self.bits.resize(height * self.words, 0);
    }

    /// Sets the pixels, of all in row-major order, for which `is_set` says so.
    pub(super) fn fill(&mut self, is_set: impl Fn(usize) -> bool) {
        let (width, words) = (self.width, self.words);
        for (row, bits) in self.bits.chunks_exact_mut(words.max(1)).enumerate() {
            for (number, word) in bits.iter_mut().enumerate() {
                let (first, last) = (number * WORD, ((number + 1) * WORD).min(width));
                *word = (first..last).fold(0, |word, column| {
                    word | (u64::from(is_set(row * width + column)) << (column - first))
                });
            }
        }
    }

    /// Place of a pixel among the bits, for [`Mask::set`].
    pub(super) fn bit(&self, row: usize, column: usize) -> usize {
        row * self.words * WORD + column
    }

    /// Sets a pixel by its place among the bits.
    pub(super) fn set(&mut self, bit: usize) {
        self.bits[bit / WORD] |= 1 << (bit % WORD);
    }

    /// The words of each row.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.bits.chunks_exact(self.words.max(1))
    }

    /// Calls `found` with the first column of each run of set pixels of a row, and the first after it.
    pub(super) fn runs(row: &[u64], mut found: impl FnMut(u32, u32)) {
        let mut begun = None;
        for (number, &word) in row.iter().enumerate() {
            let first = number * WORD;
            let mut done = 0;
            while done < WORD {
                let rest = word >> done;
                match begun {
                    None if rest == 0 => break,
                    None => {
                        done += rest.trailing_zeros() as usize;
                        begun = Some((first + done) as u32);
                    }
                    Some(start) => {
                        let length = (rest.trailing_ones() as usize).min(WORD - done);
                        done += length;
                        if done < WORD {
                            found(start, (first + done) as u32);
                            begun = None;
                        }
                    }
                }
            }
        }
        if let Some(start) = begun {
            // Bits beyond the width are not set: a run that is open here ends with the last word.
            found(start, (row.len() * WORD) as u32);
        }
    }

    /// The pixels whose whole 3 × 3 square is set, what lies outside of the image being not set; done so often.
    pub(super) fn eroded(&self, times: u32) -> Self {
        let mut eroded = self.clone();
        for _ in 0..times {
            let before = std::mem::replace(&mut eroded.bits, vec![0; self.bits.len()]);
            // Nothing is left of the first and the last row.
            let rows: Vec<Vec<u64>> = before.chunks_exact(self.words.max(1)).map(narrowed).collect();
            for row in 1..self.height.saturating_sub(1) {
                let bits = &mut eroded.bits[row * self.words..(row + 1) * self.words];
                for (at, bits) in bits.iter_mut().enumerate() {
                    *bits = rows[row - 1][at] & rows[row][at] & rows[row + 1][at];
                }
            }
        }
        eroded
    }

    /// The pixels of this mask within so many pixels of its edge.
    pub(super) fn boundary(&self, pixels: u32) -> Self {
        let mut boundary = self.eroded(pixels);
        for (inner, whole) in boundary.bits.iter_mut().zip(&self.bits) {
            *inner = whole & !*inner;
        }
        boundary
    }

    /// How many pixels of `counted` both masks have, and how many either of them.
    pub(super) fn overlap(&self, other: &Self, counted: &Self) -> (u64, u64) {
        let words = self.bits.iter().zip(&other.bits).zip(&counted.bits);
        words.fold((0, 0), |(both, either), ((one, other), counted)| {
            let ones = |word: u64| u64::from(word.count_ones());
            (both + ones(one & other & counted), either + ones((one | other) & counted))
        })
    }
}

/// Pixels whose neighbours to the left and to the right are set with them.
fn narrowed(row: &[u64]) -> Vec<u64> {
    let at = |number: Option<usize>| number.and_then(|number| row.get(number)).copied().unwrap_or(0);
    let word = |(number, &word): (usize, &u64)| {
        let left = (word << 1) | (at(number.checked_sub(1)) >> (WORD - 1));
        let right = (word >> 1) | (at(Some(number + 1)) << (WORD - 1));
        word & left & right
    };
    row.iter().enumerate().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(height: usize, width: usize, is_set: impl Fn(usize, usize) -> bool) -> Mask {
        let mut mask = Mask::new(height, width);
        mask.fill(|at| is_set(at / width, at % width));
        mask
    }

    #[test]
    fn runs_end_where_words_do_and_where_they_do_not() {
        for width in [1, 2, 63, 64, 65, 127, 128, 129, 200] {
            for (first, last) in [(0, width), (0, 1), (width - 1, width), (width / 3, 2 * width / 3)] {
                let mask = mask(1, width, |_, column| (first..last).contains(&column));
                let mut found = Vec::new();
                Mask::runs(mask.rows().next().unwrap(), |start, end| {
                    found.push((start as usize, end as usize));
                });
                let expected = if first < last { vec![(first, last)] } else { vec![] };
                assert_eq!(found, expected, "{width} wide");
            }
        }
        let every_other = mask(1, 130, |_, column| column % 2 == 0);
        let mut runs = 0;
        Mask::runs(every_other.rows().next().unwrap(), |start, end| {
            assert_eq!((start % 2, end), (0, start + 1));
            runs += 1;
        });
        assert_eq!(runs, 65);
    }

    #[test]
    fn what_is_set_pixel_by_pixel_is_what_is_filled() {
        let filled = mask(5, 70, |row, column| (row * 7 + column * 3) % 5 == 0);
        let mut set = Mask::new(5, 70);
        for (row, column) in (0..5).flat_map(|row| (0..70).map(move |column| (row, column))) {
            if (row * 7 + column * 3) % 5 == 0 {
                set.set(set.bit(row, column));
            }
        }
        assert_eq!(set, filled);
        set.reset(2, 3);
        assert_eq!(set, Mask::new(2, 3));
    }

    #[test]
    fn erosion_takes_a_pixel_from_every_side_and_from_the_edge_of_the_image() {
        for (height, width) in [(9, 150), (1, 64), (3, 65), (2, 2)] {
            let whole = mask(height, width, |_, _| true);
            for times in 0..4_u32 {
                let rim = times as usize;
                let inside = |at: usize, side: usize| at >= rim && at + rim < side;
                let expected =
                    mask(height, width, |row, column| inside(row, height) && inside(column, width));
                assert_eq!(whole.eroded(times), expected, "{height} × {width}, {times} times");
            }
        }
    }
}
