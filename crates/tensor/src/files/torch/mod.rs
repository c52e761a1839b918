//! Files of `torch.save`: a zip archive with a pickle of the structure and one member for each storage.

mod pickle;

use super::FileError;
use super::array::{ElementType, FileArray, checked_len};
use super::safetensors::missing;
use super::source::Source;
use super::zip::{Member, content, members};
use pickle::{Id, Node, Pickle};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// The longest pickle that is read. A tensor takes about 200 bytes of it.
const LONGEST_PICKLE: u64 = 1 << 22;
/// The longest name or text; longer ones are skipped.
const LONGEST_TEXT: usize = 256;
/// The largest number of axes of a tensor.
const AXES: usize = 8;
/// The limit of bytes to which a compressed storage may expand, unless the file itself is larger.
const EXPANDED_LIMIT: u64 = 1 << 30;
/// The depth to which nested dictionaries are read.
const DEPTH: usize = 4;

/// An open file of `torch.save`. Its structure is read; its tensors are read one at a time.
///
/// A pickle is a program, and PyTorch runs it to load the file. Here it is read as data: numbers, texts, dictionaries, and calls
/// of `_rebuild_tensor_v2` on stored numbers. No other call is made, and its result is skipped. Names of nested dictionaries
/// are joined by points (`trainer.k`).
///
/// # Errors
/// Opening refuses archives older than torch 1.6, broken zip directories, opcodes that files of weights do not have, and
/// pickles above 4 MiB. Reading refuses views that leave their storage or repeat its elements, storages whose length differs
/// from the pickle, big-endian files, and element types that [`FileData`](super::FileData) does not have.
///
/// # Examples
/// ```
/// # use collimate_tensor::files::TorchFile;
/// assert!(TorchFile::from_bytes(b"cos\nsystem\n(S'echo'\ntR.".to_vec()).is_err());
/// ```
pub struct TorchFile {
    source: Source,
    storages: BTreeMap<String, Member>,
    tensors: BTreeMap<String, View>,
    scalars: BTreeMap<String, TorchScalar>,
}

/// A value that is not a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum TorchScalar {
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A text.
    Text(String),
}

/// The description of a tensor in the pickle.
struct View {
    element: Result<ElementType, String>,
    storage: String,
    elements: u64,
    offset: u64,
    shape: Vec<usize>,
    strides: Vec<u64>,
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
        const PLACE: &str = "the pickle";
        let mut members: BTreeMap<String, Member> =
            members(&source)?.into_iter().map(|member| (member.name.clone(), member)).collect();
        let pickle = members.keys().find(|name| name.ends_with("/data.pkl")).cloned();
        let pickle = pickle.ok_or_else(|| source.malformed(PLACE, "the archive has no member data.pkl"))?;
        let folder = pickle.trim_end_matches("data.pkl").to_owned();
        let bytes = expand(&source, &members[&pickle], LONGEST_PICKLE, PLACE)?;
        if let Some(order) = members.get(&format!("{folder}byteorder"))
            && expand(&source, order, 64, "the byte order")? != b"little"
        {
            return Err(source.malformed("the byte order", "it is not 'little'"));
        }
        let pickle = Pickle::read(bytes).map_err(|what| source.malformed(PLACE, what))?;
        let prefix = format!("{folder}data/");
        let mut storages = BTreeMap::new();
        while let Some((name, member)) = members.pop_last() {
            if let Some(key) = name.strip_prefix(&prefix) {
                storages.insert(key.to_owned(), member);
            }
        }
        let mut file = Self { source, storages, tensors: BTreeMap::new(), scalars: BTreeMap::new() };
        let mut budget = 1 << 16;
        file.collect(&pickle, pickle.root, "", DEPTH, &mut budget)
            .map_err(|what| file.source.malformed(PLACE, what))?;
        Ok(file)
    }

    /// Collects the entries of a dictionary. The name of a nested dictionary precedes the names of its entries.
    fn collect(
        &mut self,
        pickle: &Pickle,
        id: Id,
        prefix: &str,
        depth: usize,
        budget: &mut usize,
    ) -> Result<(), String> {
        let Node::Dict(entries) = pickle.node(id) else {
            return if prefix.is_empty() {
                Err("it does not hold a dictionary of tensors".into())
            } else {
                Ok(())
            };
        };
        for &(key, value) in entries {
            // Dictionaries may share parts, so their number does not bound the number of names.
            *budget = budget.checked_sub(1).ok_or("it names more than 65,536 entries")?;
            let key = match pickle.node(key) {
                Node::Int(number) => number.to_string(),
                _ => match pickle.text(key) {
                    Some(text) if text.len() <= LONGEST_TEXT => text.to_owned(),
                    _ => continue,
                },
            };
            let name = format!("{prefix}{key}");
            let scalar = match pickle.node(value) {
                Node::Dict(_) if depth > 1 => {
                    self.collect(pickle, value, &format!("{name}."), depth - 1, budget)?;
                    continue;
                }
                Node::Int(value) => TorchScalar::Int(*value),
                Node::Float(value) => TorchScalar::Float(*value),
                Node::Bool(value) => TorchScalar::Bool(*value),
                Node::Text(_) => match pickle.text(value) {
                    Some(text) if text.len() <= LONGEST_TEXT => TorchScalar::Text(text.to_owned()),
                    _ => continue,
                },
                Node::Call { .. } => {
                    if let Some(view) = tensor(pickle, value).map_err(|what| format!("{name}: {what}"))? {
                        self.tensors.insert(name, view);
                    }
                    continue;
                }
                _ => continue,
            };
            self.scalars.insert(name, scalar);
        }
        Ok(())
    }

    /// Returns the names of the tensors, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Returns the shape of a tensor, without reading it.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|view| view.shape.as_slice())
    }

    /// Returns a value that is not a tensor.
    pub fn scalar(&self, name: &str) -> Option<&TorchScalar> {
        self.scalars.get(name)
    }

    /// Reads one tensor. Its elements are returned in row order, also if the storage has another order.
    ///
    /// # Errors
    /// The errors listed at the type; [`FileError::Missing`] if there is no tensor of this name.
    pub fn read(&self, name: &str) -> Result<FileArray, FileError> {
        let Some(view) = self.tensors.get(name) else {
            return Err(missing(&self.source, name, &self.tensors));
        };
        let place = format!("tensor '{name}'");
        let bad = |what: String| self.source.malformed(&place, what);
        let element = view.element.as_ref().map_err(|what| FileError::Unsupported {
            path: self.source.path.clone(),
            place: place.clone(),
            what: what.clone(),
            supported: "bool, uint8, int32, int64, float16, bfloat16, float32, float64",
        })?;
        let size = element.bytes();
        let member = self
            .storages
            .get(&view.storage)
            .ok_or_else(|| bad(format!("its storage '{}' is not in the archive", view.storage)))?;
        if view.elements.checked_mul(size as u64) != Some(member.size) {
            let what =
                format!("its storage has {} bytes, not {} elements of {size}", member.size, view.elements);
            return Err(bad(what));
        }
        let count = checked_len(&view.shape).filter(|&count| count as u64 <= view.elements);
        let count =
            count.ok_or_else(|| bad(format!("the shape {:?} is larger than its storage", view.shape)))?;
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
        let stored = expand(&self.source, member, EXPANDED_LIMIT.max(self.source.len), &place)?;
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

/// Returns the tensor that this call would make, if it makes one.
fn tensor(pickle: &Pickle, id: Id) -> Result<Option<View>, String> {
    let Node::Call { function, arguments } = pickle.node(id) else { return Ok(None) };
    let Some((module, name)) = pickle.global(*function) else { return Ok(None) };
    let Some(arguments) = pickle.items(*arguments) else { return Ok(None) };
    match (module, name) {
        // A parameter is a tensor with a flag. PyTorch writes no parameter of a parameter.
        ("torch._utils", "_rebuild_parameter") => {
            match arguments.first().map(|&inner| (inner, pickle.node(inner))) {
                Some((inner, Node::Call { function, .. }))
                    if pickle.global(*function) == Some(("torch._utils", "_rebuild_tensor_v2")) =>
                {
                    tensor(pickle, inner)
                }
                _ => Err("a parameter that holds no tensor".into()),
            }
        }
        ("torch._utils", "_rebuild_tensor_v2") => {
            let &[storage, offset, shape, strides, ..] = arguments else {
                return Err("a tensor with fewer than four parts".into());
            };
            let Node::Outside(storage) = pickle.node(storage) else {
                return Err("a tensor without a storage".into());
            };
            let parts = pickle.items(*storage).unwrap_or_default();
            let &[tag, class, key, _, elements] = parts else {
                return Err("a storage that is not described by five parts".into());
            };
            if pickle.text(tag) != Some("storage") {
                return Err("a storage without its mark".into());
            }
            let (_, class) = pickle.global(class).ok_or("a storage without an element type")?;
            let natural = |id: Id| pickle.int(id).and_then(|n| u64::try_from(n).ok());
            let naturals = |id: Id| -> Option<Vec<u64>> {
                let items = pickle.items(id).filter(|items| items.len() <= AXES)?;
                items.iter().map(|&n| natural(n)).collect()
            };
            let shape = naturals(shape).ok_or("a shape that is not made of at most eight whole numbers")?;
            let strides = naturals(strides).ok_or("strides that are not whole numbers")?;
            if shape.len() != strides.len() {
                return Err(format!("{} axes with {} strides", shape.len(), strides.len()));
            }
            let shape = shape.into_iter().map(|n| usize::try_from(n).map_err(|e| e.to_string()));
            Ok(Some(View {
                element: element(class),
                storage: pickle.text(key).ok_or("a storage without a name")?.to_owned(),
                elements: natural(elements).ok_or("a storage without a length")?,
                offset: natural(offset).ok_or("an offset that is no whole number")?,
                shape: shape.collect::<Result<_, _>>()?,
                strides,
            }))
        }
        _ => Ok(None),
    }
}

fn element(class: &str) -> Result<ElementType, String> {
    Ok(match class {
        "FloatStorage" => ElementType::F32,
        "DoubleStorage" => ElementType::F64,
        "HalfStorage" => ElementType::F16,
        "BFloat16Storage" => ElementType::Bf16,
        "IntStorage" => ElementType::I32,
        "LongStorage" => ElementType::I64,
        "ByteStorage" => ElementType::U8,
        "BoolStorage" => ElementType::Bool,
        other => return Err(format!("the storage type {other}")),
    })
}

/// Reads the content of a member, at most `limit` bytes, and checks its check sum.
fn expand(source: &Source, member: &Member, limit: u64, place: &str) -> Result<Vec<u8>, FileError> {
    if member.size > limit {
        return Err(FileError::TooLarge {
            path: source.path.clone(),
            place: place.into(),
            needed: member.size,
            limit,
        });
    }
    let mut content = content(source, member, place)?;
    let mut bytes = Vec::new();
    // The buffer grows with the received bytes, so a wrong size alone takes no memory.
    (&mut content)
        .take(member.size)
        .read_to_end(&mut bytes)
        .map_err(|error| source.malformed(place, error.to_string()))?;
    if bytes.len() as u64 != member.size {
        return Err(source.malformed(place, format!("{} bytes came instead of {}", bytes.len(), member.size)));
    }
    content.finish().map_err(|what| source.malformed(place, what))?;
    Ok(bytes)
}
