//! The header of a shard and the index of a set.

use crate::SaeError;
use collimate_measure::Fingerprint;
use std::path::{Path, PathBuf};

pub(super) const MAGIC: &[u8; 8] = b"COLLROWS";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER: usize = 64;
const INDEX_TITLE: &str = "collimate rows 1";

/// One shard as the index lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) rows: u64,
    pub(super) checksum: u64,
}

/// Returns the number of bytes of a shard with the given width and rows; `None` beyond the largest file size.
pub(super) fn file_size(rows: u64, width: u64) -> Option<u64> {
    rows.checked_mul(width)?.checked_mul(2)?.checked_add(rows.checked_mul(8)?)?.checked_add(HEADER as u64)
}

pub(super) fn header(width: u32, rows: u64, checksum: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&width.to_le_bytes());
    header[16..24].copy_from_slice(&rows.to_le_bytes());
    header[24..32].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// Continues a 64-bit FNV-1a checksum.
pub(super) fn checksum(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |h, &byte| (h ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

pub(super) const CHECKSUM_START: u64 = 0xcbf2_9ce4_8422_2325;

pub(super) fn index_path(folder: &Path) -> PathBuf {
    folder.join("index")
}

pub(super) fn write_index(width: u32, source: Fingerprint, entries: &[Entry]) -> String {
    let mut text = format!("{INDEX_TITLE}\nwidth {width}\nsource {source}\n");
    for Entry { name, rows, checksum } in entries {
        text.push_str(&format!("shard {name} {rows} {checksum:016x}\n"));
    }
    text.push_str(&format!("end {}\n", entries.len()));
    text
}

/// Reads width, source and shards of an index.
pub(super) fn read_index(path: &Path, text: &str) -> Result<(u32, Fingerprint, Vec<Entry>), SaeError> {
    let wrong = |line: usize, what: &str| SaeError::File {
        path: path.to_owned(),
        reason: format!("line {}: {what}", line + 1),
    };
    let mut lines = text.lines().enumerate();
    let mut next = |what: &str| lines.next().ok_or_else(|| wrong(text.lines().count(), what));
    let (at, title) = next("the title is missing")?;
    if title != INDEX_TITLE {
        return Err(wrong(at, "not an index of rows"));
    }
    let (at, line) = next("the width is missing")?;
    let width = line.strip_prefix("width ").and_then(|w| w.parse().ok()).filter(|&w: &u32| w > 0);
    let width = width.ok_or_else(|| wrong(at, "expected `width` and a positive number"))?;
    let (at, line) = next("the source is missing")?;
    let source = line.strip_prefix("source ").and_then(|s| u128::from_str_radix(s, 16).ok());
    let source = Fingerprint(source.ok_or_else(|| wrong(at, "expected `source` and a fingerprint"))?);
    let mut entries = Vec::new();
    loop {
        let (at, line) = next("the last line is missing: the index was cut off")?;
        if let Some(count) = line.strip_prefix("end ") {
            if count.parse() != Ok(entries.len()) {
                return Err(wrong(at, "another number of shards than there are lines"));
            }
            return Ok((width, source, entries));
        }
        let parts: Vec<&str> = line.split(' ').collect();
        let entry = match parts[..] {
            ["shard", name, rows, checksum]
                if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') =>
            {
                rows.parse().ok().zip(u64::from_str_radix(checksum, 16).ok()).map(|(rows, checksum)| Entry {
                    name: name.to_owned(),
                    rows,
                    checksum,
                })
            }
            _ => None,
        };
        entries.push(entry.ok_or_else(|| wrong(at, "expected `shard`, a file name, rows and a checksum"))?);
    }
}
