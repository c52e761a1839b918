//! Dictionaries and transcoders of this crate.

use super::checkpoint::Checkpoint;
use super::format::Format;
use super::given::Given;
use super::place::Place;
use crate::files::dictionary::about;
use crate::train::model::Parts;
use crate::{Precision, Sae, SaeError, Transcoder};
use collimate_tensor::files::Safetensors;

/// The beginning of the metadata `format` of every file of this crate.
const OURS: &str = "collimate";

pub(super) fn recognises(place: &Place) -> bool {
    place.tensors.metadata("format").is_some_and(|format| format.starts_with(OURS))
}

pub(super) fn read<F: Precision>(place: &Place, given: &Given) -> Result<Checkpoint<F>, SaeError> {
    let path = &place.tensors.path;
    given.only(path, Format::Collimate.name(), false, false)?;
    let transcoder = place.tensors.metadata("format") == Some(<Transcoder<F> as Parts>::FORMAT);
    let dictionary = if transcoder {
        Transcoder::load(path)?.dictionary().clone()
    } else {
        Sae::load(path)?.into_dictionary()
    };
    let about = about(&Safetensors::open(path)?);
    Ok(Checkpoint { about, ..Checkpoint::of(dictionary, Format::Collimate) })
}
