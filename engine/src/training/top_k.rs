//! Which checkpoints stay on disk.

use serde::{Deserialize, Serialize};

/// How many of the best checkpoints are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// Every one.
    All,
    /// So many; 0 keeps none.
    Best(u32),
}

impl Kept {
    /// Reads `save-top-k`: -1 keeps all, 0 none.
    ///
    /// `None` for any other negative number.
    pub fn from_save_top_k(save_top_k: i32) -> Option<Self> {
        match save_top_k {
            -1 => Some(Self::All),
            k => u32::try_from(k).ok().map(Self::Best),
        }
    }
}

/// A checkpoint with the value it was ranked by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    /// Folder name within the run's `checkpoints/`.
    pub name: String,
    /// Monitored value; none if it was not finite.
    pub value: Option<f64>,
}

/// The best checkpoints, best first; the higher value wins, the earlier one among equals.
///
/// Asks for nothing on disk itself: [`TopK::would_keep`] says whether a checkpoint is worth writing,
/// [`TopK::insert`] which ones are to be deleted after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopK {
    kept: Kept,
    ranked: Vec<Ranked>,
}

impl TopK {
    /// An empty list.
    pub fn new(kept: Kept) -> Self {
        Self { kept, ranked: Vec::new() }
    }

    /// The same checkpoints under another limit; those beyond it leave with the next insertion.
    pub fn with_kept(self, kept: Kept) -> Self {
        Self { kept, ..self }
    }

    /// Whether a checkpoint of this value would stay.
    pub fn would_keep(&self, value: f64) -> bool {
        match self.kept {
            Kept::All => true,
            Kept::Best(k) => self.place(finite(value)) < k as usize,
        }
    }

    /// Takes a checkpoint in and returns the names that leave.
    #[must_use = "a checkpoint that left the list is to be deleted"]
    pub fn insert(&mut self, name: String, value: f64) -> Vec<String> {
        let value = finite(value);
        self.ranked.insert(self.place(value), Ranked { name, value });
        match self.kept {
            Kept::All => Vec::new(),
            Kept::Best(k) => {
                let keep = self.ranked.len().min(k as usize);
                self.ranked.drain(keep..).map(|ranked| ranked.name).collect()
            }
        }
    }

    /// Drops the entries `is_there` does not know.
    pub fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.ranked.retain(|ranked| is_there(&ranked.name));
    }

    /// The best checkpoint.
    pub fn best(&self) -> Option<&Ranked> {
        self.ranked.first()
    }

    /// All checkpoints, best first.
    pub fn ranked(&self) -> &[Ranked] {
        &self.ranked
    }

    fn place(&self, value: Option<f64>) -> usize {
        // `None < Some(_)`: what is not a number ranks last.
        self.ranked.partition_point(|ranked| ranked.value >= value)
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_stay_and_the_rest_leave() {
        let mut top = TopK::new(Kept::Best(2));
        assert!(top.insert("a".into(), 0.2).is_empty());
        assert!(top.insert("b".into(), 0.1).is_empty());
        assert!(!top.would_keep(0.05));
        assert!(top.would_keep(0.15));
        assert_eq!(top.insert("c".into(), 0.3), ["b"]);
        assert_eq!(top.best().unwrap().name, "c");
        assert_eq!(top.ranked().len(), 2);
    }

    #[test]
    fn the_earlier_of_equals_is_the_better() {
        let mut top = TopK::new(Kept::Best(1));
        assert!(top.insert("first".into(), 0.5).is_empty());
        assert!(!top.would_keep(0.5));
        assert_eq!(top.best().unwrap().name, "first");
    }

    #[test]
    fn what_is_not_finite_ranks_last() {
        let mut top = TopK::new(Kept::Best(1));
        assert!(top.insert("nan".into(), f64::NAN).is_empty());
        assert_eq!(top.insert("zero".into(), 0.0), ["nan"]);
        assert!(!top.would_keep(f64::NAN));
    }

    #[test]
    fn zero_keeps_none_and_minus_one_all() {
        assert_eq!(Kept::from_save_top_k(0), Some(Kept::Best(0)));
        assert!(!TopK::new(Kept::Best(0)).would_keep(1.0));
        let mut all = TopK::new(Kept::from_save_top_k(-1).unwrap());
        for i in 0..20 {
            assert!(all.would_keep(f64::NAN));
            assert!(all.insert(i.to_string(), f64::from(i)).is_empty());
        }
        assert_eq!(all.ranked().len(), 20);
        assert_eq!(Kept::from_save_top_k(-2), None);
    }
}
