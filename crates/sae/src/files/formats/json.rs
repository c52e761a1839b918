//! A configuration file: read within bounds, asked by key, with errors that name the key.

use super::tensors::wrong;
use crate::SaeError;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A configuration is a few kilobytes.
const LONGEST: u64 = 1 << 22;

pub(super) struct Config {
    path: PathBuf,
    pub(super) map: Map<String, Value>,
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
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(map)) => Ok(Self { path: path.to_owned(), map }),
            Ok(_) => Err(wrong(path, "it is not a JSON object")),
            Err(error) => Err(wrong(path, format!("it is not JSON: {error}"))),
        }
    }

    pub(super) fn wrong(&self, reason: impl Into<String>) -> SaeError {
        wrong(&self.path, reason)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }

    /// Returns a truth value, or a default for files that do not have it.
    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, SaeError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.wrong(format!("'{key}' must be true or false, but is {value}"))),
        }
    }

    pub(super) fn number(&self, key: &str) -> Result<f64, SaeError> {
        let value = self.get(key).ok_or_else(|| self.wrong(format!("it does not say '{key}'")))?;
        value.as_f64().ok_or_else(|| self.wrong(format!("'{key}' must be a number, but is {value}")))
    }

    pub(super) fn count(&self, key: &str) -> Result<usize, SaeError> {
        let value = self.get(key).ok_or_else(|| self.wrong(format!("it does not say '{key}'")))?;
        let count = value.as_u64().and_then(|n| usize::try_from(n).ok());
        count.ok_or_else(|| self.wrong(format!("'{key}' must be a whole number, but is {value}")))
    }

    /// Refuses a size that contradicts the tensors.
    pub(super) fn expect(&self, key: &str, given: usize) -> Result<(), SaeError> {
        match self.get(key) {
            None => Ok(()),
            Some(value) if value.as_u64() == Some(given as u64) => Ok(()),
            Some(value) => Err(self.wrong(format!("'{key}' is {value}, but the tensors say {given}"))),
        }
    }

    /// Returns texts and numbers under a key, or at the top, as texts.
    pub(super) fn about(&self, keys: &[&str]) -> BTreeMap<String, String> {
        let nested = self.map.get("metadata").and_then(Value::as_object);
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
        about
    }
}
