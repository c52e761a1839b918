mod blocks;
mod cursor;
mod value;

use super::safetensors::missing;
use super::source::Source;
use super::{FileArray, FileData, FileError};
pub use blocks::GgufType;
use blocks::{Block, READABLE};
use cursor::Cursor;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
pub use value::GgufValue;

/// The alignment of the tensors if the file does not name one.
const DEFAULT_ALIGNMENT: u32 = 32;
/// The largest number of axes that the format allows.
const MOST_AXES: u32 = 4;
/// The approximate number of bytes in which tensors are read and expanded.
const PIECE: usize = 1 << 20;

/// The entry of one tensor in the table of a GGUF file.
#[derive(Clone, Debug, PartialEq)]
pub struct GgufTensor {
    /// The length of each axis, slowest first (the file lists them in reverse).
    pub shape: Vec<usize>,
    /// The storage format of the elements.
    pub kind: GgufType,
    /// The position of the data, from the beginning of the file.
    offset: u64,
    /// The number of bytes of the data.
    bytes: u64,
}

impl GgufTensor {
    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns true if there are no elements, which never happens: axes of length zero are refused.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An open GGUF file of version 2 or 3. Its metadata and tensor table are checked; tensors are read one at a time as f32.
///
/// ```text
/// Q8_0  block of 32: scale d (f16), 32 × i8 q                  x = d q
/// Q4_1  block of 32: scale d, minimum m (f16), 16 bytes of q   x = d q + m; the low halves are x₀ … x₁₅
/// ```
///
/// # Shapes
/// Slowest axis first: a matrix that maps `d_in` to `d_out` is `[d_out, d_in]`.
///
/// # Errors
/// Opening refuses counts and strings that cannot fit into the rest of the file, values nested deeper than four levels,
/// repeated names, metadata of more than 256 MiB, and offsets that are not aligned, overlap, or pass the end of the file. Reading a
/// tensor in a format of blocks other than `Q4_1` or `Q8_0` is an error that names the format; the other tensors are readable.
///
/// # Determinism
/// Expansion is elementwise, so a file gives the same bits on every machine.
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
    source: Source,
    metadata: BTreeMap<String, GgufValue>,
    tensors: BTreeMap<String, GgufTensor>,
}

impl Gguf {
    /// Opens a file and checks its header.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        Self::parse(Source::open(path.as_ref())?)
    }

    /// Reads a file that is already in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, FileError> {
        Self::parse(Source::memory(bytes))
    }

    fn parse(source: Source) -> Result<Self, FileError> {
        let mut cursor = Cursor::new(&source);
        if &cursor.bytes("the magic string")? != b"GGUF" {
            return Err(source.malformed("the magic string", "this is not a GGUF file"));
        }
        let version = cursor.u32("the version")?;
        if !(2..=3).contains(&version) {
            let swapped = version.swap_bytes();
            let what = if (1..1 << 16).contains(&swapped) {
                format!("GGUF version {swapped} in the byte order of big-endian machines")
            } else {
                format!("GGUF version {version}")
            };
            return Err(FileError::Unsupported {
                path: source.path.clone(),
                place: "the version".into(),
                what,
                supported: "little-endian versions 2, 3",
            });
        }
        let n_tensors = cursor.u64("the number of tensors")?;
        let n_values = cursor.u64("the number of metadata entries")?;
        // The smallest entry: an empty name, a type and one byte.
        cursor.check_count(n_values, 8 + 4 + 1, "the number of metadata entries")?;
        let mut metadata = BTreeMap::new();
        for index in 0..n_values {
            let name = cursor.string(&format!("the name of metadata entry {index}"))?;
            cursor.spend(1, size_of::<(String, GgufValue)>(), "the metadata")?;
            let value = GgufValue::read(&mut cursor, &format!("metadata entry '{name}'"))?;
            if metadata.contains_key(&name) {
                return Err(source.malformed("the metadata", format!("'{name}' is listed twice")));
            }
            metadata.insert(name, value);
        }
        let alignment = match metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(&GgufValue::U32(n)) if n.is_power_of_two() => n,
            Some(other) => {
                let what = format!("an alignment must be a power of two, but is {other:?}");
                return Err(source.malformed("metadata entry 'general.alignment'", what));
            }
        };
        let tensors = read_table(&mut cursor, n_tensors, alignment)?;
        Ok(Self { source, metadata, tensors })
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
        let mut values = self.source.room(tensor.len() as u64, &format!("tensor '{name}'"))?;
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
        let width = tensor.shape.last().copied().unwrap_or(1);
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
            self.source.read_into(start + (index * per_piece * block.bytes) as u64, bytes, &place)?;
            (block.expand)(bytes, piece);
        }
        Ok(())
    }

    fn block(&self, name: &str, tensor: &GgufTensor) -> Result<Block, FileError> {
        tensor.kind.readable().ok_or_else(|| FileError::Unsupported {
            path: self.source.path.clone(),
            place: format!("tensor '{name}'"),
            what: format!("the type {:?}", tensor.kind),
            supported: READABLE,
        })
    }

    fn tensor(&self, name: &str) -> Result<&GgufTensor, FileError> {
        self.tensors.get(name).ok_or_else(|| missing(&self.source, name, &self.tensors))
    }
}

/// Reads the tensor table and checks that every tensor lies in the file, aligned, and apart from the others.
fn read_table(
    cursor: &mut Cursor,
    count: u64,
    alignment: u32,
) -> Result<BTreeMap<String, GgufTensor>, FileError> {
    // The smallest entry: an empty name, the number of axes, one axis, a type and an offset.
    cursor.check_count(count, 8 + 4 + 8 + 4 + 8, "the number of tensors")?;
    let mut tensors = BTreeMap::new();
    for index in 0..count {
        let name = cursor.string(&format!("the name of tensor {index}"))?;
        cursor.spend(1, size_of::<(String, GgufTensor)>(), "the tensor table")?;
        let place = format!("the table entry of tensor '{name}'");
        let n_axes = cursor.u32(&place)?;
        if n_axes == 0 || n_axes > MOST_AXES {
            return Err(cursor.malformed(&place, format!("it has {n_axes} axes (1 to 4 are allowed)")));
        }
        let mut shape = Vec::new();
        for _ in 0..n_axes {
            shape.push(cursor.u64(&place)?);
        }
        let kind = GgufType::from_number(cursor.u32(&place)?);
        let offset = cursor.u64(&place)?;
        if offset % u64::from(alignment) != 0 {
            let what = format!("its offset {offset} is no multiple of the alignment {alignment}");
            return Err(cursor.malformed(&place, what));
        }
        // The size of an unknown format is unknown. Only the start of its data is checked.
        let (per_block, block_bytes) = kind.block().unwrap_or((1, 0));
        let elements = shape.iter().try_fold(1u64, |a, &n| a.checked_mul(n)).filter(|&n| n > 0);
        let bytes = elements.map(|n| n / per_block).and_then(|n| n.checked_mul(block_bytes));
        let (Some(elements), Some(bytes)) = (elements, bytes) else {
            return Err(cursor.malformed(&place, format!("its shape {shape:?} is empty or overflows")));
        };
        if shape[0] % per_block != 0 || usize::try_from(elements).is_err() {
            let what = format!("rows of {} are no whole number of blocks of {per_block}", shape[0]);
            return Err(cursor.malformed(&place, what));
        }
        let shape = shape.iter().rev().map(|&n| n as usize).collect();
        if tensors.contains_key(&name) {
            return Err(cursor.malformed(&place, "the name is listed twice"));
        }
        tensors.insert(name, GgufTensor { shape, kind, offset, bytes });
    }
    let data_start = cursor.position().next_multiple_of(u64::from(alignment));
    let len = cursor.len();
    for (name, tensor) in &mut tensors {
        let start = tensor.offset.checked_add(data_start);
        let end = start.and_then(|start| start.checked_add(tensor.bytes));
        match (start, end) {
            (Some(start), Some(end)) if end <= len => tensor.offset = start,
            _ => {
                let what = format!(
                    "its {} bytes at {} do not fit into a file of {len}",
                    tensor.bytes, tensor.offset
                );
                return Err(cursor.malformed(&format!("tensor '{name}'"), what));
            }
        }
    }
    let mut ranges: Vec<_> = tensors.iter().map(|(name, t)| (t.offset, t.offset + t.bytes, name)).collect();
    ranges.sort_unstable();
    if let Some(pair) = ranges.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        let what = format!("its data overlap those of tensor '{}'", pair[1].2);
        return Err(cursor.malformed(&format!("tensor '{}'", pair[0].2), what));
    }
    Ok(tensors)
}
