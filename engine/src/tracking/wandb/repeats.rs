//! What many runs tell alike is told a few times.

use std::collections::BTreeMap;

/// So many runs may say the same.
const TOLD_AT_MOST: u32 = 3;
/// Different messages that are remembered; beyond it counting begins anew.
const REMEMBERED: usize = 64;

/// How often each message was told.
#[derive(Debug, Default)]
pub(super) struct Repeats(BTreeMap<String, u32>);

impl Repeats {
    /// The message as it is to be told; `None` if it was told often enough.
    pub(super) fn hear(&mut self, message: String) -> Option<String> {
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&message) {
            self.0.clear();
        }
        let told = self.0.entry(message.clone()).or_default();
        *told = told.saturating_add(1);
        match *told {
            TOLD_AT_MOST => Some(format!("{message} (not repeated for further runs)")),
            told => (told < TOLD_AT_MOST).then_some(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_three_times_and_memory_is_bounded() {
        let mut repeats = Repeats::default();
        let mut told = |message: &str| repeats.hear(message.to_owned());
        assert_eq!(told("a").as_deref(), Some("a"));
        assert_eq!(told("b").as_deref(), Some("b"), "another one");
        assert_eq!(told("a").as_deref(), Some("a"));
        assert_eq!(told("a").as_deref(), Some("a (not repeated for further runs)"));
        assert_eq!(told("a"), None);
        for number in 0..1000 {
            assert!(told(&number.to_string()).is_some());
        }
        assert!(repeats.0.len() <= REMEMBERED);
    }
}
