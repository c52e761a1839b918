use super::super::FileError;
use super::super::source::Source;

/// The largest length of a string: names, words and templates are shorter.
const LONGEST_STRING: u64 = 1 << 24;
const WINDOW: u64 = 1 << 16;
/// The largest memory in bytes that the metadata and the names of one model may take. The vocabularies of real models take a tenth.
const LARGEST_HEADER: u64 = 1 << 28;

/// Reads a header from front to back through a small window.
pub(super) struct Cursor<'a> {
    source: &'a Source,
    window: Vec<u8>,
    /// The position of the window in the file.
    start: u64,
    /// The next byte, counted within the window.
    next: usize,
    /// The number of bytes of memory that the values read so far take.
    spent: u64,
}

impl<'a> Cursor<'a> {
    /// Begins at the front of the file. The memory that was used before counts as `spent`, in bytes.
    pub(super) fn new(source: &'a Source, spent: u64) -> Self {
        Self { source, window: Vec::new(), start: 0, next: 0, spent }
    }

    pub(super) fn spent(&self) -> u64 {
        self.spent
    }

    pub(super) fn position(&self) -> u64 {
        self.start + self.next as u64
    }

    pub(super) fn len(&self) -> u64 {
        self.source.len
    }

    pub(super) fn malformed(&self, place: &str, what: impl Into<String>) -> FileError {
        self.source.malformed(format!("{place} (before byte {})", self.position()), what)
    }

    /// Returns an error if `count` entries of at least `smallest` bytes do not fit into the rest of the file.
    pub(super) fn check_count(&self, count: u64, smallest: u64, place: &str) -> Result<(), FileError> {
        let rest = self.len() - self.position();
        if count.checked_mul(smallest).is_none_or(|bytes| bytes > rest) {
            return Err(
                self.malformed(place, format!("{count} entries do not fit into the {rest} bytes left"))
            );
        }
        Ok(())
    }

    /// Counts the memory of `count` values of `size` bytes each. Returns an error if the header then takes too much.
    ///
    /// A sparse file may have any apparent length, so a count that fits into the file may still be impossible.
    pub(super) fn spend(&mut self, count: u64, size: usize, place: &str) -> Result<(), FileError> {
        self.spent = self.spent.saturating_add(count.saturating_mul(size as u64));
        if self.spent > LARGEST_HEADER {
            return Err(FileError::TooLarge {
                path: self.source.path.clone(),
                place: format!("{place} (before byte {})", self.position()),
                needed: self.spent,
                limit: LARGEST_HEADER,
            });
        }
        Ok(())
    }

    pub(super) fn bytes<const N: usize>(&mut self, place: &str) -> Result<[u8; N], FileError> {
        if self.window.len() - self.next < N {
            let position = self.position();
            self.check_count(1, N as u64, place)?;
            self.window = self.source.read(position, WINDOW.min(self.len() - position), place)?;
            (self.start, self.next) = (position, 0);
        }
        let mut out = [0; N];
        out.copy_from_slice(&self.window[self.next..self.next + N]);
        self.next += N;
        Ok(out)
    }

    pub(super) fn u32(&mut self, place: &str) -> Result<u32, FileError> {
        Ok(u32::from_le_bytes(self.bytes(place)?))
    }

    pub(super) fn u64(&mut self, place: &str) -> Result<u64, FileError> {
        Ok(u64::from_le_bytes(self.bytes(place)?))
    }

    pub(super) fn string(&mut self, place: &str) -> Result<String, FileError> {
        let length = self.u64(place)?;
        self.check_count(length, 1, place)?;
        if length > LONGEST_STRING {
            return Err(
                self.malformed(place, format!("a string of {length} bytes is longer than {LONGEST_STRING}"))
            );
        }
        self.spend(length, 1, place)?;
        let length = length as usize;
        let bytes = if self.window.len() - self.next >= length {
            let bytes = self.window[self.next..self.next + length].to_vec();
            self.next += length;
            bytes
        } else {
            let position = self.position();
            let bytes = self.source.read(position, length as u64, place)?;
            (self.start, self.next) = (position + length as u64, 0);
            self.window.clear();
            bytes
        };
        String::from_utf8(bytes).map_err(|e| self.malformed(place, e.to_string()))
    }
}
