use super::format::{self, CHECKSUM_START, Entry, HEADER};
use super::writer::io;
use crate::SaeError;
use collimate_measure::Fingerprint;
use half::f16;
use ndarray::Array2;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A finished set of shards.
#[derive(Clone, Debug)]
pub struct Shards {
    folder: PathBuf,
    width: usize,
    rows: u64,
    source: Fingerprint,
    entries: Vec<Entry>,
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
        let text = std::fs::read_to_string(&path).map_err(io(&path))?;
        let (width, source, entries) = format::read_index(&path, &text)?;
        let mut rows: u64 = 0;
        for entry in &entries {
            let path = folder.join(&entry.name);
            let wrong = |reason: String| SaeError::File { path: path.clone(), reason };
            let size = path.metadata().map_err(io(&path))?.len();
            let expected = format::file_size(entry.rows, u64::from(width))
                .ok_or_else(|| wrong(format!("the index claims {} rows", entry.rows)))?;
            if size != expected {
                return Err(wrong(format!("{size} bytes, but {} rows need {expected}", entry.rows)));
            }
            let mut header = [0; HEADER];
            File::open(&path).and_then(|mut file| file.read_exact(&mut header)).map_err(io(&path))?;
            if header != format::header(width, entry.rows, entry.checksum) {
                return Err(wrong("the header is not the one of the index".to_owned()));
            }
            rows += entry.rows;
        }
        Ok(Self { folder, width: width as usize, rows, source, entries })
    }

    /// Returns the width of the rows.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the source of the rows that the writer was given.
    pub fn source(&self) -> Fingerprint {
        self.source
    }

    /// Returns the fingerprint of the content: the source and the checksum of every shard.
    pub fn fingerprint(&self) -> Fingerprint {
        let start = Fingerprint::of(&self.source.0.to_le_bytes()).and(&(self.width as u64).to_le_bytes());
        self.entries.iter().fold(start, |f, e| f.and(&e.rows.to_le_bytes()).and(&e.checksum.to_le_bytes()))
    }

    /// Reads every byte and compares the checksums.
    ///
    /// # Errors
    /// [`SaeError::File`] naming the shard that was damaged; [`SaeError::Io`].
    pub fn verify(&self) -> Result<(), SaeError> {
        let mut buffer = vec![0; 1 << 20];
        for entry in &self.entries {
            let path = self.folder.join(&entry.name);
            let mut file = File::open(&path).map_err(io(&path))?;
            file.seek(SeekFrom::Start(HEADER as u64)).map_err(io(&path))?;
            let mut checksum = CHECKSUM_START;
            loop {
                let read = file.read(&mut buffer).map_err(io(&path))?;
                if read == 0 {
                    break;
                }
                checksum = format::checksum(checksum, &buffer[..read]);
            }
            if checksum != entry.checksum {
                let reason = format!("checksum {checksum:016x} instead of {:016x}", entry.checksum);
                return Err(SaeError::File { path, reason });
            }
        }
        Ok(())
    }

    /// Reads all rows in the order in which they were written, in blocks of at most `block` rows that do not cross shards.
    pub fn blocks(&self, block: usize) -> impl Iterator<Item = Result<Block, SaeError>> + '_ {
        self.pieces(block).map(|(shard, start, count)| self.read(shard, start, count))
    }

    /// Returns the number of rows of each shard.
    pub(super) fn shard_rows(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.entries.iter().map(|entry| entry.rows)
    }

    /// Reads the stored bits of some rows of a shard.
    pub(super) fn read_half(&self, shard: usize, start: u64, count: u64) -> Result<Vec<f16>, SaeError> {
        let path = self.folder.join(&self.entries[shard].name);
        let width = self.width as u64;
        let bytes = read_at(&path, HEADER as u64 + 2 * start * width, 2 * count * width)?;
        Ok(bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]])).collect())
    }

    fn read(&self, shard: usize, start: u64, count: u64) -> Result<Block, SaeError> {
        let halves = self.read_half(shard, start, count)?;
        let values = halves.into_iter().map(f16::to_f32).collect();
        let rows =
            Array2::from_shape_vec((count as usize, self.width), values).expect("whole rows were read");
        let [documents, positions] = self.read_tokens(shard, start, count)?;
        Ok(Block { rows, documents, positions })
    }

    /// Reads the documents and the positions of some rows of a shard.
    fn read_tokens(&self, shard: usize, start: u64, count: u64) -> Result<[Vec<u32>; 2], SaeError> {
        let path = self.folder.join(&self.entries[shard].name);
        let total = self.entries[shard].rows;
        let after = HEADER as u64 + 2 * total * self.width as u64;
        let numbers = |offset: u64| -> Result<Vec<u32>, SaeError> {
            let bytes = read_at(&path, offset + 4 * start, 4 * count)?;
            Ok(bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        };
        Ok([numbers(after)?, numbers(after + 4 * total)?])
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
    let mut file = File::open(path).map_err(io(path))?;
    file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut bytes)).map_err(io(path))?;
    Ok(bytes)
}
