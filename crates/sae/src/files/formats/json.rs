//! A configuration: read within bounds, asked by key, with errors that name the key.

use super::refusal::wrong;
use crate::SaeError;
use collimate_tensor::files::FileKind;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A configuration is a few kilobytes.
const LONGEST: u64 = 1 << 22;

/// The keys and values of a configuration, and which of them were asked for.
pub(super) struct Config {
    path: PathBuf,
    map: Map<String, Value>,
    used: RefCell<BTreeSet<String>>,
}

impl Config {
    pub(super) fn open(path: &Path) -> Result<Self, SaeError> {
        let io = |source| SaeError::Io { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(io)?;
        let mut bytes = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > LONGEST {
            return Err(wrong(path, format!("a configuration of more than {LONGEST} bytes")));
        }
        let kind = FileKind::of_bytes(&bytes[..bytes.len().min(512)]);
        if matches!(kind, FileKind::LfsPointer | FileKind::Html | FileKind::Xml | FileKind::Empty) {
            return Err(wrong(
                path,
                format!("this is {kind}, but a configuration in JSON was expected; {}", kind.advice()),
            ));
        }
        match serde_json::from_slice(&plain_json(&bytes)) {
            Ok(Value::Object(map)) => Self::of(path, map),
            Ok(_) => Err(wrong(path, "it is not a JSON object")),
            Err(error) => Err(wrong(path, format!("it is not JSON: {error}"))),
        }
    }

    /// Returns a configuration with the given entries, which stand in `path`.
    pub(super) fn of(path: &Path, map: Map<String, Value>) -> Result<Self, SaeError> {
        // A server that refuses a file answers with such a text, which is then saved under the name of the file.
        if let Some(message) = map.get("error").filter(|_| map.len() <= 3) {
            let advice = FileKind::Json.advice();
            return Err(wrong(path, format!("this is the error of a server, {message}; {advice}")));
        }
        Ok(Self { path: path.to_owned(), map, used: RefCell::default() })
    }

    pub(super) fn wrong(&self, reason: impl Into<String>) -> SaeError {
        wrong(&self.path, reason)
    }

    /// Returns a value that is not null, and marks its key as used.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.used.borrow_mut().insert(key.to_owned());
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Returns a nested configuration.
    pub(super) fn section(&self, key: &str) -> Result<Option<Self>, SaeError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => {
                Ok(Some(Self { path: self.path.clone(), map: map.clone(), used: RefCell::default() }))
            }
            Some(other) => Err(self.wrong(format!("'{key}' must hold keys and values, but is {other}"))),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, SaeError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(format!("'{key}' must be a text, but is {other}"))),
        }
    }

    /// Returns a truth value, or `None` for files that do not have it.
    pub(super) fn truth(&self, key: &str) -> Result<Option<bool>, SaeError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(value) => Err(self.wrong(format!("'{key}' must be true or false, but is {value}"))),
        }
    }

    /// Returns a truth value, or a default for files that do not have it.
    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, SaeError> {
        Ok(self.truth(key)?.unwrap_or(default))
    }

    pub(super) fn number(&self, key: &str) -> Result<f64, SaeError> {
        let value = self.get(key).ok_or_else(|| self.wrong(format!("it does not say '{key}'")))?;
        value.as_f64().ok_or_else(|| self.wrong(format!("'{key}' must be a number, but is {value}")))
    }

    /// Returns a whole number from 1, also one that is written as 4.0.
    pub(super) fn count(&self, key: &str) -> Result<usize, SaeError> {
        let count = self.number(key)?;
        if count.fract() == 0.0 && (1.0..1e9).contains(&count) {
            Ok(count as usize)
        } else {
            Err(self.wrong(format!("'{key}' must be a whole number from 1, but is {count}")))
        }
    }

    /// Refuses a size that contradicts the tensors.
    pub(super) fn expect(&self, key: &str, given: usize) -> Result<(), SaeError> {
        match self.get(key) {
            None => Ok(()),
            Some(value) if value.as_f64() == Some(given as f64) => Ok(()),
            Some(value) => Err(self.wrong(format!("'{key}' is {value}, but the tensors say {given}"))),
        }
    }

    /// Returns texts and numbers under a key, or in the section `metadata`, as texts.
    pub(super) fn about(&self, keys: &[&str]) -> BTreeMap<String, String> {
        let nested = self.get("metadata").and_then(Value::as_object);
        let mut about = BTreeMap::new();
        for map in std::iter::once(&self.map).chain(nested) {
            for key in keys {
                let text = match map.get(*key) {
                    Some(Value::String(text)) => text.clone(),
                    Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
                    _ => continue,
                };
                about.insert((*key).to_owned(), text);
            }
        }
        self.used.borrow_mut().extend(keys.iter().map(|key| (*key).to_owned()));
        about
    }

    /// Returns a note that names the keys that nothing asked for and that are not among `harmless`, if there are any.
    pub(super) fn unused(&self, harmless: &[&str]) -> Option<String> {
        let used = self.used.borrow();
        let unknown: Vec<&str> = self
            .map
            .iter()
            .filter(|(key, value)| {
                !value.is_null() && !used.contains(*key) && !harmless.contains(&key.as_str())
            })
            .map(|(key, _)| key.as_str())
            .collect();
        let file = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        (!unknown.is_empty())
            .then(|| format!("keys of {file} that are not known and not used: {}", unknown.join(", ")))
    }
}

/// Returns JSON as the standard has it: Python writes NaN and Infinity, which become texts here, and some editors put a byte
/// order mark in front.
fn plain_json(bytes: &[u8]) -> Vec<u8> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut out = Vec::with_capacity(bytes.len());
    let (mut at, mut quoted) = (0, false);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let word = [&b"-Infinity"[..], b"Infinity", b"NaN"]
            .into_iter()
            .find(|word| !quoted && rest.starts_with(word));
        if let Some(word) = word {
            out.push(b'"');
            out.extend(word);
            out.push(b'"');
            at += word.len();
            continue;
        }
        if quoted && rest[0] == b'\\' && rest.len() > 1 {
            out.extend(&rest[..2]);
            at += 2;
            continue;
        }
        quoted ^= rest[0] == b'"';
        out.push(rest[0]);
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_writes_is_read() {
        let text =
            b"\xef\xbb\xbf{\"a\": NaN, \"b\": [-Infinity, Infinity], \"c\": \"NaN \\\" Infinity\", \"d\": 1}";
        let map: Value = serde_json::from_slice(&plain_json(text)).unwrap();
        assert_eq!(map["a"], "NaN");
        assert_eq!(map["b"], serde_json::json!(["-Infinity", "Infinity"]));
        assert_eq!(map["c"], "NaN \" Infinity");
        let Value::Object(map) = map else { unreachable!() };
        let config = Config::of(Path::new("folder/cfg.json"), map).unwrap();
        let message = config.number("a").unwrap_err().to_string();
        assert!(message.contains("cfg.json") && message.contains("\"NaN\""), "{message}");
        assert_eq!(config.number("d").unwrap(), 1.0);
        assert_eq!(config.unused(&["b"]).unwrap(), "keys of cfg.json that are not known and not used: c");
    }
}
