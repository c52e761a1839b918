use super::error::DataError;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Computes the SHA-256 of a file in lower-case hexadecimal, and its size.
///
/// # Errors
/// [`DataError::Io`] when the file cannot be read.
///
/// # Examples
/// ```
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("abc");
/// std::fs::write(&path, "abc").unwrap();
/// let (digest, bytes) = collimate_studies::data::file_sha256(&path).unwrap();
/// assert_eq!((&digest[..16], bytes), ("ba7816bf8f01cfea", 3));
/// ```
pub fn file_sha256(path: &Path) -> Result<(String, u64), DataError> {
    let mut file = File::open(path).map_err(DataError::io(path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 18];
    let mut total = 0;
    loop {
        let read = file.read(&mut buffer).map_err(DataError::io(path))?;
        if read == 0 {
            return Ok((hex(&hasher.finalize()), total));
        }
        hasher.update(&buffer[..read]);
        total += read as u64;
    }
}

/// Computes one digest for all plain files of a folder: the SHA-256 over the lines `digest  name`, sorted by name.
///
/// It equals the output of `sha256sum * | LC_ALL=C sort -k2 | sha256sum`.
///
/// # Errors
/// [`DataError::Io`] when the folder or one of its files cannot be read.
pub fn tree_sha256(folder: &Path) -> Result<String, DataError> {
    let mut lines = Vec::new();
    for entry in folder.read_dir().map_err(DataError::io(folder))? {
        let entry = entry.map_err(DataError::io(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let digest = file_sha256(&entry.path())?.0;
        lines.push((name, digest));
    }
    lines.sort();
    let mut hasher = Sha256::new();
    for (name, digest) in lines {
        hasher.update(format!("{digest}  {name}\n"));
    }
    Ok(hex(&hasher.finalize()))
}

/// Formats bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
