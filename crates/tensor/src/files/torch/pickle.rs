//! A pickle read as data.

use super::machine::Machine;
use super::node::{Id, Node};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// The objects of a stream that was read to its end.
pub(super) struct Pickle {
    bytes: Rc<Vec<u8>>,
    nodes: Vec<Node>,
    states: BTreeMap<Id, Id>,
    pub(super) root: Id,
    /// The position behind the stream.
    pub(super) end: usize,
}

impl Pickle {
    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    /// Returns the text of a node, if it is one.
    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Text(range) => std::str::from_utf8(&self.bytes[range.clone()]).ok(),
            _ => None,
        }
    }

    /// Returns the name that a node would import, as `module name`.
    pub(super) fn global(&self, id: Id) -> Option<(&str, &str)> {
        match self.node(id) {
            Node::Global { module, name } => {
                let text = |range: &Range<usize>| std::str::from_utf8(&self.bytes[range.clone()]).ok();
                Some((text(module)?, text(name)?))
            }
            _ => None,
        }
    }

    pub(super) fn items(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::Items(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the state that the stream gives to an object after making it: its attributes.
    pub(super) fn state(&self, id: Id) -> Option<Id> {
        self.states.get(&id).copied()
    }

    /// Returns all objects.
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(super) fn int(&self, id: Id) -> Option<i64> {
        match self.node(id) {
            Node::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// Reads the stream that begins at byte `start`. The error gives the reason and the byte.
    pub(super) fn read(bytes: &Rc<Vec<u8>>, start: usize) -> Result<Self, String> {
        let mut machine = Machine::new(bytes, start);
        let root = machine.run().map_err(|what| format!("{what} (at byte {})", machine.at))?;
        let Machine { nodes, states, at: end, .. } = machine;
        Ok(Self { bytes: Rc::clone(bytes), nodes, states, root, end })
    }
}
