//! Goodfire: one `.pt` or `.pth` file, ReLU codes of x itself, no configuration.

use super::checkpoint::Checkpoint;
use super::format::Format;
use super::given::Given;
use super::parts::{Activation, Parts};
use super::place::Place;
use crate::{InputBias, Precision, SaeError};

pub(super) fn recognises(place: &Place) -> bool {
    place.tensors.has_all(&["encoder_linear.weight", "decoder_linear.weight"])
}

pub(super) fn read<F: Precision>(place: &Place, given: &Given) -> Result<Checkpoint<F>, SaeError> {
    let file = &place.tensors;
    given.only(&file.path, Format::Goodfire.name(), false, false)?;
    let matrices = [
        file.matrix::<F>("encoder_linear.weight")?,
        file.matrix::<F>("decoder_linear.weight")?.reversed_axes(),
    ];
    let activation = Activation::relu(file.vector("encoder_linear.bias")?);
    let b_dec = file.vector("decoder_linear.bias")?;
    let mut checkpoint = Parts::autoencoder(matrices, b_dec, activation, InputBias::NotSubtracted)
        .checkpoint(Format::Goodfire)?;
    file.all_used("Goodfire")?;
    checkpoint.notes.push(
        "ReLU codes of x itself, as in every file of this release, which has no configuration".to_owned(),
    );
    Ok(checkpoint)
}
