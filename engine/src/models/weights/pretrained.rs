//! Published weights: what they are called, and where they can be had.
//!
//! Nothing is fetched. `model-encoder-weights = imagenet` looks into a folder for the file names listed here.

use std::path::{Path, PathBuf};

/// The published ImageNet weights of an encoder: those that smp takes.
///
/// # Sources
/// segmentation_models_pytorch 0.6, `pretrained_settings` of each encoder, and its legacy table of addresses; timm 1.0,
/// the first pretrained configuration of each network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pretrained {
    /// The encoder.
    pub encoder: &'static str,
    /// Model of Hugging Face's hub whose `model.safetensors` it is.
    pub repository: &'static str,
    /// Files of the same network under the names they were first published by; their tensors have the same names.
    pub originals: &'static [&'static str],
}

const fn of(
    encoder: &'static str,
    repository: &'static str,
    originals: &'static [&'static str],
) -> Pretrained {
    Pretrained { encoder, repository, originals }
}

/// Every encoder with published ImageNet weights.
pub const PRETRAINED: &[Pretrained] = &[
    of("resnet18", "smp-hub/resnet18.imagenet", &["resnet18-f37072fd.pth", "resnet18-5c106cde.pth"]),
    of("resnet34", "smp-hub/resnet34.imagenet", &["resnet34-b627a593.pth", "resnet34-333f7ec4.pth"]),
    of("resnet50", "smp-hub/resnet50.imagenet", &["resnet50-0676ba61.pth", "resnet50-19c8e357.pth"]),
    of("resnet101", "smp-hub/resnet101.imagenet", &["resnet101-63fe2227.pth", "resnet101-5d3b4d8f.pth"]),
    of("resnet152", "smp-hub/resnet152.imagenet", &["resnet152-394f9c45.pth", "resnet152-b121ed2d.pth"]),
    of("resnext50_32x4d", "smp-hub/resnext50_32x4d.imagenet", &["resnext50_32x4d-7cdf4587.pth"]),
    of("resnext101_32x8d", "smp-hub/resnext101_32x8d.imagenet", &["resnext101_32x8d-8ba56ff5.pth"]),
    of("se_resnet50", "smp-hub/se_resnet50.imagenet", &["se_resnet50-ce0d4300.pth"]),
    of("mobilenet_v2", "smp-hub/mobilenet_v2.imagenet", &["mobilenet_v2-b0353104.pth"]),
    of("efficientnet-b0", "smp-hub/efficientnet-b0.imagenet", &["efficientnet-b0-355c32eb.pth"]),
    of("efficientnet-b1", "smp-hub/efficientnet-b1.imagenet", &["efficientnet-b1-f1951068.pth"]),
    of("efficientnet-b2", "smp-hub/efficientnet-b2.imagenet", &["efficientnet-b2-8bb594d6.pth"]),
    of("efficientnet-b3", "smp-hub/efficientnet-b3.imagenet", &["efficientnet-b3-5fb5a3c3.pth"]),
    of("efficientnet-b4", "smp-hub/efficientnet-b4.imagenet", &["efficientnet-b4-6ed6700e.pth"]),
    of("mit_b0", "smp-hub/mit_b0.imagenet", &[]),
    of("mit_b1", "smp-hub/mit_b1.imagenet", &[]),
    of("mit_b2", "smp-hub/mit_b2.imagenet", &[]),
    of("mit_b3", "smp-hub/mit_b3.imagenet", &[]),
    of("mit_b4", "smp-hub/mit_b4.imagenet", &[]),
    of("mit_b5", "smp-hub/mit_b5.imagenet", &[]),
    of("dpn68", "smp-hub/dpn68.imagenet", &["dpn68-4af7d88d2.pth"]),
    of("dpn107", "smp-hub/dpn107.imagenet-5k", &["dpn107_extra-b7f9f4cc9.pth"]),
    of("tu-convnextv2_tiny", "timm/convnextv2_tiny.fcmae_ft_in22k_in1k", &[]),
    of("tu-maxvit_tiny_rw_224", "timm/maxvit_tiny_rw_224.sw_in1k", &[]),
];

impl Pretrained {
    /// The published weights of an encoder, whatever the case of its name.
    pub fn of(encoder: &str) -> Option<&'static Self> {
        PRETRAINED.iter().find(|known| known.encoder.eq_ignore_ascii_case(encoder))
    }

    /// The names by which a folder may have them, in the order they are looked for: `resnet18.safetensors`; the repository as it is
    /// cloned or downloaded, `resnet18.imagenet/model.safetensors`; the originals.
    pub fn files(&self) -> Vec<PathBuf> {
        let cloned = self.repository.rsplit('/').next().unwrap_or(self.repository);
        let own = [format!("{}.safetensors", self.encoder), format!("{}.pth", self.encoder)];
        let cloned = Path::new(cloned).join("model.safetensors");
        let originals = self.originals.iter().map(PathBuf::from);
        own.into_iter().map(PathBuf::from).chain([cloned]).chain(originals).collect()
    }

    /// Where a folder has them, if it does.
    pub fn find_in(&self, folder: &Path) -> Option<PathBuf> {
        self.files().into_iter().map(|file| folder.join(file)).find(|file| file.is_file())
    }

    /// The address of the file.
    pub fn address(&self) -> String {
        format!("https://huggingface.co/{}/resolve/main/model.safetensors", self.repository)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::SegmentationModel;

    #[test]
    fn every_encoder_has_its_published_weights() {
        for encoder in SegmentationModel::encoders() {
            assert!(Pretrained::of(encoder).is_some(), "{encoder}");
        }
        assert_eq!(Pretrained::of("ResNet18").unwrap().encoder, "resnet18");
    }

    #[test]
    fn a_folder_is_searched_for_each_name_in_turn() {
        let folder = tempfile::tempdir().unwrap();
        let resnet = Pretrained::of("resnet18").unwrap();
        assert_eq!(resnet.find_in(folder.path()), None);
        let mut files = resnet.files();
        files.reverse();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            assert_eq!(resnet.find_in(folder.path()), Some(path));
        }
    }
}
