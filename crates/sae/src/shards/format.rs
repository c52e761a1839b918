//! The header of a shard and the index of a set.

use crate::SaeError;
use collimate_measure::Fingerprint;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The name of the file that completes a set.
pub const INDEX: &str = "index";

const MAGIC: &[u8; 8] = b"COLLROWS";
pub(super) const HEADER: usize = 64;
/// The longest index: that of some millions of shards.
pub(super) const LONGEST_INDEX: u64 = 1 << 28;

/// The versions of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// Half precision, and one checksum for each shard.
    One,
    /// A precision for each shard, a checksum for each row, and what is known about the rows.
    Two,
}

/// The precision in which the values of a shard are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    /// 16-bit floating point.
    Half,
    /// 32-bit floating point.
    Single,
}

impl Precision {
    /// Returns the number of bytes of a value.
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::Half => 2,
            Self::Single => 4,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Half => "f16",
            Self::Single => "f32",
        }
    }
}

/// One shard as the index lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) rows: u64,
    pub(super) checksum: u64,
    pub(super) precision: Precision,
}

/// The content of an index.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Index {
    pub(super) version: Version,
    pub(super) width: u32,
    pub(super) source: Fingerprint,
    pub(super) about: BTreeMap<String, String>,
    pub(super) entries: Vec<Entry>,
}

impl Entry {
    /// Returns the number of bytes of the header and of everything that the checksum covers; `None` beyond the largest file size.
    pub(super) fn content_end(&self, width: u64) -> Option<u64> {
        let values = self.rows.checked_mul(width)?.checked_mul(self.precision.bytes())?;
        values.checked_add(self.rows.checked_mul(8)?)?.checked_add(HEADER as u64)
    }

    /// Returns the number of bytes of the file.
    pub(super) fn file_size(&self, width: u64, version: Version) -> Option<u64> {
        let checks = if version == Version::Two { self.rows.checked_mul(4)? } else { 0 };
        self.content_end(width)?.checked_add(checks)
    }

    pub(super) fn header(&self, width: u32, version: Version) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(MAGIC);
        let (number, bytes) = match version {
            Version::One => (1_u32, 0),
            Version::Two => (2, self.precision.bytes() as u32),
        };
        header[8..12].copy_from_slice(&number.to_le_bytes());
        header[12..16].copy_from_slice(&width.to_le_bytes());
        header[16..24].copy_from_slice(&self.rows.to_le_bytes());
        header[24..32].copy_from_slice(&self.checksum.to_le_bytes());
        header[32..36].copy_from_slice(&bytes.to_le_bytes());
        header
    }
}

/// Continues a 64-bit FNV-1a checksum.
pub(super) fn checksum(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |h, &byte| (h ^ u64::from(byte)).wrapping_mul(PRIME))
}

pub(super) const CHECKSUM_START: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x100_0000_01b3;

/// Computes the checksum of a row with its document and position: FNV-1a over words of eight bytes, which is faster than over
/// bytes, folded to 32 bits.
pub(super) fn row_check(values: &[u8], document: u32, position: u32) -> u32 {
    let step = |h: u64, word: u64| (h ^ word).wrapping_mul(PRIME).rotate_left(23);
    let place = u64::from(document) << 32 | u64::from(position);
    let mut h = step(CHECKSUM_START, place);
    let words = values.chunks(8).map(|bytes| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    });
    h = words.fold(h, step);
    (h ^ (h >> 32)) as u32
}

pub(super) fn index_path(folder: &Path) -> PathBuf {
    folder.join(INDEX)
}

/// Writes a text in one line.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r")
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        out.push(match letter {
            '\\' => match letters.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    out
}

impl Index {
    /// Returns the text of the index, in the present version.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}2\nwidth {}\nsource {}\n", TITLE, self.width, self.source);
        for (key, value) in &self.about {
            let _ = writeln!(text, "about {key} {}", escaped(value));
        }
        for Entry { name, rows, checksum, precision } in &self.entries {
            let _ = writeln!(text, "shard {name} {rows} {checksum:016x} {}", precision.name());
        }
        let _ = writeln!(text, "end {}", self.entries.len());
        text
    }

    /// Reads the text of an index.
    pub(super) fn read(path: &Path, text: &str) -> Result<Self, SaeError> {
        let wrong = |line: usize, what: &str| SaeError::File {
            path: path.to_owned(),
            reason: format!("line {}: {what}", line + 1),
        };
        let mut lines = text.lines().enumerate();
        let mut next = |what: &str| lines.next().ok_or_else(|| wrong(text.lines().count(), what));
        let (at, title) = next("the title is missing")?;
        let version = match title.strip_prefix(TITLE) {
            Some("1") => Version::One,
            Some("2") => Version::Two,
            Some(_) => return Err(wrong(at, "an index of a version that is not known; expected 1 or 2")),
            None => return Err(wrong(at, "not an index of rows")),
        };
        let (at, line) = next("the width is missing")?;
        let width = line.strip_prefix("width ").and_then(|w| w.parse().ok()).filter(|&w: &u32| w > 0);
        let width = width.ok_or_else(|| wrong(at, "expected `width` and a positive number"))?;
        let (at, line) = next("the source is missing")?;
        let source = line.strip_prefix("source ").and_then(|s| u128::from_str_radix(s, 16).ok());
        let source = Fingerprint(source.ok_or_else(|| wrong(at, "expected `source` and a fingerprint"))?);
        let mut index = Self { version, width, source, about: BTreeMap::new(), entries: Vec::new() };
        loop {
            let (at, line) = next("the last line is missing: the index was cut off")?;
            if let Some(count) = line.strip_prefix("end ") {
                if count.parse() != Ok(index.entries.len()) {
                    return Err(wrong(at, "another number of shards than there are lines"));
                }
                return Ok(index);
            }
            if let Some((key, value)) = line.strip_prefix("about ").and_then(|rest| rest.split_once(' ')) {
                index.about.insert(key.to_owned(), unescaped(value));
                continue;
            }
            let entry = entry(line, version);
            index
                .entries
                .push(entry.ok_or_else(|| wrong(at, "expected `shard`, a file name, rows and a checksum"))?);
        }
    }
}

const TITLE: &str = "collimate rows ";

/// Reads the line of a shard.
fn entry(line: &str, version: Version) -> Option<Entry> {
    let parts: Vec<&str> = line.split(' ').collect();
    let (name, rows, checksum, precision) = match (version, &parts[..]) {
        (Version::One, &["shard", name, rows, checksum]) => (name, rows, checksum, Precision::Half),
        (Version::Two, &["shard", name, rows, checksum, "f16"]) => (name, rows, checksum, Precision::Half),
        (Version::Two, &["shard", name, rows, checksum, "f32"]) => (name, rows, checksum, Precision::Single),
        _ => return None,
    };
    // A name without separators, and no `..`, cannot lead out of the folder.
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') && !name.starts_with('.');
    let (rows, checksum) = rows.parse().ok().zip(u64::from_str_radix(checksum, 16).ok())?;
    plain.then(|| Entry { name: name.to_owned(), rows, checksum, precision })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_read_as_it_was_written() {
        let entry = |name: &str, precision| Entry { name: name.to_owned(), rows: 3, checksum: 7, precision };
        let about = [("text", "two\nlines \\ and \\n"), ("layer", "9"), ("empty", "")];
        let index = Index {
            version: Version::Two,
            width: 4,
            source: Fingerprint::of(b"source"),
            about: about.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            entries: vec![entry("00000.rows", Precision::Half), entry("00001.rows", Precision::Single)],
        };
        assert_eq!(Index::read(Path::new("index"), &index.text()).unwrap(), index);
        for name in ["..", ".hidden", "a/b", "a b"] {
            let text = index.text().replace("00001.rows", name);
            assert!(Index::read(Path::new("index"), &text).is_err(), "{name}");
        }
    }

    #[test]
    fn every_bit_of_a_row_changes_its_checksum() {
        let values: Vec<u8> = (0..37).map(|i| i * 7).collect();
        let whole = row_check(&values, 3, 5);
        for bit in 0..8 * values.len() {
            let mut other = values.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(row_check(&other, 3, 5), whole, "bit {bit}");
        }
        assert!(row_check(&values, 3, 6) != whole && row_check(&values, 5, 3) != whole);
    }
}
