//! PyTorch files, read without running anything that stands in them, and written.
//!
//! `torch.save` writes a pickle that describes objects, and beside it the bytes of each storage: in an archive since 1.6, one behind
//! the other before. The pickle is read by a machine of our own (`machine`) with a closed list of instructions and of names;
//! a name outside of it stands for a value that nothing asks for. A name that reaches the system is refused.
//!
//! | file | |
//! |---|---|
//! | `zip` | entries of the archive |
//! | `machine`, `value`, `globals` | the pickle |
//! | `state_dict` | where in it the tensors are |
//! | `legacy` | files of PyTorch before 1.6 |
//! | `write` | a file that `torch.load(path, weights_only=True)` takes |

mod globals;
mod legacy;
mod machine;
mod state_dict;
mod value;
mod write;
mod zip;

use std::collections::BTreeMap;
use std::io::{Read, Seek};

pub(super) use legacy::{is_legacy, layout as legacy_layout};
pub use write::write_pytorch;
pub(super) use zip::MAGIC;

use super::error::WeightsFault;
use super::layout::{Layout, Stretch, read_at};
use state_dict::{StateDict, Tensor};
use zip::Archive;

/// Longest pickle that is read: 20 times that of the largest state dict in use, with its optimizer.
const PICKLE_BYTES: u64 = 64 << 20;
/// Longest of the small entries.
const NOTE_BYTES: u64 = 64;

/// Where the tensors of an archive lie.
pub(super) fn layout(file: &mut (impl Read + Seek), length: u64) -> Result<Layout, WeightsFault> {
    let archive = Archive::read(file, length)?;
    let root = root(&archive)?;
    let byte_order = format!("{root}/byteorder");
    if archive.has(&byte_order) && read_entry(file, &archive, &byte_order, NOTE_BYTES, length)? != b"little" {
        return Err(WeightsFault::Unsupported {
            what: "the numbers in the PyTorch file have their highest byte first".to_owned(),
            remedy: "load it in Python on an ordinary machine and save it again there",
        });
    }
    let pickle = read_entry(file, &archive, &format!("{root}/data.pkl"), PICKLE_BYTES, length)?;
    let (pickle, _) = machine::read(&pickle)?;
    place(StateDict::find(&pickle)?, |tensor| {
        let name = format!("{root}/data/{}", tensor.storage.key);
        let stretch = archive.stretch(file, &name)?;
        let expected = tensor.storage.elements.checked_mul(tensor.storage.element.bytes() as u64);
        if expected != Some(stretch.bytes) {
            let elements = tensor.storage.elements;
            return Err(WeightsFault::damaged(format!(
                "the storage of `{}` has {} bytes, not those of {elements} elements",
                tensor.name, stretch.bytes
            )));
        }
        Ok(stretch)
    })
}

/// Places the tensors of a state dict in the file; `find` says where a tensor's storage lies.
fn place<'p>(
    state_dict: StateDict<'p>,
    mut find: impl FnMut(&Tensor<'p>) -> Result<Stretch, WeightsFault>,
) -> Result<Layout, WeightsFault> {
    let mut layout = Layout { left_out: state_dict.left_out, ..Layout::default() };
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for tensor in &state_dict.tensors {
        let stretch = match known.get(tensor.storage.key) {
            Some(stretch) => *stretch,
            None => {
                layout.stretches.push(find(tensor)?);
                let number = layout.stretches.len() - 1;
                known.insert(tensor.storage.key, number);
                number
            }
        };
        let laid = tensor.laid(stretch)?;
        // One key, two types: the second would be read as something it is not, but never beyond its bytes.
        let elements = layout.stretches[stretch].bytes / laid.element.bytes() as u64;
        layout.tensors.push(laid.within(elements)?);
    }
    Ok(layout)
}

/// The folder in the archive that everything lies in.
fn root(archive: &Archive) -> Result<&str, WeightsFault> {
    let mut roots =
        archive.names().filter_map(|name| name.strip_suffix("/data.pkl")).filter(|root| !root.contains('/'));
    let root = roots.next().ok_or(WeightsFault::Kind)?;
    if archive.has(&format!("{root}/constants.pkl")) {
        return Err(WeightsFault::Unsupported {
            what: "this is a TorchScript program, not weights".to_owned(),
            remedy: "save its weights in Python: `torch.save(torch.jit.load(path).state_dict(), path)`",
        });
    }
    Ok(root)
}

/// The bytes of an entry of at most `most` bytes.
fn read_entry(
    file: &mut (impl Read + Seek),
    archive: &Archive,
    name: &str,
    most: u64,
    length: u64,
) -> Result<Vec<u8>, WeightsFault> {
    let stretch = archive.stretch(file, name)?;
    if stretch.bytes > most {
        return Err(WeightsFault::Unsupported {
            what: format!(
                "entry `{name}` of the PyTorch file is {} bytes long, {most} are read",
                stretch.bytes
            ),
            remedy: "save the state dict alone: `torch.save(model.state_dict(), path)`",
        });
    }
    let bytes = read_at(file, stretch.offset, stretch.bytes, length)?;
    match stretch.crc32 {
        Some(crc32) if crc32 != crc32fast::hash(&bytes) => {
            Err(WeightsFault::damaged(format!("the checksum of entry `{name}` is wrong")))
        }
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests;
