use super::array::FileArray;
use super::error::FileError;
use super::kind::FileKind;
use super::npy::{Place, read_stream, to_bytes};
use super::safetensors::missing;
use super::source::Source;
use super::zip::{Member, content, members, write_stored};
use crate::memory_fits;
use collimate_output::{Existing, write};
use std::collections::BTreeMap;
use std::path::Path;

/// The default limit of bytes to which a compressed array may expand.
const DEFAULT_LIMIT: u64 = 1 << 30;

/// An open npz file (a zip archive of npy files). Its directory is checked; its arrays are read one at a time.
///
/// A compressed archive can expand a thousandfold, so the size after expansion has a limit: 1 GiB for each array, or the limit
/// of [`Npz::with_limit`]. Arrays that are stored without compression have no limit but the memory of the machine.
///
/// # Errors
/// Opening refuses a broken zip directory and repeated names. Reading refuses wrong sizes and check sums, encryption,
/// compression other than deflate, arrays above the limit, and everything that [`read_npy`](super::read_npy) refuses.
///
/// # Examples
/// ```
/// use collimate_tensor::files::{FileArray, Npz, write_npz};
/// use ndarray::array;
/// let path = std::env::temp_dir().join(format!("collimate-npz-doc-{}", std::process::id()));
/// write_npz(&path, &[("x", FileArray::from(array![0.5_f64]))])?;
/// let file = Npz::open(&path)?;
/// assert_eq!(file.read("x")?.to_f64()[0], 0.5);
/// assert!(file.read("y").is_err());
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Npz {
    source: Source,
    /// The members by the name of the array.
    arrays: BTreeMap<String, Member>,
    limit: u64,
}

impl Npz {
    /// Opens a file and checks its directory.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        Self::parse(Source::open(path.as_ref())?)
    }

    /// Reads a file that is already in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, FileError> {
        Self::parse(Source::memory(bytes))
    }

    fn parse(source: Source) -> Result<Self, FileError> {
        source.expect(&[FileKind::Zip], "an npz archive")?;
        let mut arrays = BTreeMap::new();
        for member in members(&source)? {
            // Members that are not arrays are skipped.
            let Some(name) = member.name.strip_suffix(".npy").map(str::to_owned) else { continue };
            if arrays.contains_key(&name) {
                let what = format!("the array '{name}' is listed twice");
                return Err(source.malformed("the zip directory", what));
            }
            arrays.insert(name, member);
        }
        Ok(Self { source, arrays, limit: DEFAULT_LIMIT })
    }

    /// Sets the limit of bytes to which a compressed array may expand.
    #[must_use]
    pub fn with_limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Returns the names of the arrays, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.keys().map(String::as_str)
    }

    /// Reads one array.
    ///
    /// # Errors
    /// The errors listed at the type; [`FileError::Missing`] if there is no array of this name.
    pub fn read(&self, name: &str) -> Result<FileArray, FileError> {
        let Some(member) = self.arrays.get(name) else {
            return Err(missing(&self.source, name, &self.arrays));
        };
        let place = format!("array '{name}'");
        let path = self.source.path.clone();
        if member.expands() && member.size > self.limit {
            return Err(FileError::TooLarge { path, place, needed: member.size, limit: self.limit });
        }
        let mut content = content(&self.source, member, &place)?;
        if !memory_fits(member.size) {
            return Err(FileError::Memory { path, place, needed: member.size });
        }
        let prefix = format!("{place}: ");
        let array =
            read_stream(&mut content, member.size, &Place { path: &self.source.path, prefix: &prefix })?;
        content.finish().map_err(|what| self.source.malformed(&place, what))?;
        Ok(array)
    }
}

/// Writes arrays to an npz file without compression. On an error the old file, if any, stays.
///
/// # Errors
/// [`FileError::Malformed`] if a name is given twice, [`FileError::Unsupported`] for bf16,
/// [`FileError::TooLarge`] for 4 GiB or more, [`FileError::Output`] if writing fails.
///
/// # Determinism
/// The bytes depend only on the arrays and their order, because the members carry no time of writing.
pub fn write_npz(path: impl AsRef<Path>, arrays: &[(&str, FileArray)]) -> Result<(), FileError> {
    let path = path.as_ref();
    let mut names: Vec<_> = arrays.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(FileError::Malformed {
            path: path.into(),
            place: "the zip directory".into(),
            what: format!("the array '{}' is given twice", twice[0]),
        });
    }
    let members = arrays
        .iter()
        .map(|(name, array)| Ok((format!("{name}.npy"), to_bytes(array, path)?)))
        .collect::<Result<Vec<_>, FileError>>()?;
    let mut refused = None;
    let written = write(path, Existing::Replace, |out| {
        write_stored(out, path, &members).map_err(|error| {
            let message = std::io::Error::other(error.to_string());
            refused = Some(error);
            message
        })
    });
    refused.map_or(written.map_err(FileError::from), Err)
}
