mod cursor;
mod header;
mod parts;
mod value;

use super::blocks::{Block, READABLE};
use super::safetensors::missing;
use super::source::Source;
use super::stored::StoredMatrix;
use super::{FileArray, FileData, FileError};
pub use header::GgufTensor;
use parts::Parts;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
pub use value::GgufValue;

/// The approximate number of bytes in which tensors are read and expanded.
const PIECE: usize = 1 << 20;

/// An open model in GGUF files of version 2 or 3. Its metadata and tensor tables are checked. Tensors are read one at a time, as f32 or as
/// they are stored.
///
/// [`GgufType`](super::GgufType) lists the storage types. A model may be split into files `NAME-00001-of-00003.gguf`; opening one of them opens all.
/// Metadata and tensors are then those of all parts.
///
/// # Shapes
/// Slowest axis first: a matrix that maps `d_in` to `d_out` is `[d_out, d_in]`.
///
/// # Errors
/// Opening refuses counts and strings that cannot fit into the rest of the file, values nested deeper than four levels,
/// repeated names, metadata of more than 256 MiB, and offsets that are not aligned, overlap, or pass the end of the file. It refuses a split
/// model with a missing part, with parts whose numbers, counts or common entries disagree, or with a tensor in two parts. Reading a
/// tensor of type `Q8_1`, `Q8_K` or of an unknown type is an error that names the type; the other tensors are readable.
///
/// # Determinism
/// Expansion is elementwise, and its products are exact, so a file gives the same bits on every machine.
///
/// # Examples
/// ```
/// use collimate_tensor::files::Gguf;
/// let mut bytes = b"GGUF".to_vec();
/// bytes.extend(3_u32.to_le_bytes()); // version
/// bytes.extend(0_u64.to_le_bytes()); // tensors
/// bytes.extend(1_u64.to_le_bytes()); // metadata entries
/// bytes.extend(4_u64.to_le_bytes());
/// bytes.extend(b"answ");
/// bytes.extend(4_u32.to_le_bytes()); // type: u32
/// bytes.extend(42_u32.to_le_bytes());
/// assert_eq!(Gguf::from_bytes(bytes)?.value("answ").and_then(|v| v.as_u64()), Some(42));
/// # Ok::<(), collimate_tensor::files::FileError>(())
/// ```
///
/// # References
/// The GGUF specification of the ggml project, versions 2 and 3, which differ only in big-endian files.
pub struct Gguf {
    /// The files, in the order of the parts.
    sources: Vec<Source>,
    metadata: BTreeMap<String, GgufValue>,
    tensors: BTreeMap<String, GgufTensor>,
}

impl Gguf {
    /// Opens a file and checks its header. If it is a part of a split model, the other parts beside it are opened too.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        Ok(Self::of(Parts::open(path.as_ref())?))
    }

    /// Reads a file that is already in memory. It must be the whole model.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, FileError> {
        Ok(Self::of(Parts::from_bytes(bytes)?))
    }

    fn of(Parts { sources, metadata, tensors }: Parts) -> Self {
        Self { sources, metadata, tensors }
    }

    /// Returns the paths of the files, in the order of the parts. A file in memory has the path `(memory)`.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().map(|source| source.path.as_path())
    }

    /// Returns the metadata, by name.
    pub fn metadata(&self) -> &BTreeMap<String, GgufValue> {
        &self.metadata
    }

    /// Returns one metadata value.
    pub fn value(&self, name: &str) -> Option<&GgufValue> {
        self.metadata.get(name)
    }

    /// Returns the tensor table, by name.
    pub fn tensors(&self) -> &BTreeMap<String, GgufTensor> {
        &self.tensors
    }

    /// Reads one tensor as f32. Doubles, and integers beyond 2²⁴, are rounded to the nearest number.
    ///
    /// # Errors
    /// [`FileError::Missing`] if there is no tensor of this name, [`FileError::Unsupported`] for another storage format,
    /// [`FileError::Memory`] if the machine does not give enough memory.
    pub fn read(&self, name: &str) -> Result<FileArray, FileError> {
        let tensor = self.tensor(name)?;
        // A format that is not read is the better reason, so it is looked for first.
        self.block(name, tensor)?;
        let mut values = self.source(tensor).room(tensor.len() as u64, &format!("tensor '{name}'"))?;
        values.resize(tensor.len(), 0.0);
        self.read_rows_into(name, 0..tensor.len() / tensor.shape.last().copied().unwrap_or(1), &mut values)?;
        FileArray::new(tensor.shape.clone(), FileData::F32(values))
    }

    /// Reads some rows (along the last axis) of one tensor as f32 into `out`, in pieces of about a megabyte.
    ///
    /// Several threads may read at once: a lock protects the reads of the file, and the expansion runs outside the lock.
    ///
    /// # Errors
    /// The errors of [`Gguf::read`]; [`FileError::Shape`] if `out` does not have the size of the rows, or the tensor has fewer.
    pub fn read_rows_into(&self, name: &str, rows: Range<usize>, out: &mut [f32]) -> Result<(), FileError> {
        let tensor = self.tensor(name)?;
        let (place, block) = (format!("tensor '{name}'"), self.block(name, tensor)?);
        let (source, width) = (self.source(tensor), tensor.shape.last().copied().unwrap_or(1));
        let count = rows.len();
        if rows.end > tensor.len() / width || count.checked_mul(width) != Some(out.len()) {
            return Err(FileError::Shape { shape: vec![count, width], given: out.len() });
        }
        // A row is a whole number of blocks, as was checked when the file was opened.
        let per_piece = (PIECE / block.bytes).max(1);
        let start = tensor.offset + (rows.start * width / block.elements * block.bytes) as u64;
        let mut buffer = vec![0; (per_piece * block.bytes).min(out.len() / block.elements * block.bytes)];
        for (index, piece) in out.chunks_mut(per_piece * block.elements).enumerate() {
            let bytes = &mut buffer[..piece.len() / block.elements * block.bytes];
            source.read_into(start + (index * per_piece * block.bytes) as u64, bytes, &place)?;
            (block.expand)(bytes, piece);
        }
        Ok(())
    }

    /// Reads one tensor in the form in which it is stored. Its rows are expanded when they are needed.
    ///
    /// # Shapes
    /// The shape of a [`StoredMatrix`]: all axes but the last are joined to the rows.
    ///
    /// # Errors
    /// The errors of [`Gguf::read`].
    ///
    /// # Examples
    /// ```
    /// use collimate_tensor::files::{Gguf, GgufType};
    /// let mut bytes = b"GGUF".to_vec();
    /// bytes.extend(3_u32.to_le_bytes()); // version
    /// bytes.extend(1_u64.to_le_bytes()); // tensors
    /// bytes.extend(0_u64.to_le_bytes()); // metadata entries
    /// bytes.extend(1_u64.to_le_bytes());
    /// bytes.extend(b"w"); // a tensor with the name w
    /// bytes.extend(2_u32.to_le_bytes()); // axes
    /// bytes.extend([3_u64, 2].map(u64::to_le_bytes).concat()); // 2 rows of 3
    /// bytes.extend(30_u32.to_le_bytes()); // type: BF16
    /// bytes.extend(0_u64.to_le_bytes()); // offset
    /// bytes.resize(bytes.len().next_multiple_of(32), 0);
    /// bytes.extend([0x3f80_u16, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0].map(u16::to_le_bytes).concat()); // 1 to 6
    /// let w = Gguf::from_bytes(bytes)?.read_stored("w")?;
    /// assert_eq!((w.kind(), w.shape(), w.byte_len()), (GgufType::BF16, [2, 3], 12));
    /// assert_eq!(w.to_f32()[[1, 0]], 4.0);
    /// # Ok::<(), collimate_tensor::files::FileError>(())
    /// ```
    pub fn read_stored(&self, name: &str) -> Result<StoredMatrix, FileError> {
        let tensor = self.tensor(name)?;
        let place = format!("tensor '{name}'");
        StoredMatrix::read(self.source(tensor), tensor.offset, tensor.kind, &tensor.shape, &place)
    }

    fn block(&self, name: &str, tensor: &GgufTensor) -> Result<Block, FileError> {
        tensor.kind.readable().ok_or_else(|| FileError::Unsupported {
            path: self.source(tensor).path.clone(),
            place: format!("tensor '{name}'"),
            what: format!("the type {:?}", tensor.kind),
            supported: READABLE,
        })
    }

    fn tensor(&self, name: &str) -> Result<&GgufTensor, FileError> {
        self.tensors.get(name).ok_or_else(|| missing(&self.sources[0], name, &self.tensors))
    }

    fn source(&self, tensor: &GgufTensor) -> &Source {
        &self.sources[tensor.part]
    }
}
