//! Names of architectures and encoders: matched without regard to case, with a hint when they are not.

use super::decoders::Decoder;
use super::encoders::Encoder;
use super::{ModelError, SegmentationModel};

/// The known name equal to `name` but for case.
pub(super) fn find(name: &str, known: &[&'static str]) -> Option<&'static str> {
    known.iter().copied().find(|candidate| candidate.eq_ignore_ascii_case(name))
}

/// The known name nearest to `name`.
pub(super) fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    engine_devices::suggest::nearest(name, known.iter().copied())
}

impl SegmentationModel {
    /// Architecture and encoder as smp spells them, whatever their case.
    ///
    /// # Errors
    /// [`ModelError`] for an unknown name.
    pub fn spelled(arch: &str, encoder: &str) -> Result<(&'static str, &'static str), ModelError> {
        Ok((Decoder::find(arch)?, Encoder::find(encoder)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_corrected_and_a_stranger_is_not() {
        let known = ["resnet18", "resnet34", "resnet50"];
        assert_eq!(find("ResNet34", &known), Some("resnet34"));
        assert_eq!(nearest("resnet-50", &known), Some("resnet50"));
        assert_eq!(nearest("convnextv2", &known), None);
    }
}
