//! What can be built: every architecture and encoder, with what there is to know before one is chosen.

use burn::tensor::Device;
use serde::Serialize;

use super::decoders::Decoder;
use super::encoders::{Encoder, EncoderSpec, FeatureSpec};
use super::error::ModelError;
use super::input::InputNeeds;
use super::state_dict::{count_trained, infos};

/// Every architecture and every encoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Catalogue {
    /// Bands of the images that encoders are counted for.
    pub bands: usize,
    /// In the order of their table.
    pub architectures: Vec<ArchitectureInfo>,
    /// In the order of their table.
    pub encoders: Vec<EncoderInfo>,
}

/// What an architecture takes of its encoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ArchitectureInfo {
    /// Its name as smp spells it.
    pub name: &'static str,
    /// How many of the encoder's feature maps it takes.
    pub features: usize,
    /// The image's size by that of the deepest.
    pub output_stride: usize,
    /// What it needs of images and batches.
    #[serde(flatten)]
    pub input: InputNeeds,
}

/// What an encoder is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EncoderInfo {
    /// Its name as smp spells it.
    pub name: &'static str,
    /// Trained values, those of the layers included that smp keeps and does not compute.
    pub parameters: usize,
    /// Channels of its feature maps, from the largest to the deepest.
    pub channels: Vec<usize>,
}

impl Catalogue {
    /// Counts by building everything without values, for images of so many bands; `device` can be any.
    ///
    /// # Errors
    /// [`ModelError::NoInputChannels`] if there is no band.
    pub fn of_bands(bands: usize, device: &Device) -> Result<Self, ModelError> {
        if bands == 0 {
            return Err(ModelError::NoInputChannels);
        }
        let architectures = Decoder::KNOWN.iter().map(|name| architecture(name)).collect::<Result<_, _>>()?;
        let spec = EncoderSpec { in_channels: bands, wanted: FeatureSpec::WHOLE };
        let encoders = Encoder::outlines(spec, device).map(|(name, encoder)| EncoderInfo {
            name,
            parameters: count_trained(&infos(&encoder)),
            channels: encoder.out_channels().iter().skip(1).copied().collect(),
        });
        Ok(Self { bands, architectures, encoders: encoders.collect() })
    }
}

fn architecture(name: &'static str) -> Result<ArchitectureInfo, ModelError> {
    let FeatureSpec { depth, output_stride } = Decoder::features(name)?;
    // Features that are not taken do not shrink it.
    let (output_stride, input) = (output_stride.min(1 << depth), Decoder::input(name)?);
    Ok(ArchitectureInfo { name, features: depth, output_stride, input })
}
