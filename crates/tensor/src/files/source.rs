use super::FileError;
use crate::memory_fits;
use collimate_output::open_regular;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub(crate) trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

/// A file of known length from which ranges are read. A range is checked against the length before memory is allocated.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
    reader: Mutex<Box<dyn ReadSeek>>,
}

impl Source {
    /// Opens a file of numbers. Texts, web pages and empty files are refused by what they are.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let source = Self::regular(path)?;
        if source.kind()?.is_text() {
            source.expect(&[], "a file of numbers")?;
        }
        // The caller of `into_parts` reads from the start.
        source.read_into(0, &mut [], "the first bytes")?;
        Ok(source)
    }

    /// Opens a file of any content.
    pub(crate) fn regular(path: &Path) -> Result<Self, FileError> {
        let io = |place: &str, source| FileError::Io { path: path.into(), place: place.into(), source };
        // A pipe or a device has no length to check against, and opening a pipe would wait for its writer.
        let file = open_regular(path).map_err(|e| io("opening the file", e))?;
        let metadata = file.metadata().map_err(|e| io("asking for the file's size", e))?;
        Ok(Self { path: path.into(), len: metadata.len(), reader: Mutex::new(Box::new(file)) })
    }

    pub(crate) fn memory(bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        Self { path: "(memory)".into(), len, reader: Mutex::new(Box::new(Cursor::new(bytes))) }
    }

    pub(crate) fn into_parts(self) -> (PathBuf, u64, Box<dyn ReadSeek>) {
        (self.path, self.len, self.reader.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fills `out` from the bytes at `offset`. Several threads may call it at once: a lock protects each read.
    pub(crate) fn read_into(&self, offset: u64, out: &mut [u8], place: &str) -> Result<(), FileError> {
        self.check(offset, out.len() as u64, place)?;
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader
            .seek(SeekFrom::Start(offset))
            .and_then(|_| reader.read_exact(out))
            .map_err(|source| FileError::Io { path: self.path.clone(), place: place.into(), source })
    }

    /// Reads the `count` bytes at `offset`.
    pub(crate) fn read(&self, offset: u64, count: u64, place: &str) -> Result<Vec<u8>, FileError> {
        self.check(offset, count, place)?;
        let mut out = room(&self.path, count, place)?;
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let read = reader
            .seek(SeekFrom::Start(offset))
            .and_then(|_| reader.by_ref().take(count).read_to_end(&mut out))
            .map_err(|source| FileError::Io { path: self.path.clone(), place: place.into(), source })?;
        if read as u64 != count {
            return Err(self.malformed(place, format!("only {read} of {count} bytes are there")));
        }
        Ok(out)
    }

    fn check(&self, offset: u64, count: u64, place: &str) -> Result<(), FileError> {
        match offset.checked_add(count) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(self.malformed(
                place,
                format!("{count} bytes at offset {offset} do not fit into a file of {} bytes", self.len),
            )),
        }
    }

    /// Returns an empty vector with room for `count` numbers.
    pub(crate) fn room<T>(&self, count: u64, place: &str) -> Result<Vec<T>, FileError> {
        room(&self.path, count, place)
    }

    pub(crate) fn malformed(&self, place: impl Into<String>, what: impl Into<String>) -> FileError {
        FileError::Malformed { path: self.path.clone(), place: place.into(), what: what.into() }
    }
}

/// Returns an empty vector with room for `count` numbers, or an error if the machine does not give that much memory.
///
/// A sparse file may have any apparent length, so a size that fits into the file may still be impossible.
pub(crate) fn room<T>(path: &Path, count: u64, place: &str) -> Result<Vec<T>, FileError> {
    let mut out = Vec::new();
    let needed = count.saturating_mul(size_of::<T>() as u64);
    let given =
        usize::try_from(count).is_ok_and(|count| memory_fits(needed) && out.try_reserve_exact(count).is_ok());
    if given { Ok(out) } else { Err(FileError::Memory { path: path.into(), place: place.into(), needed }) }
}
