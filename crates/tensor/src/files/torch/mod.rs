//! Files of `torch.save`: a pickle of the structure, and the storages of its tensors.

mod entries;
mod machine;
mod node;
mod pickle;
mod storage;
mod view;

use super::FileError;
use super::array::{FileArray, checked_len};
use super::kind::FileKind;
use super::safetensors::missing;
use super::source::Source;
use entries::Entries;
use std::collections::BTreeMap;
use std::path::Path;
use storage::{Storage, open_legacy, open_zip};
use view::View;

pub use entries::{TorchObject, TorchScalar};

/// The limit of bytes of a tensor that repeats elements of its storage, unless the file itself is large.
const REPEATED_LIMIT: u64 = 1 << 20;

/// An open file of `torch.save`. Its structure is read; its tensors are read one at a time.
///
/// A pickle is a program, and PyTorch runs it to load the file. Here it is read as data: numbers, texts, dictionaries, lists,
/// and calls that build dense tensors and parameters from stored numbers. No other call is made, and its result is listed in
/// [`TorchFile::objects`]. Names of nested dictionaries and lists are joined by points (`trainer.k`, `layers.0`). Attributes of
/// a parameter are named like entries of a dictionary (`w.scale`). Both the zip archives since torch 1.6 and the format before
/// are read.
///
/// # Errors
/// Opening refuses files of another kind and says what they are, whole pickled objects, broken zip directories, opcodes that
/// files of weights do not have, and pickles above 4 MiB. Reading refuses views that leave their storage, storages whose length
/// differs from the pickle, big-endian files, a name that two entries have, and element types that
/// [`FileData`](super::FileData) does not have.
///
/// # Examples
/// ```
/// # use collimate_tensor::files::TorchFile;
/// assert!(TorchFile::from_bytes(b"cos\nsystem\n(S'echo'\ntR.".to_vec()).is_err());
/// ```
pub struct TorchFile {
    source: Source,
    storages: BTreeMap<String, Storage>,
    entries: Entries,
}

impl TorchFile {
    /// Opens a file and reads its structure.
    ///
    /// # Errors
    /// The errors listed at the type.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        Self::parse(Source::open(path.as_ref())?)
    }

    /// Reads a file that is already in memory.
    ///
    /// # Errors
    /// The errors listed at the type.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, FileError> {
        Self::parse(Source::memory(bytes))
    }

    fn parse(source: Source) -> Result<Self, FileError> {
        source.expect(&[FileKind::Zip, FileKind::TorchLegacy], "a file of torch.save")?;
        let legacy = source.kind()? == FileKind::TorchLegacy;
        let (pickle, storages) = if legacy { open_legacy(&source)? } else { open_zip(&source)? };
        let entries = Entries::of(&pickle).map_err(|what| source.malformed("the pickle", what))?;
        Ok(Self { source, storages, entries })
    }

    /// Returns the names of the tensors, in alphabetical order, also of those whose reading is refused.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.tensors.keys().map(String::as_str)
    }

    /// Returns the shape of a tensor, without reading it; `None` if reading it is refused.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.tensors.get(name)?.as_ref().ok().map(|view| view.shape.as_slice())
    }

    /// Returns a value that is not a tensor.
    pub fn scalar(&self, name: &str) -> Option<&TorchScalar> {
        self.entries.scalars.get(name)
    }

    /// Returns the values that are not tensors, in alphabetical order of their names.
    pub fn scalars(&self) -> impl Iterator<Item = (&str, &TorchScalar)> {
        self.entries.scalars.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Returns the entries that are neither tensors nor plain values, in alphabetical order of their names.
    pub fn objects(&self) -> impl Iterator<Item = (&str, &TorchObject)> {
        self.entries.objects.iter().map(|(name, object)| (name.as_str(), object))
    }

    /// Reads one tensor. Its elements are returned in row order, also if the storage has another order or shares elements.
    ///
    /// # Errors
    /// The errors listed at the type; [`FileError::Missing`] if there is no tensor of this name.
    pub fn read(&self, name: &str) -> Result<FileArray, FileError> {
        let Some(view) = self.entries.tensors.get(name) else {
            return Err(missing(&self.source, name, &self.entries.tensors));
        };
        let place = format!("tensor '{name}'");
        let bad = |what: String| self.source.malformed(&place, what);
        let unsupported = |what: &String| FileError::Unsupported {
            path: self.source.path.clone(),
            place: place.clone(),
            what: what.clone(),
            supported: "dense tensors of bool, uint8, int32, int64, float16, bfloat16, float32, float64",
        };
        let view = view.as_ref().map_err(unsupported)?;
        let element = view.element.as_ref().map_err(unsupported)?;
        let size = element.bytes();
        let storage = self
            .storages
            .get(&view.storage)
            .ok_or_else(|| bad(format!("its storage '{}' is not in the file", view.storage)))?;
        if view.elements.checked_mul(size as u64) != Some(storage.bytes()) {
            let what = format!(
                "its storage has {} bytes, not {} elements of {size}",
                storage.bytes(),
                view.elements
            );
            return Err(bad(what));
        }
        let count = checked_len(&view.shape)
            .ok_or_else(|| bad(format!("the shape {:?} is larger than any memory", view.shape)))?;
        // A stride of zero repeats elements, so a shape may be larger than its storage.
        let limit = view.elements.max(REPEATED_LIMIT.max(self.source.len.saturating_mul(8)) / size as u64);
        if count as u64 > limit {
            return Err(FileError::TooLarge {
                path: self.source.path.clone(),
                place,
                needed: (count as u64).saturating_mul(size as u64),
                limit: limit.saturating_mul(size as u64),
            });
        }
        let mut last = view.offset;
        for (&length, &stride) in view.shape.iter().zip(&view.strides) {
            let reach = stride.checked_mul((length as u64).saturating_sub(1));
            last = reach
                .and_then(|reach| last.checked_add(reach))
                .ok_or_else(|| bad("its strides overflow".into()))?;
        }
        if count > 0 && last >= view.elements {
            return Err(bad(format!("it reaches element {last} of a storage of {}", view.elements)));
        }
        let stored = storage.read(&self.source, &place)?;
        let bytes = gather(&stored, view, count, size);
        let data = element.decode(bytes).map_err(|b| bad(format!("byte {b} is no truth value")))?;
        FileArray::new(view.shape.clone(), data)
    }
}

/// Returns the elements of a view in row order. The view lies within its storage, as was checked.
fn gather(stored: &[u8], view: &View, count: usize, size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(count * size);
    let mut index = vec![0; view.shape.len()];
    let mut at = view.offset as usize;
    for _ in 0..count {
        out.extend_from_slice(&stored[at * size..(at + 1) * size]);
        for axis in (0..index.len()).rev() {
            let stride = view.strides[axis] as usize;
            index[axis] += 1;
            // An axis of length one may have any stride: the step is undone.
            at = at.wrapping_add(stride);
            if index[axis] < view.shape[axis] {
                break;
            }
            at = at.wrapping_sub(stride.wrapping_mul(view.shape[axis]));
            index[axis] = 0;
        }
    }
    out
}
