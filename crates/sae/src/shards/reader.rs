use super::format::{self, CHECKSUM_START, HEADER, Index, LONGEST_INDEX, Precision, Version};
use super::writer::io;
use crate::SaeError;
use collimate_measure::Fingerprint;
use collimate_output::open_regular;
use half::f16;
use ndarray::Array2;
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A finished set of shards.
#[derive(Clone, Debug)]
pub struct Shards {
    folder: PathBuf,
    index: Index,
    rows: u64,
    /// The shards without checksums of rows that were compared with their own.
    compared: Arc<Mutex<Vec<bool>>>,
}

/// Consecutive rows of a set with their documents and positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The rows `[b, d]`.
    pub rows: Array2<f32>,
    /// The document of each row.
    pub documents: Vec<u32>,
    /// The position of each row within its document.
    pub positions: Vec<u32>,
}

impl crate::IntoRows for Result<Block, SaeError> {
    fn into_rows(self) -> Result<Array2<f32>, SaeError> {
        self.map(|block| block.rows)
    }
}

impl Shards {
    /// Opens a set and checks the header and the size of every shard against its index.
    ///
    /// # Errors
    /// [`SaeError::Io`] when the index is missing (the set was not finished) or a shard is; [`SaeError::File`] when one is
    /// not what the index says.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, SaeError> {
        let folder = folder.as_ref().to_owned();
        let path = format::index_path(&folder);
        let mut text = String::new();
        let mut file = open_regular(&path).map_err(io(&path))?.take(LONGEST_INDEX);
        file.read_to_string(&mut text).map_err(io(&path))?;
        let index = Index::read(&path, &text)?;
        let mut rows: u64 = 0;
        for entry in &index.entries {
            let path = folder.join(&entry.name);
            let wrong = |reason: String| SaeError::File { path: path.clone(), reason };
            let mut file = open_regular(&path).map_err(io(&path))?;
            let size = file.metadata().map_err(io(&path))?.len();
            let expected = entry
                .file_size(u64::from(index.width), index.version)
                .ok_or_else(|| wrong(format!("the index claims {} rows", entry.rows)))?;
            if size != expected {
                return Err(wrong(format!("{size} bytes, but {} rows need {expected}", entry.rows)));
            }
            let mut header = [0; HEADER];
            file.read_exact(&mut header).map_err(io(&path))?;
            if header != entry.header(index.width, index.version) {
                return Err(wrong("the header is not the one of the index".to_owned()));
            }
            rows = rows
                .checked_add(entry.rows)
                .ok_or_else(|| wrong("the index claims more rows than can be counted".to_owned()))?;
        }
        let compared = Arc::new(Mutex::new(vec![false; index.entries.len()]));
        Ok(Self { folder, index, rows, compared })
    }

    /// Returns the width of the rows.
    pub fn width(&self) -> usize {
        self.index.width as usize
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the source of the rows that the writer was given.
    pub fn source(&self) -> Fingerprint {
        self.index.source
    }

    /// Returns what the writer was told about the rows, key by key.
    pub fn about(&self) -> &BTreeMap<String, String> {
        &self.index.about
    }

    /// Returns the names of the files of the set in its folder, the index last.
    pub fn files(&self) -> Vec<String> {
        let shards = self.index.entries.iter().map(|entry| entry.name.clone());
        shards.chain([format::INDEX.to_owned()]).collect()
    }

    /// Returns the fingerprint of the content: the source and the checksum of every shard.
    pub fn fingerprint(&self) -> Fingerprint {
        let start = Fingerprint::of(&self.source().0.to_le_bytes()).and(&(self.width() as u64).to_le_bytes());
        let entries = self.index.entries.iter();
        entries.fold(start, |f, e| f.and(&e.rows.to_le_bytes()).and(&e.checksum.to_le_bytes()))
    }

    /// Reads every byte and compares the checksums.
    ///
    /// # Errors
    /// [`SaeError::File`] naming the shard that was damaged; [`SaeError::Io`].
    pub fn verify(&self) -> Result<(), SaeError> {
        (0..self.index.entries.len()).try_for_each(|shard| self.verify_shard(shard))?;
        self.blocks(4096).try_for_each(|block| block.map(drop))
    }

    /// Compares the whole content of a shard with its checksum.
    fn verify_shard(&self, shard: usize) -> Result<(), SaeError> {
        let entry = &self.index.entries[shard];
        let path = self.folder.join(&entry.name);
        let mut file = open_regular(&path).map_err(io(&path))?;
        file.seek(SeekFrom::Start(HEADER as u64)).map_err(io(&path))?;
        let end = entry.content_end(u64::from(self.index.width)).expect("the size was checked");
        let mut content = file.take(end - HEADER as u64);
        let (mut buffer, mut checksum) = (vec![0; 1 << 20], CHECKSUM_START);
        loop {
            let read = content.read(&mut buffer).map_err(io(&path))?;
            if read == 0 {
                break;
            }
            checksum = format::checksum(checksum, &buffer[..read]);
        }
        if checksum != entry.checksum {
            let (expected, last) = (entry.checksum, entry.rows.saturating_sub(1));
            let reason = format!(
                "the shard is damaged: its checksum is {checksum:016x} instead of {expected:016x}, so that some of its rows 0 to {last} are \
                 wrong; capture the set again"
            );
            return Err(SaeError::File { path, reason });
        }
        Ok(())
    }

    /// Reads all rows in the order in which they were written, in blocks of at most `block` rows that do not cross shards. The
    /// checksum of each row is compared.
    pub fn blocks(&self, block: usize) -> impl Iterator<Item = Result<Block, SaeError>> + '_ {
        self.pieces(block).map(|(shard, start, count)| self.read(shard, start, count))
    }

    /// Returns the number of rows of each shard.
    pub(super) fn shard_rows(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.index.entries.iter().map(|entry| entry.rows)
    }

    /// Returns true if every value is stored in half precision.
    pub(super) fn is_half(&self) -> bool {
        self.index.entries.iter().all(|entry| entry.precision == Precision::Half)
    }

    /// Reads some rows of a shard, and compares their checksums.
    pub(super) fn read(&self, shard: usize, start: u64, count: u64) -> Result<Block, SaeError> {
        let entry = &self.index.entries[shard];
        let (path, width) = (self.folder.join(&entry.name), self.width());
        let size = entry.precision.bytes();
        let bytes = read_at(&path, HEADER as u64 + size * start * width as u64, size * count * width as u64)?;
        let [documents, positions] = self.read_tokens(shard, start, count)?;
        if self.index.version == Version::Two {
            let checks = self.read_numbers(shard, 2, start, count)?;
            let rows = bytes.chunks_exact(size as usize * width).zip(&documents).zip(&positions);
            let found =
                rows.map(|((values, &document), &position)| format::row_check(values, document, position));
            if let Some(row) = found.zip(checks).position(|(found, written)| found != written) {
                let row = start + row as u64;
                let reason =
                    format!("row {row} is damaged: its checksum is another one; capture the set again");
                return Err(SaeError::File { path, reason });
            }
        } else {
            self.compare_once(shard)?;
        }
        let values = match entry.precision {
            Precision::Half => {
                bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
            Precision::Single => {
                bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
        };
        let rows = Array2::from_shape_vec((count as usize, width), values).expect("whole rows were read");
        // The writer refuses them, but a set of version 1 has no checksums of rows, and another program may have written it.
        if let Some(((row, column), value)) = rows.indexed_iter().find(|(_, value)| !value.is_finite()) {
            let reason = format!(
                "row {}, column {column} is {value}, but values must be finite; capture the set again",
                start + row as u64
            );
            return Err(SaeError::File { path, reason });
        }
        Ok(Block { rows, documents, positions })
    }

    /// Compares a shard with its checksum, when it is read for the first time.
    fn compare_once(&self, shard: usize) -> Result<(), SaeError> {
        let compared = || self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        if !compared()[shard] {
            self.verify_shard(shard)?;
            compared()[shard] = true;
        }
        Ok(())
    }

    /// Reads the documents and the positions of some rows of a shard.
    fn read_tokens(&self, shard: usize, start: u64, count: u64) -> Result<[Vec<u32>; 2], SaeError> {
        Ok([self.read_numbers(shard, 0, start, count)?, self.read_numbers(shard, 1, start, count)?])
    }

    /// Reads one of the columns after the rows: documents, positions, checksums.
    fn read_numbers(&self, shard: usize, column: u64, start: u64, count: u64) -> Result<Vec<u32>, SaeError> {
        let entry = &self.index.entries[shard];
        let after = HEADER as u64 + entry.precision.bytes() * entry.rows * self.width() as u64;
        let offset = after + 4 * (column * entry.rows + start);
        let bytes = read_at(&self.folder.join(&entry.name), offset, 4 * count)?;
        Ok(bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    /// Reads the document and the position of every row, in the blocks of [`Shards::blocks`].
    pub(super) fn tokens(
        &self,
        block: usize,
    ) -> impl Iterator<Item = Result<Vec<(u32, u32)>, SaeError>> + '_ {
        self.pieces(block).map(|(shard, start, count)| {
            let [documents, positions] = self.read_tokens(shard, start, count)?;
            Ok(documents.into_iter().zip(positions).collect())
        })
    }

    /// Returns the place of each block: (shard, first row, rows).
    fn pieces(&self, block: usize) -> impl Iterator<Item = (usize, u64, u64)> + use<> {
        let block = block.max(1) as u64;
        let rows: Vec<u64> = self.shard_rows().collect();
        rows.into_iter().enumerate().flat_map(move |(shard, rows)| {
            (0..rows).step_by(block as usize).map(move |start| (shard, start, block.min(rows - start)))
        })
    }

    /// Returns the folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

fn read_at(path: &Path, offset: u64, count: u64) -> Result<Vec<u8>, SaeError> {
    let mut bytes = vec![0; usize::try_from(count).expect("a block fits the memory")];
    let mut file = open_regular(path).map_err(io(path))?;
    file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut bytes)).map_err(io(path))?;
    Ok(bytes)
}
