//! A stack machine that reads the opcodes of a pickle and makes no calls.
//!
//! Every opcode adds at most one object or moves references, so the length of the stream bounds the memory.

use super::node::{Call, Id, Node};
use std::collections::BTreeMap;
use std::ops::Range;

/// The machine, and the objects made so far.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    /// The position behind the last opcode.
    pub(super) at: usize,
    /// The objects.
    pub(super) nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: Vec<Option<Id>>,
    /// The states of objects.
    pub(super) states: BTreeMap<Id, Id>,
}

impl Machine<'_> {
    /// Returns a machine that begins at byte `start`.
    pub(super) fn new(bytes: &[u8], start: usize) -> Machine<'_> {
        let (nodes, stack, marks, memo, states) = Default::default();
        Machine { bytes, at: start, nodes, stack, marks, memo, states }
    }

    /// Reads to the end of the stream, and returns the object on top of the stack.
    pub(super) fn run(&mut self) -> Result<Id, String> {
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
                0x8a => self.long(1)?, // LONG1
                0x8b => self.long(4)?, // LONG4
                b'I' | b'L' => {
                    let line = self.line()?;
                    let node = self.digits(line)?;
                    self.push(node);
                }
                b'F' => {
                    let line = self.line()?;
                    let value = self.ascii(&line).trim().parse().map_err(|e| format!("a number: {e}"))?;
                    self.push(Node::Float(value));
                }
                b'V' => {
                    // UNICODE. Escapes stay as they are written.
                    let line = self.line()?;
                    self.push(Node::Text(line));
                }
                b'S' => {
                    // STRING, in quotes
                    let line = self.line()?;
                    let inner = line.start + 1..line.end.saturating_sub(1);
                    self.push(Node::Text(if inner.start <= inner.end { inner } else { line }));
                }
                b'G' => {
                    let range = self.take(8)?;
                    let value = f64::from_be_bytes(self.bytes[range].try_into().expect("eight bytes"));
                    self.push(Node::Float(value));
                }
                b'X' => self.text(4)?,              // BINUNICODE
                0x8c => self.text(1)?,              // SHORT_BINUNICODE
                0x8d => self.text(8)?,              // BINUNICODE8
                b'U' => self.text(1)?,              // SHORT_BINSTRING
                b'T' => self.text(4)?,              // BINSTRING
                b'C' => self.skip_bytes(1)?,        // SHORT_BINBYTES
                b'B' => self.skip_bytes(4)?,        // BINBYTES
                0x8e | 0x96 => self.skip_bytes(8)?, // BINBYTES8, BYTEARRAY8
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
                    self.call(function, arguments, op == 0x81);
                }
                0x92 => {
                    // NEWOBJ_EX
                    let _named = self.pop()?;
                    let arguments = self.pop()?;
                    let class = self.pop()?;
                    self.call(class, arguments, true);
                }
                b'b' => {
                    // BUILD
                    let state = self.pop()?;
                    let top = *self.stack.last().ok_or("the stack is empty")?;
                    self.states.insert(top, state);
                }
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
                b'p' | b'g' => {
                    // PUT, GET
                    let line = self.line()?;
                    let index = self.ascii(&line).trim().parse().map_err(|e| format!("a memo: {e}"))?;
                    if op == b'p' { self.remember(index)? } else { self.recall(index)? }
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

    /// Adds a call as a node. The call of a dictionary of the standard library, which is filled afterwards, becomes one.
    fn call(&mut self, function: Id, arguments: Id, instance: bool) {
        let dictionary = match &self.nodes[function as usize] {
            Node::Global { module, name } => {
                let names: [&[u8]; 3] = [b"OrderedDict", b"defaultdict", b"Counter"];
                &self.bytes[module.clone()] == b"collections" && names.contains(&&self.bytes[name.clone()])
            }
            _ => false,
        };
        let node = if dictionary {
            Node::Dict(Vec::new())
        } else {
            Node::Call(Box::new(Call { function, arguments, instance, entries: Vec::new() }))
        };
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
            Node::Call(_) => {}
            _ => return Err("items are added to something that is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, pairs: Vec<(Id, Id)>) -> Result<(), String> {
        let top = *self.stack.last().ok_or("the stack is empty")?;
        match &mut self.nodes[top as usize] {
            Node::Dict(dict) => dict.extend(pairs),
            Node::Call(call) => call.entries.extend(pairs),
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

    fn long(&mut self, length: usize) -> Result<(), String> {
        let width = self.length(length)?;
        let range = self.take(width)?;
        let node = if width > 8 {
            // Files of torch.save begin with such a number.
            Node::Wide(width)
        } else {
            let negative = !range.is_empty() && self.bytes[range.end - 1] >= 0x80;
            let mut wide = [if negative { 0xff } else { 0 }; 8];
            wide[..width].copy_from_slice(&self.bytes[range]);
            Node::Int(i64::from_le_bytes(wide))
        };
        self.push(node);
        Ok(())
    }

    /// Returns the whole number, or in protocol 1 the boolean, that a line of digits writes.
    fn digits(&self, line: Range<usize>) -> Result<Node, String> {
        let text = self.ascii(&line).trim_end_matches('L');
        Ok(match text {
            "00" => Node::Bool(false),
            "01" => Node::Bool(true),
            _ => match text.parse() {
                Ok(value) => Node::Int(value),
                Err(_) if text.len() > 18 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-') => {
                    Node::Wide(text.len() / 2)
                }
                Err(error) => return Err(format!("a whole number: {error}")),
            },
        })
    }

    fn ascii(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(&self.bytes[range.clone()]).unwrap_or_default()
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
