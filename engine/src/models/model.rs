//! A whole model: encoder, decoder, head.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::decoders::Decoder;
use super::encoders::Encoder;
use super::error::ModelError;
use super::head::SegmentationHead;
use crate::nn::Initializer;

/// One class against the rest.
const CLASSES: usize = 1;

/// A binary segmentation model, function for function the one smp 0.6 builds from the same names.
///
/// It trains where its device has autodiff, and evaluates after `Module::valid`. Clones share the running
/// statistics of their normalisations; `valid` copies them.
#[derive(Module, Debug)]
pub struct SegmentationModel {
    encoder: Encoder,
    decoder: Decoder,
    segmentation_head: SegmentationHead,
}

impl SegmentationModel {
    /// Builds `arch` over `encoder` with fresh weights drawn from `seed`; names are matched without regard
    /// to case.
    ///
    /// The same arguments give the same weights on every backend. For training, give a device with
    /// autodiff.
    ///
    /// # Errors
    /// [`ModelError`] for an unknown name, or no input channel.
    pub fn build(
        arch: &str,
        encoder: &str,
        in_channels: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        if in_channels == 0 {
            return Err(ModelError::NoInputChannels);
        }
        let arch = Decoder::find(arch)?;
        let mut init = Initializer::new(seed, device);
        let encoder = Encoder::build(encoder, in_channels, &mut init)?;
        let decoder = Decoder::build(arch, encoder.out_channels(), &mut init)?;
        let segmentation_head = SegmentationHead::new(decoder.head(), CLASSES, &mut init);
        Ok(Self { encoder, decoder, segmentation_head })
    }

    /// Whether [`SegmentationModel::build`] knows both names, without building anything.
    ///
    /// # Errors
    /// [`ModelError`] for an unknown name.
    pub fn check_names(arch: &str, encoder: &str) -> Result<(), ModelError> {
        Decoder::find(arch)?;
        Encoder::find(encoder).map(drop)
    }

    /// Names of the architectures that can be built.
    pub fn architectures() -> Vec<&'static str> {
        Decoder::KNOWN.to_vec()
    }

    /// Names of the encoders that can be built.
    pub fn encoders() -> Vec<&'static str> {
        Encoder::known()
    }

    /// # Shapes
    /// - `x`: `[batch, in_channels, height, width]`
    /// - returns logits `[batch, 1, height, width]`, before the sigmoid
    ///
    /// Height and width are free, as in smp's Unet; multiples of 32 waste nothing.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.segmentation_head.forward(self.decoder.forward(self.encoder.forward(x)))
    }
}
