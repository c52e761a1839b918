//! Named tensors from any container, with shapes that are checked and errors that name them.

use super::json::Config;
use super::refusal::wrong;
use crate::SaeError;
use collimate_tensor::Scalar;
use collimate_tensor::files::{FileArray, FileKind, Npz, Safetensors, TorchFile, TorchObject, TorchScalar};
use ndarray::{Array1, Array2, Array3, ArrayD, Ix1, Ix2, Ix3};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A large dictionary is a gigabyte a matrix; a compressed archive may not expand beyond this.
const NPZ_LIMIT: u64 = 1 << 34;
/// The names under which files of `torch.save` keep the tensors beside a configuration or an optimiser.
const WRAPPERS: [&str; 4] = ["state_dict.", "model_state_dict.", "sae_state_dict.", "model."];
/// The names that wrappers of a whole model add to the names of its tensors.
const PREFIXES: [&str; 2] = ["_orig_mod.", "module."];
/// The names under which files of `torch.save` keep a configuration.
const CONFIGS: [&str; 4] = ["cfg", "config", "hparams", "hyperparameters"];
/// The modules whose objects are plain data: their calls change nothing.
const PLAIN: [&str; 10] = [
    "numpy.",
    "torch.device",
    "torch.Size",
    "torch.dtype",
    "collections.",
    "datetime.",
    "pathlib.",
    "_codecs.encode",
    "builtins.",
    "__builtin__.",
];
/// The functions of Python's own module that make data.
const DATA: [&str; 7] = ["set", "frozenset", "complex", "bytearray", "slice", "range", "object"];

pub(super) enum Container {
    Safetensors(Safetensors),
    Npz(Npz),
    Torch(TorchFile),
}

pub(super) struct Tensors {
    pub(super) path: PathBuf,
    container: Container,
    /// The names in the container by the names that readers ask for.
    names: BTreeMap<String, String>,
    /// The names that were asked for.
    used: RefCell<BTreeSet<String>>,
    /// The decisions of this layer, in sentences.
    pub(super) notes: Vec<String>,
}

impl Tensors {
    /// Opens a file of any container, told by its content.
    pub(super) fn open(path: PathBuf) -> Result<Self, SaeError> {
        let container = match FileKind::of(&path)? {
            FileKind::Npz => Container::Npz(Npz::open(&path)?.with_limit(NPZ_LIMIT)),
            FileKind::Torch | FileKind::TorchLegacy => Container::Torch(TorchFile::open(&path)?),
            FileKind::Safetensors => Container::Safetensors(Safetensors::open(&path)?),
            FileKind::Gguf | FileKind::Npy | FileKind::Gzip | FileKind::Hdf5 | FileKind::Pickle => {
                let kind = FileKind::of(&path)?;
                let next =
                    if kind.advice().is_empty() { String::new() } else { format!("; {}", kind.advice()) };
                return Err(wrong(
                    &path,
                    format!("this is {kind}, but a file of named tensors was expected{next}"),
                ));
            }
            // A text, a page or a damaged file: the reader that its name promises says what is wrong.
            _ => match path.extension().and_then(|extension| extension.to_str()) {
                Some("npz") => Container::Npz(Npz::open(&path)?.with_limit(NPZ_LIMIT)),
                Some("pt" | "pth" | "bin" | "ckpt") => Container::Torch(TorchFile::open(&path)?),
                _ => Container::Safetensors(Safetensors::open(&path)?),
            },
        };
        let (names, notes) = cleaned(&path, &container)?;
        Ok(Self { path, container, names, used: RefCell::default(), notes })
    }

    pub(super) fn wrong(&self, reason: impl Into<String>) -> SaeError {
        wrong(&self.path, reason)
    }

    /// Returns the metadata of a safetensors file.
    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        match &self.container {
            Container::Safetensors(file) => file.metadata().get(key).map(String::as_str),
            _ => None,
        }
    }

    pub(super) fn is_npz(&self) -> bool {
        matches!(self.container, Container::Npz(_))
    }

    pub(super) fn is_torch(&self) -> bool {
        matches!(self.container, Container::Torch(_))
    }

    /// Returns the configuration that a file of `torch.save` keeps beside its tensors, if there is one.
    ///
    /// # Errors
    /// [`SaeError::File`] if it is an object of a class, which is never made.
    pub(super) fn config(&self) -> Result<Option<Config>, SaeError> {
        let Container::Torch(file) = &self.container else { return Ok(None) };
        for name in CONFIGS {
            if let Some((_, TorchObject::Instance(class))) = file.objects().find(|(key, _)| *key == name) {
                return Err(self.wrong(format!(
                    "its '{name}' is an object of the class {class}, which is not made here; load it where that class is \
                     installed, and save vars({name}) in its place"
                )));
            }
            let prefix = format!("{name}.");
            let mut map = Map::new();
            for (key, value) in file.scalars() {
                if let Some(key) = key.strip_prefix(&prefix) {
                    insert(&mut map, key, value);
                }
            }
            if !map.is_empty() {
                return Config::of(&self.path, map).map(Some);
            }
        }
        Ok(None)
    }

    /// Refuses a file whose pickle calls a function, and names the function. Returns notes on other entries.
    pub(super) fn objects(&self) -> Result<Vec<String>, SaeError> {
        let Container::Torch(file) = &self.container else { return Ok(Vec::new()) };
        let mut notes = Vec::new();
        for (name, object) in file.objects() {
            match object {
                TorchObject::Call(function) if !plain(function) => {
                    return Err(self.wrong(format!(
                        "its pickle calls the function {function} for the entry '{name}'; the call is not made, and such a \
                         file is not trusted: ask its author for safetensors"
                    )));
                }
                object => notes.push(format!("the entry '{name}' is not read: {object}")),
            }
        }
        Ok(notes)
    }

    /// Returns the names of the tensors.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Returns true if there is a tensor or a number with this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains_key(name) || self.beside(name).is_some()
    }

    /// Returns true if there are tensors with all of these names.
    pub(super) fn has_all(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.has(name))
    }

    /// Returns the shape of a tensor, if its container tells it without reading.
    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        let stored = self.names.get(name)?;
        match &self.container {
            Container::Safetensors(file) => file.shape(stored),
            Container::Torch(file) => file.shape(stored),
            Container::Npz(_) => None,
        }
    }

    fn beside(&self, name: &str) -> Option<&TorchScalar> {
        match &self.container {
            Container::Torch(file) => {
                let wrapped = || WRAPPERS.iter().find_map(|wrapper| file.scalar(&format!("{wrapper}{name}")));
                file.scalar(name).or_else(wrapped)
            }
            _ => None,
        }
    }

    /// Returns a value beside the tensors of a file of `torch.save`.
    pub(super) fn scalar(&self, name: &str) -> Option<&TorchScalar> {
        self.beside(name)
    }

    /// Marks a tensor that bears on training only.
    pub(super) fn set_aside(&self, names: &[&str]) {
        self.used.borrow_mut().extend(names.iter().map(|name| (*name).to_owned()));
    }

    /// Refuses tensors that no reader asked for: each bears on what is computed.
    pub(super) fn all_used(&self, architecture: &str) -> Result<(), SaeError> {
        let used = self.used.borrow();
        let left: Vec<&str> = self.names().filter(|name| !used.contains(*name)).collect();
        if left.is_empty() {
            return Ok(());
        }
        let known: Vec<&str> = self.names().filter(|name| used.contains(*name)).collect();
        Err(self.wrong(format!(
            "the tensors {left:?} do not belong to the architecture '{architecture}', which uses {known:?}; the configuration \
             names another architecture than the tensors have, or the file is of a newer release"
        )))
    }

    fn read(&self, name: &str) -> Result<FileArray, SaeError> {
        self.used.borrow_mut().insert(name.to_owned());
        let stored = self.names.get(name).map_or(name, String::as_str);
        Ok(match &self.container {
            Container::Safetensors(file) => file.read(stored)?,
            Container::Npz(file) => file.read(stored)?,
            Container::Torch(file) => file.read(stored)?,
        })
    }

    /// Reads real numbers, also NaN and infinity.
    fn numbers<F: Scalar>(&self, name: &str) -> Result<ArrayD<F>, SaeError> {
        let array = self.read(name)?;
        if array.to_i64().is_some() {
            return Err(self.wrong(format!("'{name}' holds {}, not real numbers", array.type_name())));
        }
        Ok(if F::NAME == "f32" {
            array.to_f32().mapv(|v| F::from_f64(v.into()))
        } else {
            array.to_f64().mapv(F::from_f64)
        })
    }

    fn array<F: Scalar>(&self, name: &str) -> Result<ArrayD<F>, SaeError> {
        let array = self.numbers::<F>(name)?;
        if let Some((place, value)) = array.indexed_iter().find(|(_, value)| !value.is_finite()) {
            let place = ndarray::Dimension::slice(&place).to_vec();
            return Err(self.wrong(format!(
                "the tensor '{name}' holds {value} at {place:?}; every weight must be finite"
            )));
        }
        Ok(array)
    }

    /// Reads a matrix in its stored orientation.
    pub(super) fn matrix<F: Scalar>(&self, name: &str) -> Result<Array2<F>, SaeError> {
        let array = self.array::<F>(name)?;
        let shape = array.shape().to_vec();
        array
            .into_dimensionality::<Ix2>()
            .map_err(|_| self.wrong(format!("'{name}' must be a matrix, but has the shape {shape:?}")))
    }

    /// Reads an array of three axes.
    pub(super) fn cube<F: Scalar>(&self, name: &str) -> Result<Array3<F>, SaeError> {
        let array = self.array::<F>(name)?;
        let shape = array.shape().to_vec();
        array
            .into_dimensionality::<Ix3>()
            .map_err(|_| self.wrong(format!("'{name}' must have three axes, but has the shape {shape:?}")))
    }

    /// Returns true if a tensor is there and one of its numbers is not NaN, which stands for a value that was never set.
    pub(super) fn is_set(&self, name: &str) -> Result<bool, SaeError> {
        Ok(self.has(name) && self.numbers::<f64>(name)?.iter().any(|number| !number.is_nan()))
    }

    /// Reads a vector; axes of length one around it are dropped.
    pub(super) fn vector<F: Scalar>(&self, name: &str) -> Result<Array1<F>, SaeError> {
        let array = self.array::<F>(name)?;
        let shape = array.shape().to_vec();
        if shape.iter().filter(|&&n| n != 1).count() > 1 {
            return Err(self.wrong(format!("'{name}' must be a vector, but has the shape {shape:?}")));
        }
        let len = array.len();
        array
            .into_shape_with_order(len)
            .map_err(|e| self.wrong(format!("'{name}': {e}")))?
            .into_dimensionality::<Ix1>()
            .map_err(|e| self.wrong(format!("'{name}': {e}")))
    }

    /// Reads a single number, whether stored as a tensor or beside the tensors.
    pub(super) fn number(&self, name: &str) -> Result<f64, SaeError> {
        match self.scalar(name) {
            Some(TorchScalar::Int(n)) => return Ok(*n as f64),
            Some(TorchScalar::Float(x)) => return Ok(*x),
            Some(other) => return Err(self.wrong(format!("'{name}' must be a number, but is {other:?}"))),
            None => {}
        }
        let array = self.read(name)?.to_f64();
        match array.as_slice() {
            Some([value]) => Ok(*value),
            _ => {
                Err(self.wrong(format!("'{name}' must be one number, but has the shape {:?}", array.shape())))
            }
        }
    }

    /// Reads a number of latents.
    pub(super) fn count(&self, name: &str) -> Result<usize, SaeError> {
        let count = self.number(name)?;
        if count.fract() == 0.0 && (1.0..1e9).contains(&count) {
            Ok(count as usize)
        } else {
            Err(self.wrong(format!("'{name}' must be a whole number from 1, but is {count}")))
        }
    }
}

/// Returns the names without the parts that wrappers add, and notes on what is left out.
fn cleaned(path: &Path, container: &Container) -> Result<(BTreeMap<String, String>, Vec<String>), SaeError> {
    let stored: Vec<&str> = match container {
        Container::Safetensors(file) => file.names().collect(),
        Container::Npz(file) => file.names().collect(),
        Container::Torch(file) => file.names().collect(),
    };
    let mut notes = Vec::new();
    let inner = |wrapper: &str| stored.iter().any(|name| name.starts_with(wrapper));
    let wrapper = match container {
        Container::Torch(_) => WRAPPERS.into_iter().find(|wrapper| inner(wrapper)).unwrap_or_default(),
        _ => "",
    };
    let outside: Vec<&str> = stored.iter().copied().filter(|name| !name.starts_with(wrapper)).collect();
    if !outside.is_empty() {
        notes.push(format!(
            "only the tensors under '{}' are read, not {outside:?}",
            wrapper.trim_end_matches('.')
        ));
    }
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut removed = BTreeSet::new();
    for name in stored.iter().filter_map(|name| name.strip_prefix(wrapper).map(|short| (short, *name))) {
        let (short, name) = name;
        let mut clean = short.to_owned();
        for prefix in PREFIXES {
            if clean.contains(prefix) {
                clean = clean.replace(prefix, "");
                removed.insert(prefix);
            }
        }
        if let Some(other) = names.insert(clean, name.to_owned()) {
            let what = format!("'{other}' and '{name}' are one name without the prefix that a wrapper adds");
            return Err(wrong(path, what));
        }
    }
    notes.extend(
        removed
            .iter()
            .map(|prefix| format!("the prefix '{prefix}' is removed from the names of the tensors")),
    );
    Ok((names, notes))
}

/// Adds a value to nested maps, by its name with points.
fn insert(map: &mut Map<String, Value>, name: &str, value: &TorchScalar) {
    match name.split_once('.') {
        Some((first, rest)) => {
            let inner = map.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
        None => {
            let value = match value {
                TorchScalar::Int(n) => (*n).into(),
                TorchScalar::Float(x) => {
                    serde_json::Number::from_f64(*x).map_or_else(|| x.to_string().into(), Value::Number)
                }
                TorchScalar::Bool(b) => (*b).into(),
                TorchScalar::Text(text) => text.clone().into(),
            };
            map.insert(name.to_owned(), value);
        }
    }
}

/// Returns true for functions that make plain data.
fn plain(function: &str) -> bool {
    PLAIN.iter().any(|start| match function.strip_prefix(start) {
        Some(rest) if *start == "builtins." || *start == "__builtin__." => DATA.contains(&rest),
        Some(_) => true,
        None => false,
    })
}
