//! Tensors as a pickle describes them.

use super::node::{Call, Id, Node};
use super::pickle::Pickle;
use crate::files::array::ElementType;

/// The largest number of axes of a tensor.
const AXES: usize = 8;
/// The largest number of wrappers around a tensor: a parameter of a subclass with attributes has three.
const WRAPPERS: usize = 4;

/// The description of a tensor in the pickle.
pub(super) struct View {
    pub(super) element: Result<ElementType, String>,
    pub(super) storage: String,
    pub(super) elements: u64,
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<u64>,
}

/// A tensor with the attributes that were set on it.
pub(super) struct Described {
    /// The tensor, or the reason why it is not read.
    pub(super) view: Result<View, String>,
    /// The dictionaries of its attributes.
    pub(super) attributes: Vec<Id>,
}

/// Returns the tensor that this call would make, if it would make one.
pub(super) fn tensor(pickle: &Pickle, id: Id) -> Option<Described> {
    let mut attributes: Vec<Id> = pickle.state(id).into_iter().collect();
    let mut id = id;
    for _ in 0..WRAPPERS {
        let Node::Call(call) = pickle.node(id) else { return None };
        let (function, arguments) = (pickle.global(call.function)?, pickle.items(call.arguments)?);
        let view = match function {
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => view(pickle, arguments),
            // A parameter is a tensor with a flag.
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                attributes.extend(arguments.get(3));
                match arguments.first() {
                    Some(&inner) if matches!(pickle.node(inner), Node::Call(_)) => {
                        id = inner;
                        continue;
                    }
                    _ => Err("a parameter that holds no tensor".into()),
                }
            }
            // A tensor with attributes: the function, the class, the arguments, the attributes.
            ("torch._tensor", "_rebuild_from_type_v2") => {
                attributes.extend(arguments.get(3));
                let dense = |name| matches!(name, "_rebuild_tensor_v2" | "_rebuild_tensor");
                let function = arguments.first().and_then(|&function| pickle.global(function));
                match (function, arguments.get(2).and_then(|&arguments| pickle.items(arguments))) {
                    (Some(("torch._utils", name)), Some(arguments)) if dense(name) => view(pickle, arguments),
                    (Some((module, name)), _) => Err(format!("a tensor made by {module}.{name}")),
                    _ => Err("a tensor made by an unnamed function".into()),
                }
            }
            ("torch._utils" | "torch._tensor", name) if name.starts_with("_rebuild") => {
                Err(format!("a tensor made by {name}"))
            }
            ("torch.storage", "_load_from_bytes") => Err("a storage within the pickle".into()),
            _ => return None,
        };
        return Some(Described { view, attributes });
    }
    Some(Described { view: Err("a tensor within more than four wrappers".into()), attributes })
}

/// Returns the name of the class or function of a call, and true if the call makes an instance of a class.
pub(super) fn called(pickle: &Pickle, call: &Call) -> (String, bool) {
    let name = |id| pickle.global(id).map(|(module, name)| format!("{module}.{name}"));
    let first = || pickle.items(call.arguments).and_then(|arguments| arguments.first().copied());
    match pickle.global(call.function) {
        // The first protocols make every object by this function.
        Some(("copyreg" | "copy_reg", "_reconstructor")) => {
            (first().and_then(name).unwrap_or_else(|| "without a name".into()), true)
        }
        _ => (name(call.function).unwrap_or_else(|| "without a name".into()), call.instance),
    }
}

/// The storage that a pickle refers to.
pub(super) struct StorageName<'a> {
    pub(super) class: &'a str,
    pub(super) key: &'a str,
    pub(super) elements: u64,
}

/// Returns the storage that a reference to the outside names.
pub(super) fn storage(pickle: &Pickle, outside: Id) -> Result<StorageName<'_>, String> {
    let (tag, class, key, elements, view) = match *pickle.items(outside).unwrap_or_default() {
        [tag, class, key, _, elements] => (tag, class, key, elements, None),
        [tag, class, key, _, elements, view] => (tag, class, key, elements, Some(view)),
        _ => return Err("a storage that is not described by five or six parts".into()),
    };
    if pickle.text(tag) != Some("storage") {
        return Err("a storage without its mark".into());
    }
    if view.is_some_and(|view| !matches!(pickle.node(view), Node::None)) {
        return Err("a storage within another one, as torch wrote it before version 0.4".into());
    }
    let (_, class) = pickle.global(class).ok_or("a storage without an element type")?;
    let key = pickle.text(key).ok_or("a storage without a name")?;
    Ok(StorageName { class, key, elements: natural(pickle, elements).ok_or("a storage without a length")? })
}

fn natural(pickle: &Pickle, id: Id) -> Option<u64> {
    pickle.int(id).and_then(|n| u64::try_from(n).ok())
}

fn view(pickle: &Pickle, arguments: &[Id]) -> Result<View, String> {
    let &[storage_id, offset, shape, strides, ..] = arguments else {
        return Err("a tensor with fewer than four parts".into());
    };
    let Node::Outside(outside) = pickle.node(storage_id) else {
        return Err("a tensor without a storage".into());
    };
    let StorageName { class, key, elements } = storage(pickle, *outside)?;
    let naturals = |id: Id| -> Option<Vec<u64>> {
        let items = pickle.items(id).filter(|items| items.len() <= AXES)?;
        items.iter().map(|&n| natural(pickle, n)).collect()
    };
    let shape = naturals(shape).ok_or("a shape that is not made of at most eight whole numbers")?;
    let strides = naturals(strides).ok_or("strides that are not whole numbers")?;
    if shape.len() != strides.len() {
        return Err(format!("{} axes with {} strides", shape.len(), strides.len()));
    }
    let shape = shape.into_iter().map(|n| usize::try_from(n).map_err(|e| e.to_string()));
    Ok(View {
        element: element(class),
        storage: key.to_owned(),
        elements,
        offset: natural(pickle, offset).ok_or("an offset that is no whole number")?,
        shape: shape.collect::<Result<_, _>>()?,
        strides,
    })
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

/// Returns the number of bytes of an element, also of types that are not read.
pub(super) fn element_bytes(class: &str) -> Option<u64> {
    Some(match class {
        "CharStorage" | "QInt8Storage" | "QUInt8Storage" | "UntypedStorage" => 1,
        "ShortStorage" => 2,
        "QInt32Storage" => 4,
        "ComplexFloatStorage" => 8,
        "ComplexDoubleStorage" => 16,
        other => element(other).ok()?.bytes() as u64,
    })
}
