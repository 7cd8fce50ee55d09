//! Decoders: an encoder's features in, one feature map for the head out.

mod unet;

use burn::module::Module;
use burn::tensor::Tensor;

use super::encoders::Features;
use super::error::ModelError;
use super::names;
use crate::nn::Initializer;

/// One line per architecture: its name as smp spells it, the variant, then `file::Type`. The type brings
/// `new`, `forward` and `HEAD`.
macro_rules! architectures {
    ($($name:literal => $variant:ident($file:ident::$type:ident)),+ $(,)?) => {
        /// The decoder of any architecture.
        #[derive(Module, Debug)]
        pub(super) enum Decoder {
            $(#[doc = $name] $variant($file::$type)),+
        }

        impl Decoder {
            /// Names of all architectures.
            pub(super) const KNOWN: &'static [&'static str] = &[$($name),+];

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
}

/// Input channels and kernel of the segmentation head that ends an architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeadSpec {
    pub(super) in_channels: usize,
    pub(super) kernel: usize,
}

impl Decoder {
    /// The name smp spells `name`, whatever its case.
    pub(super) fn find(name: &str) -> Result<&'static str, ModelError> {
        names::find(name, Self::KNOWN).ok_or_else(|| Self::unknown(name))
    }

    /// Builds the decoder of architecture `name` over features of these channels.
    pub(super) fn build(name: &str, channels: &[usize], init: &mut Initializer) -> Result<Self, ModelError> {
        Self::of_architecture(name, channels, init).ok_or_else(|| Self::unknown(name))
    }

    fn unknown(name: &str) -> ModelError {
        let nearest = names::nearest(name, Self::KNOWN);
        ModelError::UnknownArchitecture { name: name.to_owned(), known: Self::KNOWN.to_vec(), nearest }
    }
}
