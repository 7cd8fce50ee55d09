//! A whole model: encoder, decoder, head.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::decoders::Decoder;
use super::encoders::{Encoder, EncoderSpec};
use super::error::ModelError;
use super::head::SegmentationHead;
use super::input::InputNeeds;
use crate::nn::{Initializer, Noise, TrainingPass};

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
    #[module(skip)]
    noise: Noise,
}

impl SegmentationModel {
    /// Builds `arch` over `encoder` with fresh weights drawn from `seed`; names are matched without regard
    /// to case.
    ///
    /// The same arguments give the same weights on every backend. For training, give a device with
    /// autodiff.
    ///
    /// # Errors
    /// [`ModelError`] for an unknown name, no input channel, or names that do not go together.
    pub fn build(
        arch: &str,
        encoder: &str,
        in_channels: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Self::made_by(arch, encoder, in_channels, Initializer::new(seed, device))
    }

    /// The tensors a model would have, without drawing them or taking memory for them.
    ///
    /// # Errors
    /// As for [`SegmentationModel::build`].
    pub fn outline(
        arch: &str,
        encoder: &str,
        in_channels: usize,
        device: &Device,
    ) -> Result<Vec<super::ParameterInfo>, ModelError> {
        let model = Self::made_by(arch, encoder, in_channels, Initializer::outline(device))?;
        Ok(model.parameter_infos())
    }

    fn made_by(
        arch: &str,
        encoder: &str,
        in_channels: usize,
        mut init: Initializer,
    ) -> Result<Self, ModelError> {
        if in_channels == 0 {
            return Err(ModelError::NoInputChannels);
        }
        let arch = Decoder::find(arch)?;
        let wanted = Decoder::features(arch)?;
        let encoder = Encoder::build(encoder, EncoderSpec { in_channels, wanted }, &mut init)?;
        let decoder = Decoder::build(arch, encoder.out_channels(), &mut init)?;
        let segmentation_head = SegmentationHead::new(decoder.head(), CLASSES, &mut init);
        Ok(Self { encoder, decoder, segmentation_head, noise: init.noise() })
    }

    /// Whether [`SegmentationModel::build`] knows both names, without building anything.
    ///
    /// # Errors
    /// [`ModelError`] for an unknown name.
    pub fn check_names(arch: &str, encoder: &str) -> Result<(), ModelError> {
        Decoder::find(arch)?;
        Encoder::find(encoder).map(drop)
    }

    /// What `arch` needs of images and batches.
    ///
    /// # Errors
    /// [`ModelError`] for an unknown name.
    pub fn input_needs(arch: &str) -> Result<InputNeeds, ModelError> {
        Decoder::input(Decoder::find(arch)?)
    }

    /// Whether `arch` takes images of `[height, width]`: ask before [`SegmentationModel::forward`] is given any.
    ///
    /// # Errors
    /// [`ModelError::ImageSize`] if not; [`ModelError`] for an unknown name.
    pub fn check_image(arch: &str, size: [usize; 2]) -> Result<(), ModelError> {
        let arch = Decoder::find(arch)?;
        Decoder::input(arch)?.check_image(arch, size)
    }

    /// Whether `arch` can be trained by batches of so many images on each device.
    ///
    /// # Errors
    /// [`ModelError::BatchSize`] if not; [`ModelError`] for an unknown name.
    pub fn check_batch(arch: &str, batch_size: usize) -> Result<(), ModelError> {
        let arch = Decoder::find(arch)?;
        Decoder::input(arch)?.check_batch(arch, batch_size)
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
    /// Which heights and widths an architecture takes, [`SegmentationModel::check_image`] says; of others, layers refuse to be
    /// joined, and panic. Unet takes all; multiples of 32 waste nothing.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.segmentation_head.forward(self.decoder.forward(self.encoder.forward(x)))
    }

    /// The next forward pass is this one of a training: what its layers draw at random, such as what a dropout drops, follows
    /// from it alone.
    pub fn begin_pass(&self, pass: TrainingPass) {
        self.noise.begin(pass);
    }
}
