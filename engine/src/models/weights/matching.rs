//! Which tensors of a file are which of a model.
//!
//! The same weights are saved under many names: as they are, with `model.` before them by Lightning, with `module.` by
//! `DistributedDataParallel`, an encoder without its decoder and with its classifier. What goes before the names is whatever lets
//! most of them be found; nothing else is guessed, and what is not taken is told with its reason.

use std::collections::{BTreeMap, HashMap};

use super::layout::LeftOut;
use crate::models::state_dict::ParameterInfo;
use crate::models::{Mismatch, ModelError};

/// Prefix of an encoder's tensors in a whole model.
const ENCODER: &str = "encoder.";
/// Prefix of timm's networks within smp's encoders of them.
const TIMM: &str = "model.";
/// Parts of published encoders that a segmentation model has no use for, by the names of torchvision, timm and others.
const CLASSIFIERS: [&str; 5] = ["fc.", "_fc.", "classifier.", "last_linear.", "head."];
/// Words before a name, at the most: `module.model._orig_mod.encoder.`.
const MOST_WORDS: usize = 4;

/// Which part of a model takes weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything.
    Whole,
    /// The encoder alone.
    Encoder,
}

/// What of a file goes where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fit {
    /// Number of the tensor in the file, and its name in the model.
    pub(super) used: Vec<(usize, String)>,
    /// What is not taken.
    pub(super) left_out: Vec<LeftOut>,
    /// The kernel that gets another number of input channels.
    pub(super) adapted: Option<ParameterInfo>,
}

/// A way to spell the names of a model: from how a file has them to how the model has them.
type Spelling<'m> = HashMap<String, &'m str>;

impl Part {
    /// The tensors of a model that this part has.
    pub(super) fn of(self, model: Vec<ParameterInfo>) -> Vec<ParameterInfo> {
        match self {
            Self::Whole => model,
            Self::Encoder => model.into_iter().filter(|info| info.name.starts_with(ENCODER)).collect(),
        }
    }

    /// The names of a part as smp has them, and of an encoder of timm's as timm has them.
    fn spellings(self, model: &[ParameterInfo]) -> [Spelling<'_>; 2] {
        let names = || model.iter().map(|info| info.name.as_str());
        match self {
            Self::Whole => [names().map(|name| (name.to_owned(), name)).collect(), Spelling::new()],
            Self::Encoder => {
                let bare = |name: &'_ str| name.strip_prefix(ENCODER).unwrap_or(name).to_owned();
                let of_timm = |name| Some((timm_name(bare(name).strip_prefix(TIMM)?), name));
                [names().map(|name| (bare(name), name)).collect(), names().filter_map(of_timm).collect()]
            }
        }
    }
}

/// timm's own name for what it calls `stages_0.blocks.0` where it hands out features: `stages.0.blocks.0`.
fn timm_name(name: &str) -> String {
    let (first, rest) = name.split_once('.').unwrap_or((name, ""));
    match first.rsplit_once('_') {
        Some((word, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{word}.{number}.{rest}")
        }
        _ => name.to_owned(),
    }
}

/// Finds the tensors of `part` of a model among those of a file, which are names and shapes. `model` are those of the part.
pub(super) fn fit(part: Part, model: &[ParameterInfo], file: &[(&str, &[usize])]) -> Result<Fit, ModelError> {
    let [plain, of_timm] = part.spellings(model);
    let (plain_prefix, plain_count) = prefix(&plain, file);
    let (spelling, prefix) = match prefix(&of_timm, file) {
        (prefix, count) if count > plain_count => (of_timm, prefix),
        _ => (plain, plain_prefix),
    };
    let mut fit = Fit { used: Vec::new(), left_out: Vec::new(), adapted: None };
    let mut mismatch = Mismatch::default();
    let mut found: BTreeMap<&str, &[usize]> = BTreeMap::new();
    for (number, (name, shape)) in file.iter().enumerate() {
        match name.strip_prefix(prefix) {
            None => {
                let reason = format!("the other names begin with `{prefix}`");
                fit.left_out.push(LeftOut { name: (*name).to_owned(), reason });
            }
            Some(bare) => match spelling.get(bare) {
                Some(ours) => {
                    fit.used.push((number, (*ours).to_owned()));
                    found.insert(ours, shape);
                }
                None if part == Part::Encoder && is_classifier(bare) => {
                    let reason = "part of a classifier".to_owned();
                    fit.left_out.push(LeftOut { name: (*name).to_owned(), reason });
                }
                None => mismatch.unexpected.push((*name).to_owned()),
            },
        }
    }
    let first_kernel = model.iter().find(|info| info.shape.len() == 4);
    for info in model {
        let Some(shape) = found.get(info.name.as_str()) else {
            mismatch.missing.push(info.name.clone());
            continue;
        };
        if *shape == info.shape {
            continue;
        }
        let is_first = part == Part::Encoder && first_kernel.is_some_and(|first| first.name == info.name);
        if is_first && differs_in_inputs(shape, &info.shape) {
            fit.adapted = Some(info.clone());
        } else {
            mismatch.shapes.push((info.name.clone(), shape.to_vec(), info.shape.clone()));
        }
    }
    if mismatch.is_empty() { Ok(fit) } else { Err(ModelError::StateDictMismatch(Box::new(mismatch))) }
}

/// Whether a tensor is of a published encoder's classifier; wrapped networks of timm's have a word before it.
fn is_classifier(name: &str) -> bool {
    let name = name.strip_prefix(TIMM).unwrap_or(name);
    CLASSIFIERS.iter().any(|part| name.starts_with(part))
}

/// Whether two kernels are the same but for their input channels, of which each has some.
fn differs_in_inputs(theirs: &[usize], ours: &[usize]) -> bool {
    matches!((theirs, ours), ([a, x, b @ ..], [c, y, d @ ..]) if a == c && b == d && *x > 0 && *y > 0)
}

/// What goes before the names in a file so that most of a spelling's are found, and how many are. The shortest among equals.
fn prefix<'f>(spelling: &Spelling<'_>, file: &[(&'f str, &[usize])]) -> (&'f str, usize) {
    let mut counts: BTreeMap<(usize, &str), usize> = BTreeMap::new();
    for (name, _) in file {
        let dots = name.match_indices('.').map(|(at, _)| at + 1);
        for at in std::iter::once(0).chain(dots).take(MOST_WORDS + 1) {
            if spelling.contains_key(&name[at..]) {
                *counts.entry((at, &name[..at])).or_default() += 1;
            }
        }
    }
    // Shorter prefixes come first.
    let counts = counts.into_iter().map(|((_, prefix), count)| (prefix, count));
    counts.fold(("", 0), |best, next| if next.1 > best.1 { next } else { best })
}

#[cfg(test)]
mod tests {
    use burn::module::ParamId;

    use super::*;

    fn model(tensors: &[(&str, &[usize])]) -> Vec<ParameterInfo> {
        let info = |(name, shape): &(&str, &[usize])| ParameterInfo {
            id: ParamId::from(1),
            name: (*name).to_owned(),
            shape: shape.to_vec(),
            is_trained: true,
        };
        tensors.iter().map(info).collect()
    }

    fn small() -> Vec<ParameterInfo> {
        model(&[("encoder.conv1.weight", &[8, 4, 3, 3]), ("encoder.bn1.bias", &[8]), ("head.0.bias", &[1])])
    }

    const WHOLE: [(&str, &[usize]); 3] =
        [("encoder.conv1.weight", &[8, 4, 3, 3]), ("encoder.bn1.bias", &[8]), ("head.0.bias", &[1])];

    fn renamed<'a>(names: &'a [String], of: &[(&str, &'a [usize])]) -> Vec<(&'a str, &'a [usize])> {
        names.iter().zip(of).map(|(name, (_, shape))| (name.as_str(), *shape)).collect()
    }

    fn left_out(fit: &Fit) -> Vec<&str> {
        fit.left_out.iter().map(|left| left.name.as_str()).collect()
    }

    #[test]
    fn what_wrappers_put_before_the_names_is_taken_away() {
        for prefix in ["", "model.", "module.", "module.model._orig_mod.", "network."] {
            let names: Vec<String> = WHOLE.iter().map(|(name, _)| format!("{prefix}{name}")).collect();
            let mut file = renamed(&names, &WHOLE);
            if !prefix.is_empty() {
                file.push(("criterion.weight", &[2]));
            }
            let fit = fit(Part::Whole, &small(), &file).unwrap();
            let taken: Vec<&str> = fit.used.iter().map(|(_, name)| name.as_str()).collect();
            assert_eq!(taken, WHOLE.map(|(name, _)| name), "{prefix}");
            assert_eq!(left_out(&fit).is_empty(), prefix.is_empty(), "{prefix}");
        }
    }

    #[test]
    fn an_encoder_is_found_alone_and_in_a_whole_model() {
        let encoder = Part::Encoder.of(small());
        let alone: [(&str, &[usize]); 3] =
            [("conv1.weight", &[8, 3, 3, 3]), ("bn1.bias", &[8]), ("fc.weight", &[1000, 8])];
        let alone = fit(Part::Encoder, &encoder, &alone).unwrap();
        assert_eq!(left_out(&alone), ["fc.weight"]);
        assert_eq!(alone.adapted.as_ref().map(|info| info.name.as_str()), Some("encoder.conv1.weight"));
        let of_whole = fit(Part::Encoder, &encoder, &WHOLE).unwrap();
        assert_eq!((left_out(&of_whole), &of_whole.adapted), (vec!["head.0.bias"], &None));
        assert_eq!(of_whole.used[1], (1, "encoder.bn1.bias".to_owned()));
    }

    #[test]
    fn a_network_of_timm_is_found_by_either_name() {
        let ours = model(&[
            ("encoder.model.stem_0.weight", &[4, 3, 4, 4]),
            ("encoder.model.stages_1.blocks.0.mlp.grn.bias", &[16]),
        ]);
        for names in [
            ["stem.0.weight", "stages.1.blocks.0.mlp.grn.bias", "head.fc.bias"],
            ["model.stem_0.weight", "model.stages_1.blocks.0.mlp.grn.bias", "model.head.fc.bias"],
        ] {
            let file: [(&str, &[usize]); 3] =
                [(names[0], &[4, 3, 4, 4]), (names[1], &[16]), (names[2], &[1000])];
            let fit = fit(Part::Encoder, &ours, &file).unwrap();
            assert_eq!((fit.used.len(), left_out(&fit)), (2, vec![names[2]]));
        }
    }

    #[test]
    fn what_does_not_fit_is_listed_with_both_shapes() {
        let file: [(&str, &[usize]); 3] = [
            ("model.encoder.conv1.weight", &[8, 3, 3, 3]),
            ("model.encoder.bn2.bias", &[8]),
            ("model.head.0.bias", &[2]),
        ];
        let error = fit(Part::Whole, &small(), &file).unwrap_err().to_string();
        for needle in [
            "missing: encoder.bn1.bias",
            "unexpected: model.encoder.bn2.bias",
            "`encoder.conv1.weight` is [8, 3, 3, 3] in the weights and [8, 4, 3, 3] in the model",
            "`head.0.bias` is [2] in the weights and [1] in the model",
        ] {
            assert!(error.contains(needle), "{error} lacks {needle}");
        }
        let other: [(&str, &[usize]); 2] = [("conv1.weight", &[8, 3, 7, 7]), ("bn1.bias", &[8])];
        let error = fit(Part::Encoder, &Part::Encoder.of(small()), &other).unwrap_err().to_string();
        assert!(error.contains("[8, 3, 7, 7]"), "a kernel of another size is not adapted: {error}");
    }

    #[test]
    fn names_of_nothing_but_dots_are_looked_at_in_no_time() {
        let name = "a.".repeat(1 << 20);
        let error = fit(Part::Whole, &small(), &[(&name, &[1])]).unwrap_err();
        assert!(matches!(error, ModelError::StateDictMismatch(_)));
    }
}
