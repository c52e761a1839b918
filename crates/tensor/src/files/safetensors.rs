use super::array::{ElementType, FileArray, FileData};
use super::error::FileError;
use super::kind::FileKind;
use super::source::Source;
use collimate_output::{Existing, write};
use safetensors::tensor::{Dtype, Metadata, TensorInfo, View};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// The size of the length field in front of the header.
const PREFIX: u64 = 8;
/// The longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;

/// An open safetensors file. Its header is checked; its tensors are read one at a time.
///
/// # Errors
/// Opening refuses a header longer than the file, unknown element types, ranges that overlap, leave gaps or pass the
/// end, and shapes that do not fill their range. Reading refuses element types other than BOOL, U8, I32, I64, F16,
/// BF16, F32 and F64.
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
/// The safetensors format, version 0.8 of its crate, whose header types and checks are used.
pub struct Safetensors {
    source: Source,
    data_start: u64,
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, TensorInfo>,
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
        let mut in_order: Vec<_> = header.tensors.iter().map(|(n, t)| (n.clone(), t.clone())).collect();
        in_order.sort_by_key(|(_, tensor)| tensor.data_offsets);
        let checked =
            Metadata::new(None, in_order).map_err(|e| source.malformed("the header", e.to_string()))?;
        let data_start = PREFIX + length;
        if data_start.checked_add(checked.data_len() as u64) != Some(source.len) {
            let what = format!(
                "the header and the {} bytes of its tensors do not make up a file of {} bytes",
                checked.data_len(),
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
        let Some(info) = self.tensors.get(name) else {
            return Err(missing(&self.source, name, &self.tensors));
        };
        let place = format!("tensor '{name}'");
        let Some(element) = element_type(info.dtype) else {
            return Err(FileError::Unsupported {
                path: self.source.path.clone(),
                place,
                what: format!("element type {:?}", info.dtype),
                supported: "BOOL, U8, I32, I64, F16, BF16, F32, F64",
            });
        };
        let (start, end) = info.data_offsets;
        let bytes = self.source.read(self.data_start + start as u64, (end - start) as u64, &place)?;
        let data = element
            .decode(bytes)
            .map_err(|b| self.source.malformed(&place, format!("byte {b} is no truth value")))?;
        FileArray::new(info.shape.clone(), data)
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

fn element_type(dtype: Dtype) -> Option<ElementType> {
    Some(match dtype {
        Dtype::BOOL => ElementType::Bool,
        Dtype::U8 => ElementType::U8,
        Dtype::I32 => ElementType::I32,
        Dtype::I64 => ElementType::I64,
        Dtype::F16 => ElementType::F16,
        Dtype::BF16 => ElementType::Bf16,
        Dtype::F32 => ElementType::F32,
        Dtype::F64 => ElementType::F64,
        _ => return None,
    })
}

/// The header as JSON, read entry by entry. The reader of the `safetensors` crate first buffers every value, which takes tens
/// of times the size of the header, and accepts repeated names.
struct Header {
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, TensorInfo>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header { metadata: BTreeMap::new(), tensors: BTreeMap::new() };
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        header.metadata = map.next_value()?;
                        continue;
                    }
                    let info = map.next_value()?;
                    if header.tensors.insert(name.clone(), info).is_some() {
                        return Err(A::Error::custom(format!("the tensor '{name}' is listed twice")));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Writes tensors and free text to a safetensors file. On an error the old file, if any, stays.
///
/// # Errors
/// [`FileError::Malformed`] if a name is given twice, [`FileError::Output`] if writing fails.
///
/// # Determinism
/// The bytes depend only on the tensors and on the free text, whose entries are written in alphabetical order.
pub fn write_safetensors(
    path: impl AsRef<Path>,
    tensors: &[(&str, FileArray)],
    metadata: &[(&str, &str)],
) -> Result<(), FileError> {
    let path = path.as_ref();
    let malformed =
        |what: String| FileError::Malformed { path: path.into(), place: "the header".into(), what };
    let mut names: Vec<_> = tensors.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(malformed(format!("the tensor '{}' is given twice", twice[0])));
    }
    let free: BTreeMap<&str, &str> = metadata.iter().copied().collect();
    if free.len() < metadata.len() {
        return Err(malformed("an entry of the free text is given twice".to_owned()));
    }
    let bytes = safetensors::serialize(tensors.iter().map(|(name, array)| (*name, array)), None)
        .map_err(|e| malformed(e.to_string()))?;
    let bytes = if free.is_empty() { bytes } else { with_free_text(&bytes, &free) };
    Ok(write(path, Existing::Replace, |out| out.write_all(&bytes))?)
}

/// Puts free text in front of the tensors of a header. The `safetensors` crate would write it in the order of a hash map.
fn with_free_text(bytes: &[u8], free: &BTreeMap<&str, &str>) -> Vec<u8> {
    let (prefix, rest) = bytes.split_at(PREFIX as usize);
    let length = u64::from_le_bytes(prefix.try_into().expect("eight bytes")) as usize;
    let (header, data) = rest.split_at(length);
    let tensors = header[1..].trim_ascii();
    let comma = if tensors == b"}" { "" } else { "," };
    let text = serde_json::to_string(free).expect("texts are JSON");
    let mut header = format!("{{\"__metadata__\":{text}{comma}").into_bytes();
    header.extend_from_slice(tensors);
    // The data begin at a multiple of eight bytes, as the format demands.
    header.resize(header.len().next_multiple_of(PREFIX as usize), b' ');
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend_from_slice(&header);
    out.extend_from_slice(data);
    out
}

impl View for &FileArray {
    fn dtype(&self) -> Dtype {
        match FileArray::data(self) {
            FileData::F16(_) => Dtype::F16,
            FileData::Bf16(_) => Dtype::BF16,
            FileData::F32(_) => Dtype::F32,
            FileData::F64(_) => Dtype::F64,
            FileData::I32(_) => Dtype::I32,
            FileData::I64(_) => Dtype::I64,
            FileData::U8(_) => Dtype::U8,
            FileData::Bool(_) => Dtype::BOOL,
        }
    }

    fn shape(&self) -> &[usize] {
        FileArray::shape(self)
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.bytes().into()
    }

    fn data_len(&self) -> usize {
        self.byte_len()
    }
}
