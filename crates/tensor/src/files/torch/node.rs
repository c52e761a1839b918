//! The objects of a pickle. They refer to each other by index, so neither deep nesting nor a cycle can exhaust the stack.

use std::ops::Range;

/// A node of the arena.
pub(super) type Id = u32;

/// The objects of a pickle that occur in files of weights.
#[derive(Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A text, as a range of the stream.
    Text(Range<usize>),
    Bytes,
    /// A number that has no place in 64 bits, with the number of its bytes.
    Wide(usize),
    /// A tuple, list or set.
    Items(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A name to import, which is never imported.
    Global {
        module: Range<usize>,
        name: Range<usize>,
    },
    /// A call, which is never made.
    Call(Box<Call>),
    /// A reference to an object outside the stream.
    Outside(Id),
}

/// A call of a function or a class, and the entries that the stream sets in its result.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) function: Id,
    pub(super) arguments: Id,
    /// True if the call makes an instance of a class without running its constructor.
    pub(super) instance: bool,
    /// The entries that are set in the result, for a class derived from a dictionary.
    pub(super) entries: Vec<(Id, Id)>,
}
