use super::format::{self, CHECKSUM_START, Entry, HEADER};
use crate::SaeError;
use collimate_measure::{Fingerprint, ensure};
use collimate_output::Existing;
use half::f16;
use ndarray::ArrayRef2;
use std::fs::{self, File};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Writes rows into shards.
///
/// # Examples
/// ```
/// use collimate_measure::Fingerprint;
/// use collimate_sae::shards::{ShardWriter, Shards};
/// let folder = std::env::temp_dir().join(format!("collimate-doc-shards-{}", std::process::id()));
/// let mut writer = ShardWriter::create(&folder, 2, 1000, Fingerprint::of(b"a model and a text"))?;
/// writer.push_document(7, 0, &ndarray::array![[9.0f32, 9.0], [1.0, 0.5], [0.25, 2.0]])?; // position 0 is dropped
/// assert_eq!(writer.finish()?, 2);
/// let shards = Shards::open(&folder)?;
/// let block = shards.blocks(10).next().unwrap()?;
/// assert_eq!((block.documents, block.positions), (vec![7, 7], vec![1, 2]));
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
#[derive(Debug)]
pub struct ShardWriter {
    folder: PathBuf,
    width: usize,
    rows_per_shard: usize,
    source: Fingerprint,
    shard: Option<Open>,
    done: Vec<Entry>,
    rows: u64,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    name: String,
    file: BufWriter<File>,
    checksum: u64,
    documents: Vec<u32>,
    positions: Vec<u32>,
}

impl ShardWriter {
    /// Starts a set in a folder, which is created. An existing index is removed, so that the set counts as unfinished.
    ///
    /// `source` names the source of the rows; it is stored and becomes part of [`Shards::fingerprint`].
    ///
    /// # Errors
    /// [`SaeError::Io`]; [`SaeError::OutOfRange`] for a width or a shard size of zero.
    ///
    /// [`Shards::fingerprint`]: super::Shards::fingerprint
    pub fn create(
        folder: impl AsRef<Path>,
        width: usize,
        rows_per_shard: usize,
        source: Fingerprint,
    ) -> Result<Self, SaeError> {
        let folder = folder.as_ref().to_owned();
        let fits = width > 0 && u32::try_from(width).is_ok();
        ensure(fits, "width", "between 1 and 2³² − 1", width as f64)?;
        ensure(rows_per_shard > 0, "rows_per_shard", "at least 1", 0.0)?;
        fs::create_dir_all(&folder).map_err(io(&folder))?;
        let index = format::index_path(&folder);
        match fs::remove_file(&index) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(&index)(error)),
            _ => {}
        }
        Ok(Self { folder, width, rows_per_shard, source, shard: None, done: Vec::new(), rows: 0 })
    }

    /// Writes the activations of a run of positions of one document, the first of which is `first`.
    ///
    /// Position 0 is dropped: in the models of these studies its norm is far above all others, and it does not depend on the
    /// text.
    ///
    /// # Errors
    /// [`SaeError::HalfOverflow`] or [`SaeError::NonFiniteInput`] naming the value, before anything of the row is written;
    /// [`SaeError::Mismatch`] for another width; [`SaeError::Io`].
    pub fn push_document(&mut self, document: u32, first: u32, x: &ArrayRef2<f32>) -> Result<(), SaeError> {
        if x.ncols() != self.width {
            return Err(SaeError::shape("x", &[x.nrows(), self.width], x.shape()));
        }
        for (i, row) in x.rows().into_iter().enumerate() {
            let position = first + i as u32;
            if position == 0 {
                continue;
            }
            match row.as_slice() {
                Some(values) => self.push_row(document, position, values)?,
                None => self.push_row(document, position, &row.to_vec())?,
            }
        }
        Ok(())
    }

    /// Writes one row at any position.
    ///
    /// # Errors
    /// As [`ShardWriter::push_document`].
    pub fn push_row(&mut self, document: u32, position: u32, x: &[f32]) -> Result<(), SaeError> {
        if x.len() != self.width {
            return Err(SaeError::shape("x", &[self.width], &[x.len()]));
        }
        let mut bytes = Vec::with_capacity(2 * x.len());
        for (column, &value) in x.iter().enumerate() {
            let half = f16::from_f32(value);
            if !value.is_finite() {
                let (row, value) = (self.rows as usize, f64::from(value));
                return Err(SaeError::NonFiniteInput { what: "rows to store", row, column, value });
            }
            if half.is_infinite() {
                return Err(SaeError::HalfOverflow { row: self.rows, column, value });
            }
            bytes.extend_from_slice(&half.to_le_bytes());
        }
        if self.shard.is_none() {
            self.shard = Some(self.open()?);
        }
        let shard = self.shard.as_mut().expect("just opened");
        shard.file.write_all(&bytes).map_err(io(&shard.path))?;
        shard.checksum = format::checksum(shard.checksum, &bytes);
        shard.documents.push(document);
        shard.positions.push(position);
        self.rows += 1;
        if shard.documents.len() == self.rows_per_shard {
            self.close()?;
        }
        Ok(())
    }

    /// Returns the number of rows that were written.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Closes the last shard and writes the index; the set is complete only then. Returns the number of rows.
    ///
    /// # Errors
    /// [`SaeError::Io`].
    pub fn finish(mut self) -> Result<u64, SaeError> {
        self.close()?;
        let path = format::index_path(&self.folder);
        let text = format::write_index(self.width as u32, self.source, &self.done);
        collimate_output::write(&path, Existing::Replace, |out| out.write_all(text.as_bytes()))?;
        Ok(self.rows)
    }

    fn open(&self) -> Result<Open, SaeError> {
        let name = format!("{:05}.rows", self.done.len());
        let path = self.folder.join(&name);
        let mut file = BufWriter::new(File::create(&path).map_err(io(&path))?);
        file.write_all(&[0; HEADER]).map_err(io(&path))?;
        let (documents, positions) = (Vec::new(), Vec::new());
        Ok(Open { path, name, file, checksum: CHECKSUM_START, documents, positions })
    }

    fn close(&mut self) -> Result<(), SaeError> {
        let Some(mut shard) = self.shard.take() else { return Ok(()) };
        let wrong = io(&shard.path);
        let rows = shard.documents.len() as u64;
        let bytes: Vec<u8> =
            shard.documents.iter().chain(&shard.positions).flat_map(|v| v.to_le_bytes()).collect();
        shard.file.write_all(&bytes).map_err(&wrong)?;
        let checksum = format::checksum(shard.checksum, &bytes);
        // The header goes in last: a shard that was cut off has none.
        let header = format::header(self.width as u32, rows, checksum);
        let mut file = shard.file.into_inner().map_err(|e| wrong(e.into_error()))?;
        file.seek(SeekFrom::Start(0)).map_err(&wrong)?;
        file.write_all(&header).map_err(&wrong)?;
        self.done.push(Entry { name: shard.name, rows, checksum });
        Ok(())
    }
}

pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> SaeError + use<> {
    let path = path.to_owned();
    move |source| SaeError::Io { path: path.clone(), source }
}
