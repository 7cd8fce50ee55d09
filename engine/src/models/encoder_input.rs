//! What an encoder needs of its images, beyond what its architecture does.

use super::decoders::Decoder;
use super::encoders::Encoder;
use super::error::ModelError;
use super::model::SegmentationModel;

impl SegmentationModel {
    /// Whether `encoder` takes images of `[height, width]` where `arch` uses it: ask before [`SegmentationModel::forward`] is
    /// given any. Encoders of fixed windows take multiples of them.
    ///
    /// # Errors
    /// [`ModelError::EncoderImageSize`] if not; [`ModelError`] for an unknown name.
    pub fn check_encoder_image(arch: &str, encoder: &str, size: [usize; 2]) -> Result<(), ModelError> {
        let wanted = Decoder::features(Decoder::find(arch)?)?;
        Encoder::check_image(Encoder::find(encoder)?, wanted.depth, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{BackendName, ComputeDevice};

    #[test]
    fn an_encoder_of_windows_takes_multiples_of_them() {
        let check = |encoder, size| SegmentationModel::check_encoder_image("UPerNet", encoder, size);
        check("TU-maxvit_tiny_rw_224", [224, 448]).unwrap();
        check("mit_b0", [7, 9]).unwrap();
        let error = check("tu-maxvit_tiny_rw_224", [256, 224]).unwrap_err().to_string();
        for part in ["tu-maxvit_tiny_rw_224", "multiples of 224", "not 256 x 224", "448 x 224"] {
            assert!(error.contains(part), "{error}");
        }
        check("tu-maxvit_tiny_rw_224", [0, 224]).unwrap_err();
    }

    #[test]
    fn an_encoder_of_windows_refuses_dilations() {
        let device = BackendName::best(ComputeDevice::Cpu).unwrap().device(ComputeDevice::Cpu).unwrap();
        let built = SegmentationModel::build("DeepLabV3", "tu-maxvit_tiny_rw_224", 3, 1, &device);
        let error = built.unwrap_err().to_string();
        assert!(error.contains("1/8 of the image's size") && error.contains("UPerNet"), "{error}");
    }
}
