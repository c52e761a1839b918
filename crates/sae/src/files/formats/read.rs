use super::checkpoint::Checkpoint;
use super::detect::Format;
use super::{dictionary_learning, gemma_scope, openai, saelens, sparsify};
use crate::dictionary::Dictionary;
use crate::files::dictionary;
use crate::train::model::Parts;
use crate::{Precision, Sae, SaeError, Transcoder};
use collimate_tensor::files::Safetensors;
use std::path::Path;

/// Reads a dictionary from a file or folder of any known format.
///
/// Numbers of another precision are converted; for `f64` of an `f32` file nothing is lost.
///
/// # Errors
/// [`SaeError::File`] and [`SaeError::Format`] when the format is unknown or the file is not sound, [`SaeError::Mismatch`] and
/// [`SaeError::OutOfRange`] when its tensors do not fit each other, [`SaeError::NonFiniteInput`] for NaN or infinity,
/// [`SaeError::Io`].
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
    let path = path.as_ref();
    read_as(path, Format::detect(path)?)
}

/// Reads a dictionary of a format that is known.
///
/// # Errors
/// As [`read`].
pub fn read_as<F: Precision>(path: impl AsRef<Path>, format: Format) -> Result<Checkpoint<F>, SaeError> {
    let path = path.as_ref();
    match format {
        Format::Collimate => {
            Ok(Checkpoint::of(own(path)?, format).about(dictionary::about(&Safetensors::open(path)?)))
        }
        Format::SaeLens => saelens::read(path),
        Format::GemmaScope => gemma_scope::read_first(path),
        Format::GemmaScope2 => gemma_scope::read_second(path),
        Format::Sparsify => sparsify::read(path),
        Format::DictionaryLearning => dictionary_learning::read(path),
        Format::OpenAi => openai::read(path),
    }
}

/// Reads a dictionary or a transcoder of this crate.
fn own<F: Precision>(path: &Path) -> Result<Dictionary<F>, SaeError> {
    let file = Safetensors::open(path)?;
    if file.metadata().get("format").is_some_and(|format| format == <Transcoder<F> as Parts>::FORMAT) {
        return Ok(Transcoder::load(path)?.dictionary().clone());
    }
    Ok(Sae::load(path)?.into_dictionary())
}
