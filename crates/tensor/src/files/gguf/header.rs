use super::super::FileError;
use super::super::blocks::GgufType;
use super::super::source::Source;
use super::cursor::Cursor;
use super::value::GgufValue;
use std::collections::BTreeMap;

/// The alignment of the tensors if the file does not name one.
const DEFAULT_ALIGNMENT: u32 = 32;
/// The largest number of axes that the format allows.
const MOST_AXES: u32 = 4;

/// The entry of one tensor in the table of a GGUF file.
#[derive(Clone, Debug, PartialEq)]
pub struct GgufTensor {
    /// The length of each axis, slowest first (the file lists them in reverse).
    pub shape: Vec<usize>,
    /// The storage format of the elements.
    pub kind: GgufType,
    /// The number of the file, among the files of a split model.
    pub(super) part: usize,
    /// The position of the data, from the beginning of the file.
    pub(super) offset: u64,
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

/// One file: a model, or a part of a split one.
pub(super) struct Part {
    pub(super) source: Source,
    pub(super) metadata: BTreeMap<String, GgufValue>,
    pub(super) tensors: BTreeMap<String, GgufTensor>,
    /// The number of bytes of memory that the headers take, up to this one.
    pub(super) spent: u64,
}

impl Part {
    /// Reads and checks the header. The memory of the headers that were read before it is `spent`, in bytes.
    pub(super) fn parse(source: Source, spent: u64) -> Result<Self, FileError> {
        let mut cursor = Cursor::new(&source, spent);
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
        let spent = cursor.spent();
        Ok(Self { source, metadata, tensors, spent })
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
        let (per_block, block_bytes) = kind.block_size().unwrap_or((1, 0));
        let (per_block, block_bytes) = (per_block as u64, block_bytes as u64);
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
        tensors.insert(name, GgufTensor { shape, kind, part: 0, offset, bytes });
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
