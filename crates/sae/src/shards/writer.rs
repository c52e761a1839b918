use super::format::{self, CHECKSUM_START, Entry, HEADER, Index, Precision, Version};
use crate::SaeError;
use collimate_measure::{Fingerprint, ensure};
use collimate_output::Existing;
use half::f16;
use ndarray::ArrayRef2;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Writes rows into shards.
///
/// # Examples
/// ```
/// use collimate_measure::Fingerprint;
/// use collimate_sae::shards::{ShardWriter, Shards};
/// let folder = std::env::temp_dir().join(format!("collimate-doc-shards-{}", std::process::id()));
/// let mut writer = ShardWriter::create(&folder, 2, 1000, Fingerprint::of(b"a model and a text"))?.about("layer", "9");
/// writer.push_document(7, 0, &ndarray::array![[9.0f32, 9.0], [1.0, 0.5], [0.25, 2.0]])?; // position 0 is dropped
/// assert_eq!(writer.finish()?, 2);
/// let shards = Shards::open(&folder)?;
/// let block = shards.blocks(10).next().unwrap()?;
/// assert_eq!((block.documents, block.positions), (vec![7, 7], vec![1, 2]));
/// assert_eq!(shards.about()["layer"], "9");
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
#[derive(Debug)]
pub struct ShardWriter {
    folder: PathBuf,
    width: usize,
    rows_per_shard: usize,
    source: Fingerprint,
    about: BTreeMap<String, String>,
    shard: Option<Open>,
    done: Vec<Entry>,
    rows: u64,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    name: String,
    file: BufWriter<File>,
    precision: Precision,
    checksum: u64,
    documents: Vec<u32>,
    positions: Vec<u32>,
    checks: Vec<u32>,
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
        let about = BTreeMap::new();
        Ok(Self { folder, width, rows_per_shard, source, about, shard: None, done: Vec::new(), rows: 0 })
    }

    /// Notes something about the rows, for example the layer. It is stored, and is no part of the fingerprint. The key is a word;
    /// blanks in it become hyphens.
    #[must_use]
    pub fn about(mut self, key: &str, value: &str) -> Self {
        self.about.insert(key.split_whitespace().collect::<Vec<_>>().join("-"), value.to_owned());
        self
    }

    /// Writes the activations of a run of positions of one document, the first of which is `first`.
    ///
    /// Position 0 is dropped: in the models of these studies its norm is far above all others, and it does not depend on the
    /// text.
    ///
    /// # Errors
    /// [`SaeError::NonFiniteInput`] naming the value, before anything of the row is written; [`SaeError::Mismatch`] for another
    /// width; [`SaeError::Io`].
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
        if let Some(column) = x.iter().position(|value| !value.is_finite()) {
            let (row, value) = (self.rows as usize, f64::from(x[column]));
            return Err(SaeError::NonFiniteInput { what: "rows to store", row, column, value });
        }
        if self.shard.is_none() {
            self.shard = Some(self.open()?);
        }
        let shard = self.shard.as_mut().expect("just opened");
        if shard.precision == Precision::Half && x.iter().any(|&value| f16::from_f32(value).is_infinite()) {
            shard.widen()?;
        }
        let bytes: Vec<u8> = match shard.precision {
            Precision::Half => x.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
            Precision::Single => x.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        shard.push(document, position, &bytes)?;
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
        let index = Index {
            version: Version::Two,
            width: self.width as u32,
            source: self.source,
            about: self.about,
            entries: self.done,
        };
        let text = index.text();
        collimate_output::write(&path, Existing::Replace, |out| out.write_all(text.as_bytes()))?;
        Ok(self.rows)
    }

    fn open(&self) -> Result<Open, SaeError> {
        let name = format!("{:05}.rows", self.done.len());
        let path = self.folder.join(&name);
        Ok(Open {
            file: begin(&path)?,
            path,
            name,
            precision: Precision::Half,
            checksum: CHECKSUM_START,
            documents: Vec::new(),
            positions: Vec::new(),
            checks: Vec::new(),
        })
    }

    fn close(&mut self) -> Result<(), SaeError> {
        let Some(mut shard) = self.shard.take() else { return Ok(()) };
        let wrong = io(&shard.path);
        let little = |numbers: &[u32]| -> Vec<u8> { numbers.iter().flat_map(|v| v.to_le_bytes()).collect() };
        let tokens = [little(&shard.documents), little(&shard.positions)].concat();
        shard.file.write_all(&tokens).map_err(&wrong)?;
        shard.file.write_all(&little(&shard.checks)).map_err(&wrong)?;
        let entry = Entry {
            name: shard.name,
            rows: shard.documents.len() as u64,
            checksum: format::checksum(shard.checksum, &tokens),
            precision: shard.precision,
        };
        // The header goes in last: a shard that was cut off has none.
        let header = entry.header(self.width as u32, Version::Two);
        let mut file = shard.file.into_inner().map_err(|e| wrong(e.into_error()))?;
        file.seek(SeekFrom::Start(0)).map_err(&wrong)?;
        file.write_all(&header).map_err(&wrong)?;
        self.done.push(entry);
        Ok(())
    }
}

/// Creates the file of a shard, with room for its header.
fn begin(path: &Path) -> Result<BufWriter<File>, SaeError> {
    let mut file = BufWriter::new(File::create(path).map_err(io(path))?);
    file.write_all(&[0; HEADER]).map_err(io(path))?;
    Ok(file)
}

impl Open {
    /// Writes the bytes of a row.
    fn push(&mut self, document: u32, position: u32, bytes: &[u8]) -> Result<(), SaeError> {
        self.file.write_all(bytes).map_err(io(&self.path))?;
        self.checksum = format::checksum(self.checksum, bytes);
        self.documents.push(document);
        self.positions.push(position);
        self.checks.push(format::row_check(bytes, document, position));
        Ok(())
    }

    /// Writes the rows so far again, in single precision. They keep the values to which half precision rounded them.
    fn widen(&mut self) -> Result<(), SaeError> {
        let wrong = io(&self.path);
        self.file.flush().map_err(&wrong)?;
        let narrow = self.path.with_extension("narrow");
        fs::rename(&self.path, &narrow).map_err(&wrong)?;
        let size = narrow.metadata().map_err(&wrong)?.len() - HEADER as u64;
        let mut halves = BufReader::new(File::open(&narrow).map_err(&wrong)?);
        halves.seek(SeekFrom::Start(HEADER as u64)).map_err(&wrong)?;
        let (documents, positions) =
            (std::mem::take(&mut self.documents), std::mem::take(&mut self.positions));
        self.checks.clear();
        (self.file, self.precision, self.checksum) = (begin(&self.path)?, Precision::Single, CHECKSUM_START);
        let mut row = vec![0; size.checked_div(documents.len() as u64).unwrap_or(0) as usize];
        for (document, position) in documents.into_iter().zip(positions) {
            halves.read_exact(&mut row).map_err(&wrong)?;
            let values = row.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32());
            let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
            self.push(document, position, &bytes)?;
        }
        fs::remove_file(&narrow).map_err(&wrong)
    }
}

pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> SaeError + use<> {
    let path = path.to_owned();
    move |source| SaeError::Io { path: path.clone(), source }
}
