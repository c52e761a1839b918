use super::array::{ElementType, FileArray, FileData, checked_len};
use super::error::FileError;
use super::kind::FileKind;
use super::source::Source;
use collimate_output::{Existing, write};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// The size of the length field in front of the header.
const PREFIX: u64 = 8;
/// The longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;
/// The name of the entry of the header that is no tensor but free text.
const METADATA: &str = "__metadata__";
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

/// The entry of one tensor in the header.
#[derive(serde::Deserialize)]
struct Info {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
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
        let Some(info) = self.tensors.get(name) else {
            return Err(missing(&self.source, name, &self.tensors));
        };
        let place = format!("tensor '{name}'");
        let (Some(element), _) = element_type(&info.dtype) else {
            return Err(FileError::Unsupported {
                path: self.source.path.clone(),
                place,
                what: format!("element type {}", info.dtype.escape_debug()),
                supported: SUPPORTED,
            });
        };
        let (start, end) = info.data_offsets;
        let bytes = self.source.read(self.data_start + start, end - start, &place)?;
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

/// Returns the element type of a name, if it can be read, and the number of bits of an element, if it is known.
fn element_type(dtype: &str) -> (Option<ElementType>, Option<usize>) {
    let element = match dtype {
        "BOOL" => ElementType::Bool,
        "U8" => ElementType::U8,
        "U16" => ElementType::U16,
        "U32" => ElementType::U32,
        "U64" => ElementType::U64,
        "I8" => ElementType::I8,
        "I16" => ElementType::I16,
        "I32" => ElementType::I32,
        "I64" => ElementType::I64,
        "F8_E4M3" => ElementType::F8E4M3,
        "F8_E5M2" => ElementType::F8E5M2,
        "F8_E4M3FNUZ" => ElementType::F8E4M3Fnuz,
        "F8_E5M2FNUZ" => ElementType::F8E5M2Fnuz,
        "F8_E8M0" => ElementType::F8E8M0,
        "F16" => ElementType::F16,
        "BF16" => ElementType::Bf16,
        "F32" => ElementType::F32,
        "F64" => ElementType::F64,
        "F4" => return (None, Some(4)),
        "F6_E2M3" | "F6_E3M2" => return (None, Some(6)),
        "C64" => return (None, Some(64)),
        _ => return (None, None),
    };
    (Some(element), Some(8 * element.bytes()))
}

/// Checks that the tensors lie one behind another without gaps and that each shape fills its range. Returns the number of bytes.
fn check_ranges(tensors: &BTreeMap<String, Info>) -> Result<u64, String> {
    let mut in_order: Vec<_> = tensors.iter().collect();
    in_order.sort_by_key(|(_, info)| info.data_offsets);
    let mut next = 0;
    for (name, info) in in_order {
        let (start, end) = info.data_offsets;
        if start != next || end < start {
            return Err(format!("tensor '{name}': invalid offsets {start} to {end} behind byte {next}"));
        }
        next = end;
        let shape = &info.shape;
        let elements =
            checked_len(shape).ok_or_else(|| format!("tensor '{name}': the shape {shape:?} overflows"))?;
        // The size of an unknown type is whatever its range says.
        let Some(bits) = element_type(&info.dtype).1 else { continue };
        if (elements as u128 * bits as u128) != u128::from(end - start) * 8 {
            let given = end - start;
            return Err(format!(
                "tensor '{name}': invalid shape {shape:?} of {} for {given} bytes",
                info.dtype
            ));
        }
    }
    Ok(next)
}

/// The header as JSON, read entry by entry. The reader of the `safetensors` crate first buffers every value, which takes tens
/// of times the size of the header, and accepts repeated names.
struct Header {
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, Info>,
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
                let (mut metadata, mut tensors) = (None, BTreeMap::new());
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA {
                        // Some writers store the absence of free text as null.
                        let text: Option<Texts> = map.next_value()?;
                        if metadata.replace(text.map(|text| text.0).unwrap_or_default()).is_some() {
                            return Err(A::Error::custom(format!("'{METADATA}' is listed twice")));
                        }
                        continue;
                    }
                    let info = map.next_value()?;
                    if tensors.insert(name.clone(), info).is_some() {
                        return Err(A::Error::custom(format!("the tensor '{name}' is listed twice")));
                    }
                }
                Ok(Header { metadata: metadata.unwrap_or_default(), tensors })
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The free text of a header. A key that is given twice is an error, because one of its values would be lost.
struct Texts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Texts;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut texts = BTreeMap::new();
                while let Some((key, text)) = map.next_entry::<String, String>()? {
                    if texts.insert(key.clone(), text).is_some() {
                        return Err(A::Error::custom(format!("the metadata '{key}' are listed twice")));
                    }
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Writes tensors and free text to a safetensors file. On an error the old file, if any, stays.
///
/// # Errors
/// [`FileError::Malformed`] if a name or a key is given twice or if a tensor is named `__metadata__`, which is the name of the free text;
/// [`FileError::TooLarge`] for a header of more than 100 MB; [`FileError::Output`] if writing fails.
///
/// # Determinism
/// The bytes depend only on the tensors and the free text. Tensors are ordered by the size of their elements and then by name,
/// free text by its keys.
pub fn write_safetensors(
    path: impl AsRef<Path>,
    tensors: &[(&str, FileArray)],
    metadata: &[(&str, &str)],
) -> Result<(), FileError> {
    let path = path.as_ref();
    let malformed =
        |what: String| FileError::Malformed { path: path.into(), place: "the header".into(), what };
    let mut in_order: Vec<&(&str, FileArray)> = tensors.iter().collect();
    // The order of the reference implementation: large elements first, so that each range is aligned.
    in_order.sort_by(|(a, x), (b, y)| stored_type(y).1.cmp(&stored_type(x).1).then(a.cmp(b)));
    let mut texts = metadata.to_vec();
    texts.sort_unstable();
    let mut names: Vec<&str> = tensors.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(malformed(format!("the tensor '{}' is given twice", twice[0])));
    }
    if let Some(twice) = texts.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(malformed(format!("the metadata '{}' are given twice", twice[0].0)));
    }
    if names.binary_search(&METADATA).is_ok() {
        let what =
            format!("a tensor cannot be named '{METADATA}', which is the name of the free text; rename it");
        return Err(malformed(what));
    }
    let header = header_of(&in_order, &texts);
    let length = header.len() as u64;
    if length > LONGEST_HEADER {
        let (path, place) = (path.into(), "the header".into());
        return Err(FileError::TooLarge { path, place, needed: length, limit: LONGEST_HEADER });
    }
    Ok(write(path, Existing::Replace, |out| {
        out.write_all(&length.to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        in_order.iter().try_for_each(|(_, array)| out.write_all(&array.bytes()))
    })?)
}

/// Returns the header as JSON, padded with spaces to a multiple of 8 bytes.
fn header_of(tensors: &[&(&str, FileArray)], texts: &[(&str, &str)]) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut entries = Vec::with_capacity(tensors.len() + 1);
    if !texts.is_empty() {
        let texts: Vec<String> =
            texts.iter().map(|(key, text)| format!("{}:{}", quoted(key), quoted(text))).collect();
        entries.push(format!("\"{METADATA}\":{{{}}}", texts.join(",")));
    }
    let mut start = 0;
    for (name, array) in tensors {
        let end = start + array.byte_len();
        let mut entry = format!("{}:{{\"dtype\":\"{}\",\"shape\":[", quoted(name), stored_type(array).0);
        for (axis, n) in array.shape().iter().enumerate() {
            let comma = if axis == 0 { "" } else { "," };
            write!(entry, "{comma}{n}").expect("a text takes all writes");
        }
        write!(entry, "],\"data_offsets\":[{start},{end}]}}").expect("a text takes all writes");
        entries.push(entry);
        start = end;
    }
    let mut header = format!("{{{}}}", entries.join(","));
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    header
}

/// Returns the name under which the elements of an array are stored, and the place of that type in the order of a file.
fn stored_type(array: &FileArray) -> (&'static str, usize) {
    match array.data() {
        FileData::Bool(_) => ("BOOL", 0),
        FileData::U8(_) => ("U8", 1),
        FileData::F16(_) => ("F16", 2),
        FileData::Bf16(_) => ("BF16", 3),
        FileData::I32(_) => ("I32", 4),
        FileData::F32(_) => ("F32", 5),
        FileData::F64(_) => ("F64", 6),
        FileData::I64(_) => ("I64", 7),
        FileData::U64(_) => ("U64", 8),
    }
}
