use super::array::{ElementType, FileArray, FileData, checked_len};
use super::error::FileError;
use super::source::{Source, room};
use collimate_output::{Existing, write};
use std::io::{self, Read};
use std::path::Path;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The longest header that is read. By default numpy refuses headers above 10,000 bytes.
const LONGEST_HEADER: usize = 65_536;
const SUPPORTED: &str = "f2, f4, f8, i1, i2, i4, i8, u1, u2, u4, u8 in either byte order, b1";

/// The content of an npy header.
struct Header {
    element: ElementType,
    /// True if the bytes of an element are stored in the order of big-endian machines.
    big_endian: bool,
    fortran: bool,
    shape: Vec<usize>,
    len: usize,
    /// The number of bytes of the data.
    data: u64,
}

/// A file and a place in it, for error messages.
pub(crate) struct Place<'a> {
    pub(crate) path: &'a Path,
    pub(crate) prefix: &'a str,
}

impl Place<'_> {
    fn malformed(&self, place: &str, what: impl Into<String>) -> FileError {
        FileError::Malformed {
            path: self.path.into(),
            place: format!("{}{place}", self.prefix),
            what: what.into(),
        }
    }

    fn io(&self, place: &str, source: io::Error) -> FileError {
        FileError::Io { path: self.path.into(), place: format!("{}{place}", self.prefix), source }
    }
}

/// Reads an npy file (format versions 1 to 3) of floating-point numbers of 16, 32 or 64 bits, integers of 8 to 64 bits, or booleans, in
/// either byte order.
///
/// An array in Fortran order is returned in C order, with its shape. Signed 8-bit and 16-bit integers and unsigned 16-bit integers
/// become i32, unsigned 32-bit integers become i64.
///
/// # Errors
/// [`FileError::Malformed`] if the header cannot be parsed or does not agree with the size of the file,
/// [`FileError::Unsupported`] for another element type, [`FileError::Memory`] if the machine does not give enough memory.
///
/// # Examples
/// ```
/// use collimate_tensor::files::{FileArray, read_npy, write_npy};
/// use ndarray::array;
/// let path = std::env::temp_dir().join(format!("collimate-npy-doc-{}", std::process::id()));
/// write_npy(&path, &FileArray::from(array![[1_i64, 2, 3]]))?;
/// assert_eq!(read_npy(&path)?.shape(), [1, 3]);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # References
/// NumPy Enhancement Proposal 1, "A simple file format for NumPy arrays".
pub fn read_npy(path: impl AsRef<Path>) -> Result<FileArray, FileError> {
    let (path, len, mut reader) = Source::open(path.as_ref())?.into_parts();
    let place = Place { path: &path, prefix: "" };
    let header = read_header(&mut reader, len, &place)?;
    // The length of the file is known, so all memory is requested before the first byte is read.
    let bytes = room(&path, header.data, "the npy data")?;
    read_data(&mut reader, header, bytes, &place)
}

/// Reads an npy file of `total` bytes from a stream. The memory never exceeds a small multiple of the bytes that were
/// received, even if `total` and the header claim more.
pub(crate) fn read_stream(reader: &mut dyn Read, total: u64, place: &Place) -> Result<FileArray, FileError> {
    let header = read_header(reader, total, place)?;
    // `total` may come from a zip directory and be wrong, so the buffer grows with the bytes that are received.
    let bytes = Vec::with_capacity(header.data.min(1 << 20) as usize);
    read_data(reader, header, bytes, place)
}

/// Reads the header of an npy file of `total` bytes.
fn read_header(reader: &mut dyn Read, total: u64, place: &Place) -> Result<Header, FileError> {
    let mut fixed = [0; 8];
    reader.read_exact(&mut fixed).map_err(|e| place.io("the npy magic string", e))?;
    if &fixed[..6] != MAGIC {
        return Err(place.malformed("the npy magic string", "this is not an npy file"));
    }
    let (prefix, header_len) = match fixed[6] {
        1 => {
            let mut n = [0; 2];
            reader.read_exact(&mut n).map_err(|e| place.io("the npy header's length", e))?;
            (10, usize::from(u16::from_le_bytes(n)))
        }
        2 | 3 => {
            let mut n = [0; 4];
            reader.read_exact(&mut n).map_err(|e| place.io("the npy header's length", e))?;
            (12, u32::from_le_bytes(n) as usize)
        }
        other => {
            return Err(FileError::Unsupported {
                path: place.path.into(),
                place: format!("{}the npy header", place.prefix),
                what: format!("npy format version {other}"),
                supported: "1, 2, 3",
            });
        }
    };
    if header_len > LONGEST_HEADER || header_len as u64 + prefix > total {
        let what = format!("its length is given as {header_len} in a file of {total} bytes");
        return Err(place.malformed("the npy header", what));
    }
    let mut text = vec![0; header_len];
    reader.read_exact(&mut text).map_err(|e| place.io("the npy header", e))?;
    let mut header = parse_header(&text, place)?;
    let expected = (header.len as u64).checked_mul(header.element.bytes() as u64);
    let present = total - prefix - header_len as u64;
    if expected != Some(present) {
        let what = format!(
            "the shape {:?} needs {} bytes, but {present} follow the header",
            header.shape,
            expected.map_or("too many".into(), |n| n.to_string())
        );
        return Err(place.malformed("the npy data", what));
    }
    header.data = present;
    Ok(header)
}

/// Reads the elements behind a header into `bytes`.
fn read_data(
    reader: &mut dyn Read,
    header: Header,
    mut bytes: Vec<u8>,
    place: &Place,
) -> Result<FileArray, FileError> {
    let present = header.data;
    reader.take(present).read_to_end(&mut bytes).map_err(|e| place.io("the npy data", e))?;
    if bytes.len() as u64 != present {
        return Err(
            place.malformed("the npy data", format!("only {} of {present} bytes are there", bytes.len()))
        );
    }
    if header.big_endian {
        bytes.chunks_exact_mut(header.element.bytes()).for_each(<[u8]>::reverse);
    }
    if header.fortran && header.shape.len() > 1 {
        bytes = to_c_order(&bytes, &header.shape, header.element.bytes());
    }
    let data = header
        .element
        .decode(bytes)
        .map_err(|b| place.malformed("the npy data", format!("byte {b} is no truth value")))?;
    FileArray::new(header.shape, data)
}

/// Reorders elements from first axis fastest to last axis fastest.
fn to_c_order(bytes: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let n = bytes.len() / size;
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = vec![0usize; shape.len()];
    for _ in 0..n {
        let mut position = 0;
        for (i, extent) in index.iter().zip(shape).rev() {
            position = position * extent + i;
        }
        out.extend_from_slice(&bytes[position * size..(position + 1) * size]);
        for (i, extent) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < *extent {
                break;
            }
            *i = 0;
        }
    }
    out
}

/// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`, the only dictionary of the format.
fn parse_header(text: &[u8], place: &Place) -> Result<Header, FileError> {
    let bad = |what: String| place.malformed("the npy header", what);
    let text = std::str::from_utf8(text).map_err(|e| bad(e.to_string()))?;
    let mut rest = text.trim();
    rest = rest
        .strip_prefix('{')
        .and_then(|r| r.strip_suffix('}'))
        .ok_or_else(|| bad("it is no dictionary in braces".into()))?;
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            break;
        }
        let (key, after) = quoted(rest).ok_or_else(|| bad("a quoted key was expected".into()))?;
        let value =
            after.trim_start().strip_prefix(':').ok_or_else(|| bad(format!("no ':' after '{key}'")))?;
        let value = value.trim_start();
        let known_twice;
        (known_twice, rest) = match key {
            "descr" => {
                let (text, after) =
                    quoted(value).ok_or_else(|| bad("structured element types are not read".into()))?;
                (descr.replace(text).is_some(), after)
            }
            "fortran_order" => {
                let (flag, after) = match (value.strip_prefix("True"), value.strip_prefix("False")) {
                    (Some(after), _) => (true, after),
                    (_, Some(after)) => (false, after),
                    _ => return Err(bad("fortran_order is neither True nor False".into())),
                };
                (fortran.replace(flag).is_some(), after)
            }
            "shape" => {
                let end = value.find(')').ok_or_else(|| bad("the shape is not closed".into()))?;
                let parsed =
                    axes(&value[..end]).ok_or_else(|| bad("the shape is no tuple of sizes".into()))?;
                (shape.replace(parsed).is_some(), &value[end + 1..])
            }
            other => return Err(bad(format!("unknown key '{other}'"))),
        };
        if known_twice {
            return Err(bad(format!("'{key}' is given twice")));
        }
        rest = rest.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(after) => after,
            None if rest.is_empty() => rest,
            None => return Err(bad("a ',' was expected between entries".into())),
        };
    }
    let descr = descr.ok_or_else(|| bad("'descr' is missing".into()))?;
    let Some((element, big_endian)) = element_type(descr) else {
        return Err(FileError::Unsupported {
            path: place.path.into(),
            place: format!("{}the npy header", place.prefix),
            what: format!("element type '{}'", descr.escape_debug()),
            supported: SUPPORTED,
        });
    };
    let fortran = fortran.ok_or_else(|| bad("'fortran_order' is missing".into()))?;
    let shape = shape.ok_or_else(|| bad("'shape' is missing".into()))?;
    let len = checked_len(&shape).ok_or_else(|| bad(format!("the shape {shape:?} overflows")))?;
    Ok(Header { element, big_endian, fortran, shape, len, data: 0 })
}

/// Returns the type that a description such as `<f4` names, and true if its bytes are in the order of big-endian machines.
fn element_type(descr: &str) -> Option<(ElementType, bool)> {
    let (order, kind) = descr.split_at_checked(1)?;
    let element = match kind {
        "f2" => ElementType::F16,
        "f4" => ElementType::F32,
        "f8" => ElementType::F64,
        "i1" => ElementType::I8,
        "i2" => ElementType::I16,
        "i4" => ElementType::I32,
        "i8" => ElementType::I64,
        "u1" => ElementType::U8,
        "u2" => ElementType::U16,
        "u4" => ElementType::U32,
        "u8" => ElementType::U64,
        "b1" => ElementType::Bool,
        _ => return None,
    };
    match order {
        "<" => Some((element, false)),
        ">" => Some((element, true)),
        // No order: only single bytes have none.
        "|" if element.bytes() == 1 => Some((element, false)),
        _ => None,
    }
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

fn axes(text: &str) -> Option<Vec<usize>> {
    let inner = text.strip_prefix('(')?.trim();
    if inner.is_empty() {
        return Some(Vec::new());
    }
    // One axis is written "(3,)". Several axes may or may not end in a comma.
    let inner = inner.strip_suffix(',').unwrap_or(inner);
    let digits = |axis: &str| axis.bytes().all(|b| b.is_ascii_digit()).then(|| axis.parse().ok()).flatten();
    // Python 2 wrote long integers as "3L".
    inner.split(',').map(str::trim).map(|axis| digits(axis.strip_suffix('L').unwrap_or(axis))).collect()
}

/// Writes an npy file (format version 1, C order). On an error the old file, if any, stays.
///
/// # Errors
/// [`FileError::Unsupported`] for bf16, which the format does not have; [`FileError::Output`] if writing fails.
pub fn write_npy(path: impl AsRef<Path>, array: &FileArray) -> Result<(), FileError> {
    let path = path.as_ref();
    let bytes = to_bytes(array, path)?;
    Ok(write(path, Existing::Replace, |out| out.write_all(&bytes))?)
}

pub(crate) fn to_bytes(array: &FileArray, path: &Path) -> Result<Vec<u8>, FileError> {
    let descr = match array.data() {
        FileData::F16(_) => "<f2",
        FileData::F32(_) => "<f4",
        FileData::F64(_) => "<f8",
        FileData::I32(_) => "<i4",
        FileData::I64(_) => "<i8",
        FileData::U64(_) => "<u8",
        FileData::U8(_) => "|u1",
        FileData::Bool(_) => "|b1",
        FileData::Bf16(_) => {
            return Err(FileError::Unsupported {
                path: path.into(),
                place: "the npy header".into(),
                what: "element type bf16".into(),
                supported: SUPPORTED,
            });
        }
    };
    let axes: String = array.shape().iter().map(|n| format!("{n},")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({axes}), }}");
    // The data start at a multiple of 64 bytes, as numpy does.
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    // Only an array with 4,000 axes passes 65,535.
    let length = u16::try_from(header.len()).map_err(|_| FileError::Unsupported {
        path: path.into(),
        place: "the npy header".into(),
        what: format!("an array of {} axes", array.shape().len()),
        supported: "headers up to 65535 bytes",
    })?;
    let data = array.bytes();
    let mut out = Vec::with_capacity(10 + header.len() + data.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[1, 0]);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(&data);
    Ok(out)
}
