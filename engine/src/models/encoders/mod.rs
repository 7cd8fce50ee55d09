//! Encoders: an image in, features of falling resolution out.

mod convnext;
mod dpn;
mod efficientnet;
mod empty;
mod limits;
mod maxvit;
mod mit;
mod mobilenet;
mod resnet;
mod senet;
#[cfg(test)]
mod tests;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::error::ModelError;
use super::names;
use crate::nn::Initializer;

/// One line per family: the variant, then `file::Type`. The type brings `NAMES`, `new`, `forward` and
/// `out_channels`.
macro_rules! encoder_families {
    ($($family:ident($file:ident::$type:ident)),+ $(,)?) => {
        /// An encoder of any family.
        #[derive(Module, Debug)]
        #[expect(clippy::large_enum_variant, reason = "a model has one of them")]
        pub(super) enum Encoder {
            $(#[doc = stringify!($type)] $family($file::$type)),+
        }

        impl Encoder {
            /// Names of all encoders.
            pub(super) fn known() -> Vec<&'static str> {
                [$($file::$type::NAMES),+].concat()
            }

            fn of_family(name: &str, spec: EncoderSpec, init: &mut Initializer) -> Option<Self> {
                $(if $file::$type::NAMES.contains(&name) {
                    return $file::$type::new(name, spec, init).map(Self::$family);
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
    SeNet(senet::SeNet),
    MobileNetV2(mobilenet::MobileNetV2),
    EfficientNet(efficientnet::EfficientNet),
    Dpn(dpn::Dpn),
    MixVisionTransformer(mit::MixVisionTransformer),
    ConvNext(convnext::ConvNext),
    MaxVit(maxvit::MaxVit),
}

/// What an encoder is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EncoderSpec {
    /// Channels of the image.
    pub(super) in_channels: usize,
    /// What the architecture wants of its features.
    pub(super) wanted: FeatureSpec,
}

/// Which features an architecture takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FeatureSpec {
    /// Feature maps behind the image, 5 at most. Stages beyond stay in the state dict and are not computed.
    pub(super) depth: usize,
    /// The image's size by that of the deepest feature map: 32, or less where strides become dilations.
    pub(super) output_stride: usize,
}

impl FeatureSpec {
    /// All an encoder has.
    pub(super) const WHOLE: Self = Self { depth: 5, output_stride: 32 };

    /// How a stage walks that brings the image's size by its own to `stride`.
    const fn walk(self, stride: usize) -> Walk {
        if stride > self.output_stride {
            Walk { stride: 1, dilation: stride / self.output_stride }
        } else {
            Walk { stride: 2, dilation: 1 }
        }
    }

    /// Channels of the features that are computed, of those there could be.
    fn computed(self, channels: &[usize]) -> Vec<usize> {
        channels.iter().copied().take(self.depth + 1).collect()
    }
}

/// How the convolutions of a stage walk: the first with the stride, all of its kernels larger than 1 with the dilation.
///
/// # Sources
/// smp 0.6, `encoders._utils.replace_strides_with_dilation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Walk {
    stride: usize,
    dilation: usize,
}

/// What an encoder sees at each resolution; each feature map has half the size of the one before, but where strides became
/// dilations.
#[derive(Debug)]
pub(super) struct Features {
    /// The image itself first.
    pub(super) shallow: Vec<Tensor<4>>,
    /// The smallest and last.
    pub(super) deepest: Tensor<4>,
}

impl Features {
    /// Those of depth 0.
    fn of_image(image: Tensor<4>) -> Self {
        Self { shallow: Vec::new(), deepest: image }
    }

    /// One deeper.
    fn then(mut self, deeper: Tensor<4>) -> Self {
        self.shallow.push(std::mem::replace(&mut self.deepest, deeper));
        self
    }
}

impl Encoder {
    /// The known spelling of `name`, whatever its case.
    pub(super) fn find(name: &str) -> Result<&'static str, ModelError> {
        names::find(name, &Self::known()).ok_or_else(|| Self::unknown(name))
    }

    /// Builds the encoder called `name` with fresh weights.
    pub(super) fn build(name: &str, spec: EncoderSpec, init: &mut Initializer) -> Result<Self, ModelError> {
        Self::check_stride(Self::find(name)?, spec)?;
        Self::of_family(Self::find(name)?, spec, init).ok_or_else(|| Self::unknown(name))
    }

    /// Every encoder without its values, and its name.
    pub(super) fn outlines(spec: EncoderSpec, device: &Device) -> impl Iterator<Item = (&'static str, Self)> {
        Self::known().into_iter().filter_map(move |name| {
            Self::of_family(name, spec, &mut Initializer::outline(device)).map(|encoder| (name, encoder))
        })
    }

    fn unknown(name: &str) -> ModelError {
        let known = Self::known();
        let nearest = names::nearest(name, &known);
        ModelError::UnknownEncoder { name: name.to_owned(), known, nearest }
    }
}
