//! Decoders: an encoder's features in, one feature map for the head out.

mod aspp;
mod blocks;
mod deeplabv3;
mod deeplabv3plus;
mod fpn;
mod linknet;
mod manet;
mod pan;
mod pspnet;
mod segformer;
mod unet;
mod unetplusplus;
mod upernet;

use burn::module::Module;
use burn::tensor::Tensor;

use super::encoders::{FeatureSpec, Features};
use super::error::ModelError;
use super::head::HeadSpec;
use super::input::InputNeeds;
use super::names;
use crate::nn::Initializer;

/// Architectures that join or add the features of every resolution, and so can not do without those of one. smp refuses them
/// encoders that leave one empty, too.
const OF_EVERY_RESOLUTION: [&str; 2] = ["UnetPlusPlus", "Linknet"];

/// One line per architecture: its name as smp spells it, the variant, then `file::Type`. The type brings
/// `FEATURES`, `INPUT`, `HEAD`, `new` and `forward`.
macro_rules! architectures {
    ($($name:literal => $variant:ident($file:ident::$type:ident)),+ $(,)?) => {
        /// The decoder of any architecture.
        #[derive(Module, Debug)]
        #[expect(clippy::large_enum_variant, reason = "one in a model")]
        pub(super) enum Decoder {
            $(#[doc = $name] $variant($file::$type)),+
        }

        impl Decoder {
            /// Names of all architectures.
            pub(super) const KNOWN: &'static [&'static str] = &[$($name),+];

            /// What an architecture takes of its encoder, by its name as smp spells it.
            pub(super) fn features(name: &str) -> Result<FeatureSpec, ModelError> {
                match name {
                    $($name => Ok($file::$type::FEATURES),)+
                    _ => Err(Self::unknown(name)),
                }
            }

            /// What an architecture needs of its input, by its name as smp spells it.
            pub(super) fn input(name: &str) -> Result<InputNeeds, ModelError> {
                match name {
                    $($name => Ok($file::$type::INPUT),)+
                    _ => Err(Self::unknown(name)),
                }
            }

            fn of_architecture(name: &str, channels: &[usize], init: &mut Initializer) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant($file::$type::new(channels, init))),)+
                    _ => None,
                }
            }

            /// Takes what the encoder yields.
            pub(super) fn forward(&self, features: Features) -> Tensor<4> {
                match self {
                    $(Self::$variant(decoder) => decoder.forward(features)),+
                }
            }

            /// How the head that follows is made.
            pub(super) fn head(&self) -> HeadSpec {
                match self {
                    $(Self::$variant(_) => $file::$type::HEAD),+
                }
            }
        }
    };
}

architectures! {
    "Unet" => Unet(unet::UnetDecoder),
    "UnetPlusPlus" => UnetPlusPlus(unetplusplus::UnetPlusPlusDecoder),
    "MAnet" => MAnet(manet::MAnetDecoder),
    "Linknet" => Linknet(linknet::LinknetDecoder),
    "FPN" => Fpn(fpn::FpnDecoder),
    "PSPNet" => PspNet(pspnet::PspDecoder),
    "PAN" => Pan(pan::PanDecoder),
    "DeepLabV3" => DeepLabV3(deeplabv3::DeepLabV3Decoder),
    "DeepLabV3Plus" => DeepLabV3Plus(deeplabv3plus::DeepLabV3PlusDecoder),
    "Segformer" => Segformer(segformer::SegformerDecoder),
    "UPerNet" => UPerNet(upernet::UPerNetDecoder),
}

impl Decoder {
    /// The name smp spells `name`, whatever its case.
    pub(super) fn find(name: &str) -> Result<&'static str, ModelError> {
        names::find(name, Self::KNOWN).ok_or_else(|| Self::unknown(name))
    }

    /// Builds the decoder of architecture `name` over features of these channels.
    pub(super) fn build(name: &str, channels: &[usize], init: &mut Initializer) -> Result<Self, ModelError> {
        let refuses = OF_EVERY_RESOLUTION.into_iter().find(|refuses| *refuses == name);
        if let (Some(arch), Some(place)) = (refuses, channels.iter().position(|channels| *channels == 0)) {
            return Err(ModelError::EmptyFeatures { arch, reduction: 1 << place });
        }
        Self::of_architecture(name, channels, init).ok_or_else(|| Self::unknown(name))
    }

    fn unknown(name: &str) -> ModelError {
        let nearest = names::nearest(name, Self::KNOWN);
        ModelError::UnknownArchitecture { name: name.to_owned(), known: Self::KNOWN.to_vec(), nearest }
    }
}

#[cfg(test)]
mod tests;
