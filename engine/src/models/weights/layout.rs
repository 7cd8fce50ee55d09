//! Where the tensors of a file lie, whatever its format; and how they are read from there.

use std::io::{Read, Seek};

use super::element::Element;
use super::error::WeightsFault;

/// A stretch of a file: the storage of one tensor, or of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// Checksum of its bytes, where the file has one.
    pub(super) crc32: Option<u32>,
}

/// A tensor of floats and where its elements lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LaidTensor {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) element: Element,
    /// Number of its stretch.
    pub(super) stretch: usize,
    /// Its first element within the stretch.
    pub(super) first: usize,
    /// Elements from one index to the next, by dimension.
    pub(super) strides: Vec<usize>,
}

/// Something of a file that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name in the file.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) stretches: Vec<Stretch>,
    pub(super) tensors: Vec<LaidTensor>,
    /// What holds no floats. Batch counters are not told of: nothing is computed from them.
    pub(super) left_out: Vec<LeftOut>,
}

impl LaidTensor {
    /// A tensor over a storage of `elements`, if it lies within.
    pub(super) fn within(self, elements: u64) -> Result<Self, WeightsFault> {
        let reach = self.reach().filter(|reach| *reach as u64 <= elements);
        if reach.is_none() {
            let (shape, strides, first) = (&self.shape, &self.strides, self.first);
            let reason = format!(
                "reaches beyond its storage of {elements} elements (shape {shape:?}, strides {strides:?}, from {first}); \
                 the file is damaged, copy or download it again"
            );
            return Err(WeightsFault::tensor(&self.name, reason));
        }
        Ok(self)
    }

    /// Elements, unless they are too many to count.
    pub(super) fn count(&self) -> Option<usize> {
        self.shape.iter().try_fold(1_usize, |count, size| count.checked_mul(*size))
    }

    /// The element of the stretch behind its last; none if that can not be counted.
    fn reach(&self) -> Option<usize> {
        if self.count()? == 0 {
            return Some(self.first);
        }
        let last =
            self.shape.iter().zip(&self.strides).try_fold(self.first, |last, (size, stride)| {
                last.checked_add(stride.checked_mul(size - 1)?)
            })?;
        last.checked_add(1)
    }

    /// Whether its elements lie one behind the other in row-major order.
    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        let mut dimensions = self.shape.iter().zip(&self.strides).rev();
        dimensions.all(|(size, stride)| {
            let is_next = *size <= 1 || *stride == expected;
            expected *= size.max(&1);
            is_next
        })
    }

    /// Its elements, from the bytes of its stretch.
    fn values(&self, bytes: &[u8]) -> Result<Vec<f32>, WeightsFault> {
        let values = match (self.reach(), self.count()) {
            (Some(_), Some(0)) => Vec::new(),
            (Some(reach), Some(count)) => {
                let size = self.element.bytes();
                let spanned = bytes.get(self.first * size..reach * size).unwrap_or_default();
                let spanned = self.element.decode(spanned);
                if self.is_contiguous() { spanned } else { self.gathered(&spanned, count) }
            }
            _ => Vec::new(),
        };
        if Some(values.len()) != self.count() {
            return Err(WeightsFault::tensor(&self.name, "is cut; copy or download the file again"));
        }
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(at) => {
                let reason = format!(
                    "is {} at element {at} as a 32-bit float; use weights from before the training diverged",
                    values[at]
                );
                Err(WeightsFault::tensor(&self.name, reason))
            }
        }
    }

    /// Elements in row-major order, wherever they lie in what they span.
    fn gathered(&self, spanned: &[f32], count: usize) -> Vec<f32> {
        let mut index = vec![0; self.shape.len()];
        let mut at = 0_usize;
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.extend(spanned.get(at));
            for dimension in (0..index.len()).rev() {
                index[dimension] += 1;
                // The stride of a dimension of one element may be anything: it is taken, and taken back.
                at = at.wrapping_add(self.strides[dimension]);
                if index[dimension] < self.shape[dimension] {
                    break;
                }
                at = at.wrapping_sub(self.strides[dimension].wrapping_mul(self.shape[dimension]));
                index[dimension] = 0;
            }
        }
        values
    }
}

/// Strides of a shape in row-major order, where they can be counted.
pub(super) fn row_major(shape: &[usize]) -> Option<Vec<usize>> {
    let mut strides = vec![1_usize; shape.len()];
    for dimension in (1..shape.len()).rev() {
        strides[dimension - 1] = strides[dimension].checked_mul(shape[dimension].max(1))?;
    }
    Some(strides)
}

impl Layout {
    /// Refuses a file whose tensors have more elements than it has bytes: tensors may share a storage, but not a thousand
    /// times.
    pub(super) fn checked(self, length: u64) -> Result<Self, WeightsFault> {
        let mut counts = self.tensors.iter().map(LaidTensor::count);
        let total = counts.try_fold(0_u64, |total, count| total.checked_add(count? as u64));
        if total.is_none_or(|total| total > length) {
            return Err(WeightsFault::damaged(format!(
                "its tensors have more elements than it has bytes, which are {length}"
            )));
        }
        Ok(self)
    }

    /// Reads tensors by their numbers; `take` gets each with its values. A storage that tensors share is read once.
    pub(super) fn read(
        &self,
        file: &mut (impl Read + Seek),
        length: u64,
        numbers: &[usize],
        mut take: impl FnMut(usize, Vec<f32>),
    ) -> Result<(), WeightsFault> {
        let mut ordered: Vec<usize> = numbers.to_vec();
        ordered.sort_by_key(|number| self.tensors[*number].stretch);
        let mut held: Option<(usize, Vec<u8>)> = None;
        for number in ordered {
            let tensor = &self.tensors[number];
            let bytes = match held.take() {
                Some((stretch, bytes)) if stretch == tensor.stretch => bytes,
                _ => self.stretches[tensor.stretch].read(file, length, &tensor.name)?,
            };
            take(number, tensor.values(&bytes)?);
            held = Some((tensor.stretch, bytes));
        }
        Ok(())
    }
}

impl Stretch {
    fn read(self, file: &mut (impl Read + Seek), length: u64, tensor: &str) -> Result<Vec<u8>, WeightsFault> {
        let bytes = read_at(file, self.offset, self.bytes, length)?;
        match self.crc32 {
            Some(crc32) if crc32 != crc32fast::hash(&bytes) => {
                Err(WeightsFault::damaged(format!("the checksum of tensor `{tensor}` is wrong")))
            }
            _ => Ok(bytes),
        }
    }
}

/// A stretch of a file of `length` bytes. It lies within, so that no more memory is taken than the file has bytes.
pub(super) fn read_at(
    file: &mut (impl Read + Seek),
    offset: u64,
    bytes: u64,
    length: u64,
) -> Result<Vec<u8>, WeightsFault> {
    let cut =
        || WeightsFault::damaged(format!("{bytes} bytes at {offset} lie beyond its {length}: it is cut"));
    if offset.checked_add(bytes).is_none_or(|end| end > length) {
        return Err(cut());
    }
    let capacity = usize::try_from(bytes).map_err(|_| cut())?;
    file.seek(std::io::SeekFrom::Start(offset))?;
    let mut content = Vec::with_capacity(capacity);
    file.take(bytes).read_to_end(&mut content)?;
    if content.len() == capacity { Ok(content) } else { Err(cut()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], strides: &[usize], first: usize) -> LaidTensor {
        LaidTensor {
            name: "w".into(),
            shape: shape.to_vec(),
            element: Element::F32,
            stretch: 0,
            first,
            strides: strides.to_vec(),
        }
    }

    fn storage() -> Vec<u8> {
        (0..6).flat_map(|value| (value as f32).to_le_bytes()).collect()
    }

    #[test]
    fn strides_and_offsets_are_honoured() {
        let values = |shape: &[usize], strides: &[usize], first| {
            tensor(shape, strides, first).within(6).unwrap().values(&storage()).unwrap()
        };
        assert_eq!(values(&[2, 3], &[3, 1], 0), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(values(&[3, 2], &[1, 3], 0), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0], "transposed");
        assert_eq!(values(&[2, 2], &[3, 1], 1), [1.0, 2.0, 4.0, 5.0], "a part");
        assert_eq!(values(&[2, 2], &[0, 1], 4), [4.0, 5.0, 4.0, 5.0], "expanded");
        assert_eq!(values(&[], &[], 5), [5.0]);
        assert_eq!(values(&[0, 3], &[3, 1], 6), [0.0; 0]);
        assert_eq!(values(&[1, 3], &[usize::MAX, 2], 0), [0.0, 2.0, 4.0], "a stride that is never taken");
    }

    #[test]
    fn what_reaches_beyond_its_storage_is_refused() {
        let huge = usize::MAX;
        for (shape, strides, first) in [
            (&[2, 3][..], &[3, 1][..], 1),
            (&[7], &[1], 0),
            (&[2], &[huge], 0),
            (&[huge, huge], &[0, 0], 0),
            (&[1], &[1], huge),
            (&[0], &[1], 7),
        ] {
            let error = tensor(shape, strides, first).within(6).unwrap_err().to_string();
            assert!(error.contains("`w` reaches beyond its storage of 6 elements"), "{error}");
        }
    }

    #[test]
    fn a_storage_that_many_share_is_no_way_to_fill_the_memory() {
        let one = tensor(&[6], &[1], 0);
        let layout = |count| Layout { tensors: vec![one.clone(); count], ..Layout::default() };
        layout(4).checked(24).unwrap();
        let error = layout(5).checked(24).unwrap_err().to_string();
        assert!(error.contains("more elements than it has bytes"), "{error}");
    }

    #[test]
    fn what_is_not_finite_is_refused_with_its_place() {
        let mut bytes = storage();
        bytes[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
        let error = tensor(&[6], &[1], 0).values(&bytes).unwrap_err().to_string();
        assert!(error.contains("`w` is NaN at element 2"), "{error}");
    }
}
