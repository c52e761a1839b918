use super::array::checked_len;
use super::blocks::{Block, GgufType, READABLE};
use super::error::FileError;
use super::source::Source;
use crate::{ShapeError, zeros};
use ndarray::Array2;
use std::fmt;
use std::ops::Range;
use std::path::Path;

/// A matrix whose elements stay in the format of their file until their rows are needed.
///
/// A matrix of `Q4_K` takes 0.5625 bytes for each element in this form, and 4 bytes as f32. A caller expands a few rows at a time, uses them and
/// forgets them. [`Gguf::read_stored`](super::Gguf::read_stored) and [`Safetensors::read_stored`](super::Safetensors::read_stored) read it.
///
/// # Shapes
/// `[rows, columns]`. Of a tensor with more axes, all but the last are joined to the rows; a tensor with one axis has one row.
///
/// # Determinism
/// The expanded numbers have the bits of the complete read. They depend neither on the range of rows nor on the processor.
///
/// # Examples
/// ```
/// use collimate_tensor::files::{GgufType, StoredMatrix};
/// // Two rows of one block each: the scale 0.5 as f16, then 32 signed bytes.
/// let mut bytes = vec![0x00, 0x38];
/// bytes.extend([2; 32]);
/// bytes.extend([0x00, 0x38]);
/// bytes.extend([6; 32]);
/// let matrix = StoredMatrix::new(GgufType::Q8_0, [2, 32], bytes)?;
/// let mut row = [0.0; 32];
/// matrix.expand_rows_into(1..2, &mut row)?;
/// assert_eq!((row[0], matrix.byte_len()), (3.0, 68));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct StoredMatrix {
    kind: GgufType,
    block: Block,
    shape: [usize; 2],
    bytes: Vec<u8>,
}

impl StoredMatrix {
    /// Makes a matrix from the bytes of its rows, which follow each other without gaps.
    ///
    /// # Errors
    /// [`FileError::Unsupported`] for a type that cannot be expanded, [`FileError::Malformed`] if a row is no whole number of blocks or the
    /// number of bytes does not fit.
    pub fn new(kind: GgufType, shape: [usize; 2], bytes: Vec<u8>) -> Result<Self, FileError> {
        let (path, place) = (Path::new("(memory)"), "the matrix");
        let (block, needed) = layout(kind, shape, path, place)?;
        if needed != bytes.len() as u64 {
            let what = format!("{kind:?} of {shape:?} takes {needed} bytes, but {} are given", bytes.len());
            return Err(malformed(path, place, what));
        }
        Ok(Self { kind, block, shape, bytes })
    }

    /// Reads the matrix that begins at `offset`. The bytes are held once.
    pub(super) fn read(
        source: &Source,
        offset: u64,
        kind: GgufType,
        shape: &[usize],
        place: &str,
    ) -> Result<Self, FileError> {
        // The shape was checked against the size of the file, so the product does not overflow.
        let (columns, others) = shape.split_last().map_or((1, shape), |(&n, others)| (n, others));
        let shape = [others.iter().product(), columns];
        let (block, needed) = layout(kind, shape, &source.path, place)?;
        let bytes = source.read(offset, needed, place)?;
        Ok(Self { kind, block, shape, bytes })
    }

    /// Returns `[rows, columns]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Returns the storage type, by its name in GGUF files.
    pub fn kind(&self) -> GgufType {
        self.kind
    }

    /// Returns the number of bytes that the elements take in memory.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Expands some rows into `out`.
    ///
    /// # Shapes
    /// `out`: `[rows.len() · columns]`, row after row.
    ///
    /// # Errors
    /// [`ShapeError::OutOfBounds`] if the matrix has fewer rows, [`ShapeError::Mismatch`] if `out` has another length.
    pub fn expand_rows_into(&self, rows: Range<usize>, out: &mut [f32]) -> Result<(), ShapeError> {
        let [length, columns] = self.shape;
        if rows.end > length {
            return Err(ShapeError::OutOfBounds { argument: "rows", index: rows.end - 1, length });
        }
        ShapeError::check("out", &[rows.len() * columns], &[out.len()])?;
        // A row is a whole number of blocks, as was checked when the matrix was made.
        let row_bytes = columns / self.block.elements * self.block.bytes;
        let start = rows.start.min(rows.end) * row_bytes;
        (self.block.expand)(&self.bytes[start..start + rows.len() * row_bytes], out);
        Ok(())
    }

    /// Expands all rows.
    pub fn to_f32(&self) -> Array2<f32> {
        let mut out = zeros(self.shape);
        let values = out.as_slice_mut().expect("a new array is contiguous");
        self.expand_rows_into(0..self.shape[0], values).expect("the array has the shape of the matrix");
        out
    }
}

impl fmt::Debug for StoredMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [rows, columns] = self.shape;
        write!(f, "StoredMatrix({:?}, [{rows}, {columns}])", self.kind)
    }
}

/// Returns the block of a type and the number of bytes of a matrix.
fn layout(kind: GgufType, shape: [usize; 2], path: &Path, place: &str) -> Result<(Block, u64), FileError> {
    let block = kind.readable().ok_or_else(|| FileError::Unsupported {
        path: path.into(),
        place: place.into(),
        what: format!("the type {kind:?}"),
        supported: READABLE,
    })?;
    let [rows, columns] = shape;
    if columns % block.elements != 0 {
        let what = format!("rows of {columns} are no whole number of blocks of {}", block.elements);
        return Err(malformed(path, place, what));
    }
    // The elements are counted too: after the expansion, their number is a length of memory.
    let bytes = checked_len(&shape).and_then(|n| (n / block.elements).checked_mul(block.bytes));
    match bytes {
        Some(bytes) => Ok((block, bytes as u64)),
        None => Err(malformed(path, place, format!("the shape [{rows}, {columns}] overflows"))),
    }
}

fn malformed(path: &Path, place: &str, what: String) -> FileError {
    FileError::Malformed { path: path.into(), place: place.into(), what }
}
