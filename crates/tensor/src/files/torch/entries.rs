//! The entries of a pickle by their names.

use super::node::{Id, Node};
use super::pickle::Pickle;
use super::view::{View, called, tensor};
use std::collections::BTreeMap;
use std::fmt;

/// The longest name or text; longer texts are listed as objects.
const LONGEST_TEXT: usize = 256;
/// The longest list whose entries are named one by one.
const LONGEST_LIST: usize = 1024;
/// The limit of bytes of all names.
const NAMES: usize = 1 << 23;
/// The bytes of an entry beside its name, about.
const ENTRY: usize = 128;
/// The depth to which nested dictionaries and lists are read.
const DEPTH: usize = 8;

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

/// An entry that is neither a tensor nor a plain value. It is listed and never made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TorchObject {
    /// An object of a class, with the name of the class.
    Instance(String),
    /// The result of a call, with the name of the function.
    Call(String),
    /// A value that has no place here, such as a whole number above 64 bits, with its description.
    Other(String),
}

impl fmt::Display for TorchObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(class) => write!(f, "an object of the class {class}"),
            Self::Call(function) => write!(f, "the result of a call of {function}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// The entries of a file.
#[derive(Default)]
pub(super) struct Entries {
    /// The tensors, or the reasons why they are not read.
    pub(super) tensors: BTreeMap<String, Result<View, String>>,
    pub(super) scalars: BTreeMap<String, TorchScalar>,
    pub(super) objects: BTreeMap<String, TorchObject>,
}

impl Entries {
    /// Collects the entries of a dictionary or a list at the root.
    pub(super) fn of(pickle: &Pickle) -> Result<Self, String> {
        let holds = match pickle.node(pickle.root) {
            Node::Dict(_) | Node::Items(_) => true,
            Node::Call(call) => !call.entries.is_empty(),
            _ => false,
        };
        if !holds {
            return Err(no_dictionary(pickle));
        }
        let mut entries = Self::default();
        entries.collect(pickle, pickle.root, "", DEPTH, &mut { NAMES })?;
        let list = matches!(pickle.node(pickle.root), Node::Items(_));
        if list && entries.tensors.is_empty() { Err(no_dictionary(pickle)) } else { Ok(entries) }
    }

    /// Collects the entries of a dictionary, a list or an object. Its name precedes the names of its entries.
    fn collect(
        &mut self,
        pickle: &Pickle,
        id: Id,
        prefix: &str,
        depth: usize,
        budget: &mut usize,
    ) -> Result<(), String> {
        let entries: &[(Id, Id)] = match pickle.node(id) {
            Node::Dict(entries) => entries,
            Node::Call(call) => &call.entries,
            Node::Items(items) => {
                for (index, &item) in items.iter().enumerate() {
                    self.entry(pickle, format!("{prefix}{index}"), item, depth, budget)?;
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        for (index, &(key, value)) in entries.iter().enumerate() {
            let name = match pickle.node(key) {
                Node::Int(number) => format!("{prefix}{number}"),
                _ => match pickle.text(key) {
                    Some(text) if text.len() <= LONGEST_TEXT => format!("{prefix}{text}"),
                    _ => {
                        let what = "an entry whose key is neither a whole number nor a short text";
                        self.insert_object(format!("{prefix}?{index}"), TorchObject::Other(what.into()));
                        continue;
                    }
                },
            };
            self.entry(pickle, name, value, depth, budget)?;
        }
        if let (Node::Dict(_), Some(state)) = (pickle.node(id), pickle.state(id)) {
            self.attributes(pickle, state, prefix, depth, budget)?;
        }
        Ok(())
    }

    /// Collects the attributes of an object. PyTorch keeps the versions of modules in one of them, which is left out.
    fn attributes(
        &mut self,
        pickle: &Pickle,
        state: Id,
        prefix: &str,
        depth: usize,
        budget: &mut usize,
    ) -> Result<(), String> {
        let states = match pickle.node(state) {
            // The attributes in the dictionary of an object, and those in its slots.
            Node::Items(states) => states.as_slice(),
            _ => &[state],
        };
        for &state in states {
            let Node::Dict(entries) = pickle.node(state) else { continue };
            for &(key, value) in entries {
                if let Some(text) = pickle.text(key).filter(|text| *text != "_metadata") {
                    let name = format!("{prefix}{}", text.get(..LONGEST_TEXT).unwrap_or(text));
                    self.entry(pickle, name, value, depth, budget)?;
                }
            }
        }
        Ok(())
    }

    /// Adds one entry under its name, and the entries within it.
    fn entry(
        &mut self,
        pickle: &Pickle,
        name: String,
        value: Id,
        depth: usize,
        budget: &mut usize,
    ) -> Result<(), String> {
        // Dictionaries may share parts, so their number does not bound the number of names.
        *budget = budget
            .checked_sub(name.len() + ENTRY)
            .ok_or_else(|| format!("the names of its entries take more than {NAMES} bytes"))?;
        let other = |what: String| TorchObject::Other(what);
        match pickle.node(value) {
            Node::Dict(_) | Node::Items(_) if depth <= 1 => {
                self.insert_object(name, other("a part nested too deeply".into()));
            }
            Node::Items(items) if items.len() > LONGEST_LIST => {
                self.insert_object(name, other(format!("a list of {} entries", items.len())));
            }
            Node::Dict(_) | Node::Items(_) => {
                self.collect(pickle, value, &format!("{name}."), depth - 1, budget)?;
            }
            Node::Call(call) => match tensor(pickle, value) {
                Some(described) => {
                    for &state in described.attributes.iter().filter(|_| depth > 1) {
                        self.attributes(pickle, state, &format!("{name}."), depth - 1, budget)?;
                    }
                    self.insert_tensor(name, described.view);
                }
                None => {
                    let (function, instance) = called(pickle, call);
                    if depth > 1 {
                        self.collect(pickle, value, &format!("{name}."), depth - 1, budget)?;
                    }
                    let object =
                        if instance { TorchObject::Instance(function) } else { TorchObject::Call(function) };
                    self.insert_object(name, object);
                }
            },
            Node::Int(value) => self.insert_scalar(name, TorchScalar::Int(*value)),
            Node::Float(value) => self.insert_scalar(name, TorchScalar::Float(*value)),
            Node::Bool(value) => self.insert_scalar(name, TorchScalar::Bool(*value)),
            Node::Text(range) => match pickle.text(value) {
                Some(text) if text.len() <= LONGEST_TEXT => {
                    self.insert_scalar(name, TorchScalar::Text(text.to_owned()));
                }
                _ => self.insert_object(name, other(format!("a text of {} bytes", range.len()))),
            },
            Node::Wide(bytes) => self.insert_object(name, other(format!("a whole number of {bytes} bytes"))),
            Node::Bytes => self.insert_object(name, other("bytes".into())),
            Node::Outside(_) => self.insert_object(name, other("a storage without a tensor".into())),
            Node::Global { .. } => {
                let (module, global) = pickle.global(value).unwrap_or(("without", "a name"));
                self.insert_object(name, other(format!("the name {module}.{global}")));
            }
            Node::None => {}
        }
        Ok(())
    }

    fn insert_tensor(&mut self, name: String, view: Result<View, String>) {
        let view = if self.taken(&name) { Err(self.twice(&name)) } else { view };
        self.tensors.insert(name, view);
    }

    fn insert_scalar(&mut self, name: String, value: TorchScalar) {
        if self.taken(&name) {
            let twice = self.twice(&name);
            self.tensors.insert(name, Err(twice));
        } else {
            self.scalars.insert(name, value);
        }
    }

    fn insert_object(&mut self, name: String, object: TorchObject) {
        if self.taken(&name) {
            let twice = self.twice(&name);
            self.tensors.insert(name, Err(twice));
        } else {
            self.objects.insert(name, object);
        }
    }

    fn taken(&self, name: &str) -> bool {
        self.tensors.contains_key(name) || self.scalars.contains_key(name) || self.objects.contains_key(name)
    }

    /// Returns the reason why a name that two entries have stands for neither of them.
    fn twice(&mut self, name: &str) -> String {
        self.scalars.remove(name);
        self.objects.remove(name);
        "two entries of the file with this name".into()
    }
}

/// Returns the reason why a pickle without a dictionary at its root is refused.
fn no_dictionary(pickle: &Pickle) -> String {
    let held = match pickle.node(pickle.root) {
        Node::Call(_) if tensor(pickle, pickle.root).is_some() => "a single tensor without a name".into(),
        Node::Call(call) => match called(pickle, call) {
            (class, true) => {
                format!(
                    "a whole object of the class {class}; load it where that class is installed, and save its state_dict()"
                )
            }
            (function, false) => format!("the call of {function}, which is not made"),
        },
        Node::Items(_) => "a list without tensors".into(),
        _ => "a single value".into(),
    };
    format!("it does not hold a dictionary of tensors, but {held}")
}
