//! What a run has come to epoch by epoch, as far as its learning curves show it.

use engine_tracking::Metrics;

use crate::training::checkpoint::EpochRow;

/// Metrics that are shown.
const SHOWN: [&str; 8] = [
    "train/loss",
    "val/loss",
    "train/JaccardIndex",
    "val/JaccardIndex",
    "val/F1Score",
    "val/Precision",
    "val/Recall",
    "val/AveragePrecision",
];
/// Epochs that are kept. Beyond them every second one goes: a picture has no more columns, and each checkpoint holds all.
const MOST_EPOCHS: usize = 2_000;

/// The epochs that are over.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct History(Vec<EpochRow>);

impl History {
    pub(super) fn of(mut rows: Vec<EpochRow>) -> Self {
        rows.truncate(MOST_EPOCHS);
        Self(rows)
    }

    pub(super) fn rows(&self) -> &[EpochRow] {
        &self.0
    }

    /// Adds what was logged of an epoch.
    pub(super) fn push(&mut self, epoch: u32, logged: &Metrics) {
        if self.0.len() >= MOST_EPOCHS {
            let mut at = 0;
            self.0.retain(|_| {
                at += 1;
                at % 2 == 1
            });
        }
        let values = SHOWN.iter().filter_map(|name| logged.get_key_value(*name));
        let values = values.map(|(name, value)| (name.clone(), *value)).collect();
        self.0.push(EpochRow { epoch, values });
    }

    /// A panel of losses and one of shares.
    #[cfg(feature = "plots")]
    pub(super) fn panels(&self) -> Vec<crate::figures::LinePanel> {
        use crate::figures::{Line, LinePanel};
        let line = |name: &str| {
            let known = self.0.iter().filter_map(|row| Some((f64::from(row.epoch), *row.values.get(name)?)));
            let (x, y): (Vec<f64>, Vec<f64>) = known.unzip();
            let name = name.replace("JaccardIndex", "IoU").replace("AveragePrecision", "avg. precision");
            (!x.is_empty()).then_some(Line { name, x, y })
        };
        let panel = |name: &str, names: &[&str], is_share| LinePanel {
            name: name.into(),
            lines: names.iter().filter_map(|name| line(name)).collect(),
            is_share,
        };
        let (losses, shares) = SHOWN.split_at(2);
        vec![panel("loss", losses, false), panel("metrics", shares, true)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_kept_and_of_very_many_epochs_every_second_one() {
        let mut history = History::default();
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
