//! A learning rate that falls by a factor an epoch.

use serde::{Deserialize, Serialize};

/// Multiplies the learning rate by a factor at the end of every epoch.
///
/// # Sources
/// PyTorch, `torch.optim.lr_scheduler.ExponentialLR`, stepped once an epoch: the rate is carried along
/// and multiplied, not recomputed as a power, so that it is the same number to the last bit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ExponentialLr {
    initial: f64,
    gamma: f64,
    epochs: u32,
    current: f64,
}

impl ExponentialLr {
    /// A schedule that begins at `initial` and multiplies by `gamma` an epoch.
    pub fn new(initial: f64, gamma: f64) -> Self {
        Self { initial, gamma, epochs: 0, current: initial }
    }

    /// Learning rate of the epoch under way.
    pub fn learning_rate(&self) -> f64 {
        self.current
    }

    /// Learning rate of the first epoch.
    pub fn initial(&self) -> f64 {
        self.initial
    }

    /// Factor per epoch.
    pub fn gamma(&self) -> f64 {
        self.gamma
    }

    /// Ends an epoch.
    pub fn step(&mut self) {
        self.epochs = self.epochs.saturating_add(1);
        self.current *= self.gamma;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_by_gamma_an_epoch() {
        let mut schedule = ExponentialLr::new(1e-3, 0.9);
        assert_eq!(schedule.learning_rate().to_bits(), 1e-3_f64.to_bits());
        schedule.step();
        assert_eq!(schedule.learning_rate().to_bits(), (1e-3_f64 * 0.9).to_bits());
        schedule.step();
        assert_eq!(schedule.learning_rate().to_bits(), (1e-3_f64 * 0.9 * 0.9).to_bits());
    }

    #[test]
    fn a_schedule_survives_its_text_form_to_the_last_bit() {
        let mut schedule = ExponentialLr::new(0.1 + 0.2, 0.97);
        (0..17).for_each(|_| schedule.step());
        let text = serde_json::to_string(&schedule).unwrap();
        let read: ExponentialLr = serde_json::from_str(&text).unwrap();
        assert_eq!(read, schedule);
    }
}
