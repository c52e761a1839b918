use super::checkpoint::Checkpoint;
use super::format::Format;
use super::given::Given;
use super::place::Place;
use crate::{Precision, SaeError};
use std::path::Path;

/// Reads a dictionary from a file or folder of any known format.
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
    let place = Place::open(path.as_ref())?;
    finished(&place, Format::of(&place)?, given)
}

/// Reads a dictionary of a format that is known.
///
/// # Errors
/// As [`read`].
pub fn read_as<F: Precision>(path: impl AsRef<Path>, format: Format) -> Result<Checkpoint<F>, SaeError> {
    finished(&Place::open(path.as_ref())?, format, &Given::default())
}

fn finished<F: Precision>(place: &Place, format: Format, given: &Given) -> Result<Checkpoint<F>, SaeError> {
    let mut checkpoint = format.read(place, given).map_err(|error| match error {
        error @ (SaeError::File { .. } | SaeError::Format(_) | SaeError::Io { .. }) => error,
        error => place.wrong(error.to_string()),
    })?;
    checkpoint.notes.extend(place.notes.iter().cloned());
    Ok(checkpoint)
}
