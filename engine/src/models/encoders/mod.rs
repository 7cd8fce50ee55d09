//! Encoders: an image in, features of falling resolution out.

mod resnet;

use burn::module::Module;
use burn::tensor::Tensor;

use super::error::ModelError;
use super::names;
use crate::nn::Initializer;

/// One line per family: the variant, then `file::Type`. The type brings `NAMES`, `new`, `forward` and
/// `out_channels`.
macro_rules! encoder_families {
    ($($family:ident($file:ident::$type:ident)),+ $(,)?) => {
        /// An encoder of any family.
        #[derive(Module, Debug)]
        pub(super) enum Encoder {
            $(#[doc = stringify!($type)] $family($file::$type)),+
        }

        impl Encoder {
            /// Names of all encoders.
            pub(super) fn known() -> Vec<&'static str> {
                [$($file::$type::NAMES),+].concat()
            }

            fn of_family(name: &str, in_channels: usize, init: &mut Initializer) -> Option<Self> {
                $(if $file::$type::NAMES.contains(&name) {
                    return $file::$type::new(name, in_channels, init).map(Self::$family);
                })+
                None
            }

            /// The features of an image `[batch, channels, height, width]`.
            pub(super) fn forward(&self, x: Tensor<4>) -> Features {
                match self {
                    $(Self::$family(encoder) => encoder.forward(x)),+
                }
            }

            /// Channels of what [`Encoder::forward`] yields, from the image to the deepest.
            pub(super) fn out_channels(&self) -> &[usize] {
                match self {
                    $(Self::$family(encoder) => encoder.out_channels()),+
                }
            }
        }
    };
}

encoder_families! {
    ResNet(resnet::ResNet),
}

/// What an encoder sees at each resolution; each feature map has half the size of the one before.
#[derive(Debug)]
pub(super) struct Features {
    /// The image itself first.
    pub(super) shallow: Vec<Tensor<4>>,
    /// The smallest and last.
    pub(super) deepest: Tensor<4>,
}

impl Encoder {
    /// The known spelling of `name`, whatever its case.
    pub(super) fn find(name: &str) -> Result<&'static str, ModelError> {
        names::find(name, &Self::known()).ok_or_else(|| Self::unknown(name))
    }

    /// Builds the encoder called `name` with fresh weights.
    pub(super) fn build(name: &str, in_channels: usize, init: &mut Initializer) -> Result<Self, ModelError> {
        Self::of_family(Self::find(name)?, in_channels, init).ok_or_else(|| Self::unknown(name))
    }

    fn unknown(name: &str) -> ModelError {
        let known = Self::known();
        let nearest = names::nearest(name, &known);
        ModelError::UnknownEncoder { name: name.to_owned(), known, nearest }
    }
}
