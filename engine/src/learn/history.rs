//! What a run has come to epoch by epoch, as far as its learning curves show it.

use engine_tracking::Metrics;

use crate::training::checkpoint::EpochRow;

/// Epochs that are kept. Beyond them every second one goes: a picture has no more columns, and each checkpoint holds all.
const MOST_EPOCHS: usize = 2_000;

/// The epochs that are over.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct History {
    /// Metrics that are kept of each.
    shown: &'static [&'static str],
    rows: Vec<EpochRow>,
}

impl History {
    /// The epochs so far, of which these metrics are shown.
    pub(crate) fn of(shown: &'static [&'static str], mut rows: Vec<EpochRow>) -> Self {
        rows.truncate(MOST_EPOCHS);
        Self { shown, rows }
    }

    pub(crate) fn rows(&self) -> &[EpochRow] {
        &self.rows
    }

    /// Adds what was logged of an epoch.
    pub(super) fn push(&mut self, epoch: u32, logged: &Metrics) {
        if self.shown.is_empty() {
            return;
        }
        if self.rows.len() >= MOST_EPOCHS {
            let mut at = 0;
            self.rows.retain(|_| {
                at += 1;
                at % 2 == 1
            });
        }
        let values = self.shown.iter().filter_map(|name| logged.get_key_value(*name));
        let values = values.map(|(name, value)| (name.clone(), *value)).collect();
        self.rows.push(EpochRow { epoch, values });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_kept_and_of_very_many_epochs_every_second_one() {
        let mut history = History::of(&["train/loss", "val/JaccardIndex"], Vec::new());
        let logged: Metrics = [("train/loss", 0.5), ("learning_rate", 1.0), ("val/JaccardIndex", f64::NAN)]
            .map(|(name, value)| (name.to_owned(), value))
            .into();
        for epoch in 0..MOST_EPOCHS as u32 + 1 {
            history.push(epoch, &logged);
        }
        let rows = history.rows();
        assert_eq!(rows.len(), MOST_EPOCHS / 2 + 1);
        assert_eq!((rows[0].epoch, rows[1].epoch, rows[MOST_EPOCHS / 2].epoch), (0, 2, MOST_EPOCHS as u32));
        assert_eq!(rows[0].values.keys().collect::<Vec<_>>(), ["train/loss", "val/JaccardIndex"]);
    }
}
