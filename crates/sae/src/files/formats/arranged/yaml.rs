//! The part of YAML that the configurations of dictionaries use: nested maps of plain values, by indentation.

use super::super::refusal::wrong;
use crate::SaeError;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A configuration is a few kilobytes.
const LONGEST: u64 = 1 << 20;

/// A configuration: the values by their keys, joined by points.
pub(super) struct Yaml {
    path: PathBuf,
    values: BTreeMap<String, String>,
    used: BTreeSet<String>,
}

impl Yaml {
    /// Reads a file.
    ///
    /// # Errors
    /// [`SaeError::Io`]; [`SaeError::File`] naming the line for tabs, repeated keys, anchors and texts over several lines.
    pub(super) fn open(path: &Path) -> Result<Self, SaeError> {
        let io = |source| SaeError::Io { path: path.to_owned(), source };
        let mut text = String::new();
        std::fs::File::open(path).map_err(io)?.take(LONGEST + 1).read_to_string(&mut text).map_err(io)?;
        if text.len() as u64 > LONGEST {
            return Err(wrong(path, format!("a configuration of more than {LONGEST} bytes")));
        }
        let values = parse(&text).map_err(|(line, what)| wrong(path, format!("line {line}: {what}")))?;
        Ok(Self { path: path.to_owned(), values, used: BTreeSet::new() })
    }

    pub(super) fn wrong(&self, reason: impl Into<String>) -> SaeError {
        wrong(&self.path, reason)
    }

    /// Returns a value, and remembers that it was used.
    pub(super) fn text(&mut self, key: &str) -> Option<&str> {
        let value =
            self.values.get(key).map(String::as_str).filter(|v| !matches!(*v, "" | "null" | "~" | "Null"));
        if self.values.contains_key(key) {
            self.used.insert(key.to_owned());
        }
        value
    }

    /// Returns a value that must be there.
    fn needed(&mut self, key: &str) -> Result<String, SaeError> {
        let value = self.text(key).map(str::to_owned);
        value.ok_or_else(|| self.wrong(format!("it does not say '{key}'")))
    }

    pub(super) fn number(&mut self, key: &str) -> Result<f64, SaeError> {
        let value = self.needed(key)?;
        let number = value.parse().ok().filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| self.wrong(format!("'{key}' must be a number, but is {value}")))
    }

    pub(super) fn count(&mut self, key: &str) -> Result<usize, SaeError> {
        let value = self.needed(key)?;
        value.parse().map_err(|_| self.wrong(format!("'{key}' must be a whole number, but is {value}")))
    }

    pub(super) fn flag(&mut self, key: &str) -> Result<bool, SaeError> {
        let value = self.needed(key)?;
        match value.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(self.wrong(format!("'{key}' must be true or false, but is {value}"))),
        }
    }

    /// Returns a sentence that names the keys that were not used, if there are any.
    pub(super) fn unused(&self) -> Option<String> {
        let unused: Vec<&str> =
            self.values.keys().filter(|key| !self.used.contains(*key)).map(String::as_str).collect();
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        (!unused.is_empty()).then(|| format!("{name} has keys that were not used: {}", unused.join(", ")))
    }
}

/// A key whose entries follow on the next lines.
struct Open {
    indent: usize,
    key: String,
    items: usize,
}

/// Reads the lines of a text. Items of a list have their number as key.
fn parse(text: &str) -> Result<BTreeMap<String, String>, (usize, String)> {
    let mut values = BTreeMap::new();
    let mut open: Vec<Open> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: &str| (number + 1, what.to_owned());
        let content = without_comment(line).trim_end();
        let inner = content.trim_start_matches(' ');
        let indent = content.len() - inner.len();
        if inner.is_empty() || indent == 0 && inner == "---" {
            continue;
        }
        if inner.starts_with('\t') {
            return Err(wrong("there is a tab in the indentation, which YAML does not allow"));
        }
        let item = inner == "-" || inner.starts_with("- ");
        // The items of a list may stand at the indentation of its key.
        while open.last().is_some_and(|top| top.indent > indent || top.indent == indent && !item) {
            open.pop();
        }
        let (key, value) = match (item, open.last_mut()) {
            (true, None) => return Err(wrong("there is a list where a map of keys and values was expected")),
            (true, Some(list)) => {
                list.items += 1;
                ((list.items - 1).to_string(), inner[1..].trim())
            }
            (false, _) => {
                let (key, value) = split(inner).ok_or_else(|| wrong("expected `key: value`"))?;
                (unquoted(key), value)
            }
        };
        let key = open.last().map_or_else(|| key.clone(), |top| format!("{}.{key}", top.key));
        if matches!(value.as_bytes().first(), Some(b'|' | b'>' | b'&' | b'*' | b'!')) {
            return Err(wrong(
                "texts over several lines, anchors and tags are not read; write the value plainly",
            ));
        }
        if values.insert(key.clone(), unquoted(value)).is_some() {
            return Err(wrong(&format!("the key '{key}' is there twice")));
        }
        if value.is_empty() && !item {
            // The value is null, unless entries follow.
            open.push(Open { indent, key, items: 0 });
        }
    }
    let parents: BTreeSet<String> = values
        .keys()
        .flat_map(|key: &String| {
            key.match_indices('.').map(|(at, _)| key[..at].to_owned()).collect::<Vec<_>>()
        })
        .collect();
    values.retain(|key, value| !(value.is_empty() && parents.contains(key)));
    Ok(values)
}

/// Splits a line at the first `: `, or at a colon at its end.
fn split(line: &str) -> Option<(&str, &str)> {
    match line.split_once(": ") {
        Some((key, value)) => Some((key.trim(), value.trim())),
        None => line.strip_suffix(':').map(|key| (key.trim(), "")),
    }
}

/// Returns a line without its comment: `#` at its start or after a space, outside quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = b' ';
    for (at, byte) in line.bytes().enumerate() {
        match (quote, byte) {
            (None, b'#') if before == b' ' || before == b'\t' => return &line[..at],
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
        before = byte;
    }
    line
}

fn unquoted(text: &str) -> String {
    let inner = |quote: char| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap_or_else(|(line, what)| panic!("line {line}: {what}")).into_iter().collect()
    }

    #[test]
    fn nested_maps_lists_comments_and_quotes_are_read() {
        let text = "---\n# a comment\nsae:\n  k: 3 # another\n  name: \"a: #b\"\n  inner:\n    'x': 1\nempty:\nlist:\n- a\n- b\n\
                    url: hf://a/b:c\n";
        let expected = [
            ("empty", ""),
            ("list.0", "a"),
            ("list.1", "b"),
            ("sae.inner.x", "1"),
            ("sae.k", "3"),
            ("sae.name", "a: #b"),
            ("url", "hf://a/b:c"),
        ];
        assert_eq!(read(text), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        // A list that is indented further than its key, and a map after it.
        assert_eq!(read("a:\n  b:\n    - 1\n  c: 2\n").len(), 2);
    }

    #[test]
    fn what_is_not_read_is_refused_with_its_line() {
        for (text, line) in [
            ("a: 1\na: 2", 2),
            ("- 1", 1),
            ("a: |\n  text", 1),
            ("a: 1\n\tb: 2", 2),
            ("just a text", 1),
            ("a: &b 1", 1),
        ] {
            assert_eq!(parse(text).expect_err(text).0, line, "{text}");
        }
    }
}
