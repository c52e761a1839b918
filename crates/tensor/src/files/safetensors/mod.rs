mod header;
mod writer;

use super::array::{ElementType, FileArray};
use super::blocks::GgufType;
use super::error::FileError;
use super::kind::FileKind;
use super::source::Source;
use super::stored::StoredMatrix;
use header::{Header, Info, check_ranges, element_type};
use std::collections::BTreeMap;
use std::path::Path;
pub use writer::write_safetensors;

/// The size of the length field in front of the header.
const PREFIX: u64 = 8;
/// The longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;
/// The element types that can be read.
const SUPPORTED: &str = "BOOL, U8, U16, U32, U64, I8, I16, I32, I64, F8_E4M3, F8_E5M2, F8_E4M3FNUZ, F8_E5M2FNUZ, F8_E8M0, F16, BF16, \
                         F32, F64";

/// An open safetensors file. Its header is checked; its tensors are read one at a time.
///
/// # Errors
/// Opening refuses a header longer than the file, ranges that overlap, leave gaps or pass the end, shapes that do not fill their
/// range, and names or free text given twice. Reading refuses complex numbers, types of less than 8 bits and unknown types; the
/// other tensors of such a file are readable.
///
/// # Examples
/// ```
/// use collimate_tensor::files::{FileArray, Safetensors, write_safetensors};
/// use ndarray::array;
/// let path = std::env::temp_dir().join(format!("collimate-st-doc-{}", std::process::id()));
/// write_safetensors(&path, &[("w", FileArray::from(array![1.5_f32, -2.0]))], &[])?;
/// let file = Safetensors::open(&path)?;
/// assert_eq!(file.names().collect::<Vec<_>>(), ["w"]);
/// assert_eq!(file.read("w")?.to_f32()[1], -2.0);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # References
/// The format description of the safetensors project; the element types are those of version 0.8 of its crate.
pub struct Safetensors {
    source: Source,
    data_start: u64,
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, Info>,
}

impl Safetensors {
    /// Opens a file and checks its header.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        Self::parse(Source::open(path.as_ref())?)
    }

    /// Reads a file that is already in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, FileError> {
        Self::parse(Source::memory(bytes))
    }

    fn parse(source: Source) -> Result<Self, FileError> {
        source.expect(&[FileKind::Safetensors], "a safetensors file")?;
        let mut prefix = [0; PREFIX as usize];
        source.read_into(0, &mut prefix, "the header's length")?;
        let length = u64::from_le_bytes(prefix);
        if length > LONGEST_HEADER {
            return Err(FileError::TooLarge {
                path: source.path.clone(),
                place: "the header".into(),
                needed: length,
                limit: LONGEST_HEADER,
            });
        }
        let bytes = source.read(PREFIX, length, "the header")?;
        let header: Header =
            serde_json::from_slice(&bytes).map_err(|e| source.malformed("the header", e.to_string()))?;
        drop(bytes);
        let data = check_ranges(&header.tensors).map_err(|what| source.malformed("the header", what))?;
        let data_start = PREFIX + length;
        if data_start.checked_add(data) != Some(source.len) {
            let what = format!(
                "the header and the {data} bytes of its tensors do not make up a file of {} bytes",
                source.len
            );
            return Err(source.malformed("the data", what));
        }
        Ok(Self { source, data_start, metadata: header.metadata, tensors: header.tensors })
    }

    /// Returns the names of the tensors, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Returns the free text in the header.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Returns the shape of a tensor, without reading it.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|info| info.shape.as_slice())
    }

    /// Reads one tensor.
    ///
    /// # Errors
    /// [`FileError::Missing`] if there is no tensor of this name, [`FileError::Unsupported`] for another element type.
    pub fn read(&self, name: &str) -> Result<FileArray, FileError> {
        let (info, place) = self.tensor(name)?;
        let (Some(element), _) = element_type(&info.dtype) else {
            return Err(self.unsupported(info, place, SUPPORTED));
        };
        let (start, end) = info.data_offsets;
        let bytes = self.source.read(self.data_start + start, end - start, &place)?;
        let data = element
            .decode(bytes)
            .map_err(|b| self.source.malformed(&place, format!("byte {b} is no truth value")))?;
        FileArray::new(info.shape.clone(), data)
    }
    /// Reads one tensor of F16, BF16 or F32 in the form in which it is stored. Its rows are expanded when they are needed.
    ///
    /// # Shapes
    /// The shape of a [`StoredMatrix`]: all axes but the last are joined to the rows. A single number is a matrix `[1, 1]`.
    ///
    /// # Errors
    /// [`FileError::Missing`] if there is no tensor of this name, [`FileError::Unsupported`] for another element type.
    ///
    /// # Examples
    /// ```
    /// use collimate_tensor::files::{FileArray, Safetensors, write_safetensors};
    /// use ndarray::array;
    /// let path = std::env::temp_dir().join(format!("collimate-stored-doc-{}", std::process::id()));
    /// write_safetensors(&path, &[("w", FileArray::from(array![[1.0_f32, 2.0], [3.0, 4.0]]))], &[])?;
    /// let w = Safetensors::open(&path)?.read_stored("w")?;
    /// let mut row = [0.0; 2];
    /// w.expand_rows_into(1..2, &mut row)?;
    /// assert_eq!(row, [3.0, 4.0]);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_stored(&self, name: &str) -> Result<StoredMatrix, FileError> {
        let (info, place) = self.tensor(name)?;
        let kind = match element_type(&info.dtype).0 {
            Some(ElementType::F16) => GgufType::F16,
            Some(ElementType::Bf16) => GgufType::BF16,
            Some(ElementType::F32) => GgufType::F32,
            _ => return Err(self.unsupported(info, place, "F16, BF16, F32")),
        };
        StoredMatrix::read(&self.source, self.data_start + info.data_offsets.0, kind, &info.shape, &place)
    }

    /// Returns a tensor with its place for messages.
    fn tensor(&self, name: &str) -> Result<(&Info, String), FileError> {
        let info = self.tensors.get(name).ok_or_else(|| missing(&self.source, name, &self.tensors))?;
        Ok((info, format!("tensor '{name}'")))
    }

    fn unsupported(&self, info: &Info, place: String, supported: &'static str) -> FileError {
        let what = format!("element type {}", info.dtype.escape_debug());
        FileError::Unsupported { path: self.source.path.clone(), place, what, supported }
    }
}

/// Returns the error that names the wanted entry and an existing one.
pub(crate) fn missing<T>(source: &Source, name: &str, entries: &BTreeMap<String, T>) -> FileError {
    let near = entries.range(name.to_owned()..).next().or_else(|| entries.last_key_value());
    FileError::Missing {
        path: source.path.clone(),
        name: name.into(),
        count: entries.len(),
        near: near.map_or_else(String::new, |(key, _)| key.clone()),
    }
}
