//! Finds the state dict in what a pickle describes.

use std::collections::BTreeSet;

use super::super::error::WeightsFault;
use super::super::layout::{LaidTensor, LeftOut};
use super::value::{Object, Pickle, StorageId, TensorView, Value};
use crate::models::state_dict::BATCHES_TRACKED;

/// Under which key a training state has its state dict; the first that is there. Lightning's, that of PyTorch's tutorials, that of
/// checkpoints made for inference alone, and that of torchvision's training scripts.
const STATE_DICTS: [&str; 4] = ["state_dict", "model_state_dict", "statedict", "model"];
/// Keys that an error lists at the most.
const SHOWN_KEYS: usize = 8;

/// The tensors of floats of a pickle's state dict, and what else is in it.
pub(super) struct StateDict<'p> {
    pub(super) tensors: Vec<Tensor<'p>>,
    pub(super) left_out: Vec<LeftOut>,
}

/// A tensor of floats.
pub(super) struct Tensor<'p> {
    pub(super) name: &'p str,
    pub(super) view: TensorView,
    pub(super) storage: StorageId<'p>,
}

impl<'p> StateDict<'p> {
    pub(super) fn find(pickle: &Pickle<'p>) -> Result<Self, WeightsFault> {
        let Some(root) = pickle.dict(pickle.root) else {
            return Err(WeightsFault::NoStateDict(format!("it holds {}", pickle.kind(pickle.root))));
        };
        let under = |key: &str| {
            let value = root.iter().find(|(name, _)| pickle.text(*name) == Some(key))?.1;
            pickle.dict(value)
        };
        let entries = STATE_DICTS.iter().find_map(|key| under(key)).unwrap_or(root);
        let state_dict = Self::of(pickle, entries)?;
        if state_dict.tensors.is_empty() {
            let mut keys: Vec<&str> = entries.iter().filter_map(|(key, _)| pickle.text(*key)).collect();
            let more = if keys.len() > SHOWN_KEYS { ", …" } else { "" };
            keys.truncate(SHOWN_KEYS);
            let found = format!("no tensor of floats is among its entries ({}{more})", keys.join(", "));
            return Err(WeightsFault::NoStateDict(found));
        }
        Ok(state_dict)
    }

    fn of(pickle: &Pickle<'p>, entries: &[(Value, Value)]) -> Result<Self, WeightsFault> {
        let mut state_dict = Self { tensors: Vec::new(), left_out: Vec::new() };
        let mut seen = BTreeSet::new();
        for (key, value) in entries {
            let name = pickle.text(*key).ok_or_else(|| {
                WeightsFault::NoStateDict(format!("one of its keys is {}", pickle.kind(*key)))
            })?;
            if !seen.insert(name) {
                return Err(WeightsFault::damaged(format!("it has `{name}` twice")));
            }
            let Some(Object::Tensor(view)) = pickle.object(*value) else {
                let reason = format!("{}, no tensor", pickle.kind(*value));
                state_dict.left_out.push(LeftOut { name: name.to_owned(), reason });
                continue;
            };
            let Some(Object::Storage(storage)) = pickle.object(Value::Object(view.storage)) else {
                return Err(WeightsFault::tensor(name, "has no storage; the file is damaged"));
            };
            if storage.element.is_float() {
                state_dict.tensors.push(Tensor { name, view: (**view).clone(), storage: **storage });
            } else if !name.ends_with(BATCHES_TRACKED) {
                let reason = format!("{:?}, no floats", storage.element);
                state_dict.left_out.push(LeftOut { name: name.to_owned(), reason });
            }
        }
        Ok(state_dict)
    }
}

impl Tensor<'_> {
    /// The tensor in a stretch of the file, if it lies within.
    pub(super) fn laid(&self, stretch: usize) -> Result<LaidTensor, WeightsFault> {
        let TensorView { offset, sizes, strides, .. } = &self.view;
        let numbers = |of: &[i64]| {
            let numbers = of.iter().map(|&number| usize::try_from(number).ok());
            numbers.collect::<Option<Vec<usize>>>()
        };
        let (Ok(first), Some(shape), Some(strides)) =
            (usize::try_from(*offset), numbers(sizes), numbers(strides))
        else {
            let reason = format!(
                "has a negative offset, size or stride ({offset}, {sizes:?}, {strides:?}), which PyTorch never \
                 writes; copy or download the file again"
            );
            return Err(WeightsFault::tensor(self.name, reason));
        };
        if shape.len() != strides.len() {
            let reason =
                format!("has {} sizes, but {} strides; the file is damaged", shape.len(), strides.len());
            return Err(WeightsFault::tensor(self.name, reason));
        }
        let (name, element) = (self.name.to_owned(), self.storage.element);
        LaidTensor { name, shape, element, stretch, first, strides }.within(self.storage.elements)
    }
}
