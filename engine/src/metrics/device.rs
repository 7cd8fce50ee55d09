//! Counting on the device while training, without waiting for it.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{ConfusionCounts, MetricsError};

/// What [`DeviceCounts`] sums, in order: hits, alarms (predicted positive), positives, pixels that count.
const SUMS: usize = 4;
/// Fewer pixels than a 32-bit integer holds, which is what some devices sum in.
const READ_AT_PIXELS: usize = 1 << 30;

/// Confusion counts that gather on the device: an update queues a few reductions and reads nothing back.
///
/// Only [`DeviceCounts::take`] waits for the device, and an update that would overflow its integers.
#[derive(Debug)]
pub struct DeviceCounts {
    sums: Tensor<1, Int>,
    pixels: usize,
    read: ConfusionCounts,
}

impl DeviceCounts {
    /// Empty counts on `device`.
    pub fn new(device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        let zeros = TensorData::new(vec![0_i32; SUMS], [SUMS]);
        Self { sums: Tensor::from_data(zeros, &device), pixels: 0, read: ConfusionCounts::default() }
    }

    /// Adds a batch.
    ///
    /// # Shapes
    /// - `logits`: `[batch, height, width]`, before the sigmoid; no gradient flows back
    /// - `target`: `[batch, height, width]`, 0 negative, 1 positive, 2 ignored
    ///
    /// # Errors
    /// [`MetricsError::Unreadable`] if the counts so far had to be read and could not.
    pub fn add(&mut self, logits: Tensor<3>, target: Tensor<3, Int>) -> Result<(), MetricsError> {
        let pixels = logits.dims().iter().product();
        if self.pixels.saturating_add(pixels) > READ_AT_PIXELS {
            self.drain()?;
        }
        let probabilities = burn::tensor::activation::sigmoid(logits.without_autodiff());
        let predicted = probabilities.greater_elem(0.5);
        let target = target.without_autodiff();
        let positive = target.clone().equal_elem(1);
        let counted = target.not_equal_elem(2);
        let sums = [
            predicted.clone().bool_and(positive.clone()),
            predicted.bool_and(counted.clone()),
            positive,
            counted,
        ];
        let sums = sums.into_iter().map(|mask| mask.int().sum()).collect();
        self.sums = self.sums.clone() + Tensor::cat(sums, 0);
        self.pixels += pixels;
        Ok(())
    }

    /// What was counted since the last call; waits for the device.
    ///
    /// # Errors
    /// [`MetricsError::Unreadable`] if the device does not answer.
    pub fn take(&mut self) -> Result<ConfusionCounts, MetricsError> {
        self.drain()?;
        Ok(std::mem::take(&mut self.read))
    }

    fn drain(&mut self) -> Result<(), MetricsError> {
        let sums = self.sums.clone().into_data().convert::<i64>().try_into_vec::<i64>();
        let sums = sums.map_err(|error| MetricsError::Unreadable(format!("{error:?}")))?;
        let [hits, alarms, positives, pixels] = sums[..] else {
            return Err(MetricsError::Unreadable(format!("{} sums instead of {SUMS}", sums.len())));
        };
        self.sums = self.sums.zeros_like();
        self.pixels = 0;
        self.read += ConfusionCounts {
            true_positives: hits.unsigned_abs(),
            false_positives: (alarms - hits).unsigned_abs(),
            false_negatives: (positives - hits).unsigned_abs(),
            true_negatives: (pixels - positives - (alarms - hits)).unsigned_abs(),
        };
        Ok(())
    }
}
