use super::super::array::{FileArray, FileData};
use super::super::error::FileError;
use super::LONGEST_HEADER;
use super::header::METADATA;
use collimate_output::{Existing, write};
use std::fmt::Write as _;
use std::path::Path;

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
