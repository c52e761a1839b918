use super::any_checkpoint::AnyCheckpoint;
use super::arranged::layout;
use super::checkpoint::Checkpoint;
use super::format::Format;
use super::given::Given;
use super::place::Place;
use super::refusal::wrong;
use crate::{Precision, SaeError};
use std::path::Path;

/// Reads a dictionary of single rows from a file or folder of any known format. [`read_any`] also reads the other architectures.
///
/// Numbers of another precision are converted; for `f64` of an `f32` file nothing is lost. The content of a file tells its
/// format; its name tells nothing.
///
/// # Errors
/// [`SaeError::File`] and [`SaeError::Format`] when the format is unknown, the file is not sound, or a tensor or a key of the
/// configuration is of a kind that is not computed here; [`SaeError::Io`].
///
/// # Examples
/// ```
/// use collimate_sae::formats::{read, write_saelens, Format};
/// use collimate_sae::{Gated, Sae, Size};
/// use collimate_stream::RngStream;
/// let folder = std::env::temp_dir().join(format!("collimate-doc-formats-{}", std::process::id()));
/// let sae = Sae::<f32>::new(Gated::paper(), Size { d_model: 3, n_latents: 6 }, &mut RngStream::new(1, 0))?;
/// write_saelens(sae.dictionary(), &folder, &[("hook_name", "blocks.9.hook_resid_post")])?;
/// let checkpoint = read::<f32>(&folder)?;
/// assert_eq!(checkpoint.format, Format::SaeLens);
/// assert_eq!(checkpoint.dictionary.to_sae()?, sae);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
pub fn read<F: Precision>(path: impl AsRef<Path>) -> Result<Checkpoint<F>, SaeError> {
    read_given(path, &Given::default())
}

/// Reads a dictionary like [`read`], with facts that its file does not hold.
///
/// # Errors
/// As [`read`]; [`SaeError::File`] for a fact that the file itself holds.
pub fn read_given<F: Precision>(path: impl AsRef<Path>, given: &Given) -> Result<Checkpoint<F>, SaeError> {
    read_any_given(path.as_ref(), given)?.into_rows(path.as_ref())
}

/// Reads a dictionary of a format that is known.
///
/// # Errors
/// As [`read`].
pub fn read_as<F: Precision>(path: impl AsRef<Path>, format: Format) -> Result<Checkpoint<F>, SaeError> {
    let path = path.as_ref();
    match arranged(path, format, &Given::default()) {
        Some(checkpoint) => checkpoint?.into_rows(path),
        None => finished(&Place::open(path)?, format, &Given::default()),
    }
}

/// Reads a dictionary of any architecture from a file or folder of any known format.
///
/// # Errors
/// As [`read`]. A set of files with a gap, a layer whose shapes do not fit, and tensors that the format does not know are refused by name.
///
/// # Examples
/// ```
/// use collimate_sae::formats::read_any;
/// use collimate_sae::{Arrangement, Gated, Sae, Size};
/// use collimate_stream::RngStream;
/// let path = std::env::temp_dir().join(format!("collimate-doc-read-any-{}.safetensors", std::process::id()));
/// let sae = Sae::<f32>::new(Gated::paper(), Size { d_model: 3, n_latents: 6 }, &mut RngStream::new(1, 0))?;
/// sae.save(&path)?;
/// let dictionary = read_any::<f32>(&path)?.dictionary;
/// assert_eq!((dictionary.arrangement(), dictionary.n_latents()), (Arrangement::Rows, 6));
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
pub fn read_any<F: Precision>(path: impl AsRef<Path>) -> Result<AnyCheckpoint<F>, SaeError> {
    read_any_given(path, &Given::default())
}

/// Reads a dictionary like [`read_any`], with facts that its file does not hold.
///
/// # Errors
/// As [`read_any`]; [`SaeError::File`] for a fact that the file itself holds.
pub fn read_any_given<F: Precision>(
    path: impl AsRef<Path>,
    given: &Given,
) -> Result<AnyCheckpoint<F>, SaeError> {
    let path = path.as_ref();
    if let Some(checkpoint) = layout::detect(path)?.and_then(|format| arranged(path, format, given)) {
        return checkpoint;
    }
    let place = Place::open(path)?;
    Ok(finished(&place, Format::of(&place)?, given)?.into())
}

/// Reads a dictionary whose input has further axes; `None` for a format of single rows.
fn arranged<F: Precision>(
    path: &Path,
    format: Format,
    given: &Given,
) -> Option<Result<AnyCheckpoint<F>, SaeError>> {
    let checkpoint = format.read_arranged(path)?;
    Some(given.only(path, format.name(), false, false).and(checkpoint).map_err(|error| of_file(path, error)))
}

fn finished<F: Precision>(place: &Place, format: Format, given: &Given) -> Result<Checkpoint<F>, SaeError> {
    let mut checkpoint = format.read(place, given).map_err(|error| of_file(&place.tensors.path, error))?;
    checkpoint.notes.extend(place.notes.iter().cloned());
    Ok(checkpoint)
}

/// Returns an error that names the file.
fn of_file(path: &Path, error: SaeError) -> SaeError {
    match error {
        error @ (SaeError::File { .. } | SaeError::Format(_) | SaeError::Io { .. }) => error,
        error => wrong(path, error.to_string()),
    }
}
