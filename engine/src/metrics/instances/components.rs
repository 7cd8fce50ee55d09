//! The connected parts of a mask, found by runs of pixels rather than by pixels.

use super::mask::Mask;

/// Set pixels side by side in a row.
#[derive(Debug, Clone, Copy)]
struct Run {
    row: u32,
    start: u32,
    /// The first column after it.
    end: u32,
}

/// The parts of a mask that hang together over sides and corners, in the order of their first pixels.
#[derive(Debug, Default)]
pub(super) struct Components {
    runs: Vec<Run>,
    /// While parts are joined: an earlier run of the same part, or itself. Then the number of its part.
    part_of: Vec<u32>,
    areas: Vec<u32>,
}

/// Pixels that a part of one mask and a part of another have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Overlap {
    pub(super) one: u32,
    pub(super) other: u32,
    pub(super) pixels: u32,
}

impl Components {
    /// Pixels of each part.
    pub(super) fn areas(&self) -> &[u32] {
        &self.areas
    }

    /// Finds the parts of a mask, in the memory it has.
    pub(super) fn find(&mut self, mask: &Mask) {
        self.runs.clear();
        self.part_of.clear();
        let (mut above, mut below) = (0, 0);
        for (row, bits) in (0..).zip(mask.rows()) {
            Mask::runs(bits, |start, end| {
                self.part_of.push(self.runs.len() as u32);
                self.runs.push(Run { row, start, end });
            });
            self.join(above, below);
            (above, below) = (below, self.runs.len());
        }
        self.number();
    }

    /// Joins the runs from `below` on with those of the row before, from `above` on.
    fn join(&mut self, above: usize, below: usize) {
        let mut upper = above;
        for lower in below..self.runs.len() {
            let Run { start, end, .. } = self.runs[lower];
            // One that ends before this run begins ends before all that follow.
            while upper < below && self.runs[upper].end < start {
                upper += 1;
            }
            let mut touching = upper;
            while touching < below && self.runs[touching].start <= end {
                let (one, other) = (self.root(touching as u32), self.root(lower as u32));
                // The earlier one stays: a part is numbered by its first run.
                self.part_of[one.max(other) as usize] = one.min(other);
                touching += 1;
            }
        }
    }

    fn root(&mut self, run: u32) -> u32 {
        let mut at = run;
        while self.part_of[at as usize] != at {
            let next = self.part_of[at as usize];
            // Halves the way for whoever comes next.
            self.part_of[at as usize] = self.part_of[next as usize];
            at = self.part_of[at as usize];
        }
        at
    }

    /// Gives the parts numbers and counts their pixels.
    fn number(&mut self) {
        self.areas.clear();
        for (at, run) in self.runs.iter().enumerate() {
            let earlier = self.part_of[at] as usize;
            let part = if earlier == at { self.areas.len() as u32 } else { self.part_of[earlier] };
            self.part_of[at] = part;
            if part as usize == self.areas.len() {
                self.areas.push(0);
            }
            self.areas[part as usize] += run.end - run.start;
        }
    }

    /// The pixels that parts of this mask and of another of the same size have in common, by pair.
    pub(super) fn overlaps(&self, other: &Self, found: &mut Vec<Overlap>) {
        found.clear();
        let mut first = 0;
        for (run, &one) in self.runs.iter().zip(&self.part_of) {
            let is_before = |their: &Run| (their.row, their.end) <= (run.row, run.start);
            while other.runs.get(first).is_some_and(is_before) {
                first += 1;
            }
            let theirs = other.runs[first..].iter().zip(&other.part_of[first..]);
            for (their, &other) in
                theirs.take_while(|(their, _)| their.row == run.row && their.start < run.end)
            {
                let pixels = run.end.min(their.end) - run.start.max(their.start);
                found.push(Overlap { one, other, pixels });
            }
        }
        found.sort_unstable();
        found.dedup_by(|next, kept| {
            let is_same = (next.one, next.other) == (kept.one, kept.other);
            kept.pixels += if is_same { next.pixels } else { 0 };
            is_same
        });
    }
}
