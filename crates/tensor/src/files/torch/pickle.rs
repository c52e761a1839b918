//! A pickle read as data by a stack machine that makes no calls. Its objects are nodes of an arena.
//!
//! Every opcode adds at most one node or moves references, so the length of the stream bounds the memory. Nodes refer to each
//! other by index, so neither deep nesting nor a cycle can exhaust the stack.

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
    /// A tuple, list or set.
    Items(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A name to import, which is never imported.
    Global {
        module: Range<usize>,
        name: Range<usize>,
    },
    /// A call, which is never made.
    Call {
        function: Id,
        arguments: Id,
    },
    /// A reference to an object outside the stream.
    Outside(Id),
}

/// The objects of a stream that was read to its end.
pub(super) struct Pickle {
    bytes: Vec<u8>,
    nodes: Vec<Node>,
    pub(super) root: Id,
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

    pub(super) fn int(&self, id: Id) -> Option<i64> {
        match self.node(id) {
            Node::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// Reads a stream. The error gives the reason and the byte.
    pub(super) fn read(bytes: Vec<u8>) -> Result<Self, String> {
        let mut machine = Machine {
            bytes: &bytes,
            at: 0,
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
        };
        let root = machine.run().map_err(|what| format!("{what} (at byte {})", machine.at))?;
        let nodes = machine.nodes;
        Ok(Self { bytes, nodes, root })
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: Vec<Option<Id>>,
}

impl Machine<'_> {
    fn run(&mut self) -> Result<Id, String> {
        loop {
            let op = self.byte()?;
            match op {
                0x80 => drop(self.byte()?),        // PROTO
                0x95 => self.take(8).map(|_| ())?, // FRAME
                b'.' => return self.pop(),         // STOP
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),        // POP
                b'1' => drop(self.since_mark()?), // POP_MARK
                b'2' => {
                    let top = *self.stack.last().ok_or("the stack is empty")?;
                    self.stack.push(top);
                }
                b'N' => self.push(Node::None),
                0x88 => self.push(Node::Bool(true)),
                0x89 => self.push(Node::Bool(false)),
                b'K' => self.unsigned(1)?,
                b'M' => self.unsigned(2)?,
                b'J' => {
                    let range = self.take(4)?;
                    let value = i32::from_le_bytes(self.bytes[range].try_into().expect("four bytes"));
                    self.push(Node::Int(value.into()));
                }
                0x8a => self.long()?, // LONG1
                b'G' => {
                    let range = self.take(8)?;
                    let value = f64::from_be_bytes(self.bytes[range].try_into().expect("eight bytes"));
                    self.push(Node::Float(value));
                }
                b'X' => self.text(4)?,       // BINUNICODE
                0x8c => self.text(1)?,       // SHORT_BINUNICODE
                0x8d => self.text(8)?,       // BINUNICODE8
                b'U' => self.text(1)?,       // SHORT_BINSTRING
                b'T' => self.text(4)?,       // BINSTRING
                b'C' => self.skip_bytes(1)?, // SHORT_BINBYTES
                b'B' => self.skip_bytes(4)?, // BINBYTES
                0x8e => self.skip_bytes(8)?, // BINBYTES8
                b'}' => self.push(Node::Dict(Vec::new())),
                b']' | b')' | 0x8f => self.push(Node::Items(Vec::new())), // EMPTY_LIST, EMPTY_TUPLE, EMPTY_SET
                b't' | b'l' | 0x91 => {
                    // TUPLE, LIST, FROZENSET
                    let items = self.since_mark()?;
                    self.push(Node::Items(items));
                }
                b'd' => {
                    // DICT
                    let items = self.since_mark()?;
                    let pairs = pairs(&items)?;
                    self.push(Node::Dict(pairs));
                }
                0x85..=0x87 => {
                    // TUPLE1 to TUPLE3
                    let from =
                        self.stack.len().checked_sub(usize::from(op - 0x84)).ok_or("the stack is empty")?;
                    if self.marks.last().is_some_and(|&mark| from < mark) {
                        return Err("a tuple reaches over a mark".into());
                    }
                    let items = self.stack.split_off(from);
                    self.push(Node::Items(items));
                }
                b'a' => {
                    // APPEND
                    let item = self.pop()?;
                    self.extend(vec![item])?;
                }
                b'e' | 0x90 => {
                    // APPENDS, ADDITEMS
                    let items = self.since_mark()?;
                    self.extend(items)?;
                }
                b's' => {
                    // SETITEM
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.set(vec![(key, value)])?;
                }
                b'u' => {
                    // SETITEMS
                    let items = self.since_mark()?;
                    self.set(pairs(&items)?)?;
                }
                b'c' => {
                    // GLOBAL
                    let module = self.line()?;
                    let name = self.line()?;
                    self.push(Node::Global { module, name });
                }
                0x93 => {
                    // STACK_GLOBAL
                    let (name, module) = (self.pop()?, self.pop()?);
                    match (&self.nodes[module as usize], &self.nodes[name as usize]) {
                        (Node::Text(module), Node::Text(name)) => {
                            let (module, name) = (module.clone(), name.clone());
                            self.push(Node::Global { module, name });
                        }
                        _ => return Err("the name to import is no text".into()),
                    }
                }
                b'R' | 0x81 => {
                    // REDUCE, NEWOBJ
                    let arguments = self.pop()?;
                    let function = self.pop()?;
                    self.call(function, arguments);
                }
                b'b' => drop(self.pop()?), // BUILD: the state of an object, of which only its items matter
                b'Q' => {
                    // BINPERSID
                    let id = self.pop()?;
                    self.push(Node::Outside(id));
                }
                b'q' => {
                    let index = usize::from(self.byte()?);
                    self.remember(index)?;
                }
                b'r' => {
                    let index = self.length(4)?;
                    self.remember(index)?;
                }
                0x94 => self.remember(self.memo.len())?, // MEMOIZE
                b'h' => {
                    let index = usize::from(self.byte()?);
                    self.recall(index)?;
                }
                b'j' => {
                    let index = self.length(4)?;
                    self.recall(index)?;
                }
                other => return Err(format!("opcode {other:#04x} does not occur in files of weights")),
            }
        }
    }

    /// Adds a call as a node. The call of an ordered dictionary, which is filled afterwards, becomes a dictionary.
    fn call(&mut self, function: Id, arguments: Id) {
        let ordered = match &self.nodes[function as usize] {
            Node::Global { module, name } => {
                &self.bytes[module.clone()] == b"collections" && &self.bytes[name.clone()] == b"OrderedDict"
            }
            _ => false,
        };
        let node = if ordered { Node::Dict(Vec::new()) } else { Node::Call { function, arguments } };
        self.push(node);
    }

    fn push(&mut self, node: Node) {
        // A stream has fewer than 2³² opcodes, because the caller limits its length.
        self.stack.push(self.nodes.len() as Id);
        self.nodes.push(node);
    }

    fn pop(&mut self) -> Result<Id, String> {
        if self.marks.last().is_some_and(|&mark| self.stack.len() <= mark) {
            return Err("nothing stands behind the mark".into());
        }
        self.stack.pop().ok_or_else(|| "the stack is empty".into())
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("there is no mark")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn extend(&mut self, items: Vec<Id>) -> Result<(), String> {
        let top = *self.stack.last().ok_or("the stack is empty")?;
        match &mut self.nodes[top as usize] {
            Node::Items(list) => list.extend(items),
            Node::Call { .. } => {}
            _ => return Err("items are added to something that is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, pairs: Vec<(Id, Id)>) -> Result<(), String> {
        let top = *self.stack.last().ok_or("the stack is empty")?;
        match &mut self.nodes[top as usize] {
            Node::Dict(dict) => dict.extend(pairs),
            Node::Call { .. } => {}
            _ => return Err("entries are set in something that is no dictionary".into()),
        }
        Ok(())
    }

    fn remember(&mut self, index: usize) -> Result<(), String> {
        let top = *self.stack.last().ok_or("the stack is empty")?;
        // Writers number from zero without gaps. A gap could make the table larger than the stream.
        if index > self.memo.len() {
            return Err(format!("memo {index} is set before memo {}", self.memo.len()));
        }
        if index == self.memo.len() {
            self.memo.push(Some(top));
        } else {
            self.memo[index] = Some(top);
        }
        Ok(())
    }

    fn recall(&mut self, index: usize) -> Result<(), String> {
        let id =
            self.memo.get(index).copied().flatten().ok_or_else(|| format!("memo {index} was never set"))?;
        self.stack.push(id);
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, String> {
        let byte = *self.bytes.get(self.at).ok_or("the stream ends without STOP")?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, count: usize) -> Result<Range<usize>, String> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("{count} bytes do not fit into what is left of the stream"))?;
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    /// Reads a little-endian length of `width` bytes.
    fn length(&mut self, width: usize) -> Result<usize, String> {
        let range = self.take(width)?;
        let value = self.bytes[range].iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
        usize::try_from(value).map_err(|e| e.to_string())
    }

    fn unsigned(&mut self, width: usize) -> Result<(), String> {
        let value = self.length(width)?;
        self.push(Node::Int(value as i64));
        Ok(())
    }

    fn long(&mut self) -> Result<(), String> {
        let width = self.length(1)?;
        let range = self.take(width)?;
        if width > 8 {
            return Err(format!("an integer of {width} bytes"));
        }
        let mut wide = [if range.is_empty() || self.bytes[range.end - 1] < 0x80 { 0 } else { 0xff }; 8];
        wide[..width].copy_from_slice(&self.bytes[range]);
        self.push(Node::Int(i64::from_le_bytes(wide)));
        Ok(())
    }

    fn text(&mut self, width: usize) -> Result<(), String> {
        let length = self.length(width)?;
        let range = self.take(length)?;
        self.push(Node::Text(range));
        Ok(())
    }

    fn skip_bytes(&mut self, width: usize) -> Result<(), String> {
        let length = self.length(width)?;
        self.take(length)?;
        self.push(Node::Bytes);
        Ok(())
    }

    fn line(&mut self) -> Result<Range<usize>, String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&b| b == b'\n').ok_or("a line has no end")?;
        let range = self.at..self.at + length;
        self.at += length + 1;
        Ok(range)
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    } else {
        Err("a key has no value".into())
    }
}
