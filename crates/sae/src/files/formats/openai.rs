//! OpenAI's sparse_autoencoder: `{layer}.pt`, ReLU or TopK.

use super::checkpoint::Checkpoint;
use super::format::Format;
use super::given::Given;
use super::parts::{Activation, Parts};
use super::place::Place;
use crate::dictionary::{RowNormalisation, Target};
use crate::{InputBias, Precision, SaeError};
use collimate_tensor::files::TorchScalar;

pub(super) fn recognises(place: &Place) -> bool {
    place.tensors.has_all(&["pre_bias", "latent_bias"])
}

pub(super) fn read<F: Precision>(place: &Place, given: &Given) -> Result<Checkpoint<F>, SaeError> {
    let file = &place.tensors;
    given.only(&file.path, Format::OpenAi.name(), false, false)?;
    let text = |name: &str| match file.scalar(name) {
        Some(TorchScalar::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let mut notes = Vec::new();
    let b_enc = file.vector("latent_bias")?;
    let (activation, row_normalisation) = match text("activation") {
        Some("ReLU") => (Activation::relu(b_enc), RowNormalisation::None),
        None => {
            notes.push("the file names no activation: taken to be ReLU, as the library does".to_owned());
            (Activation::relu(b_enc), RowNormalisation::None)
        }
        Some("TopK") => {
            if let Some(after) = text("activation_state_dict.postact_fn").filter(|after| *after != "ReLU") {
                return Err(file.wrong(format!("'{after}' after TopK is not ReLU")));
            }
            let k = file.count("activation_state_dict.k")?;
            notes.push(
                "rows are normalised to mean 0 and deviation 1, as the library does for every TopK file"
                    .to_owned(),
            );
            (Activation::top_k(b_enc, k), RowNormalisation::LayerNorm)
        }
        Some(other) => {
            return Err(file.wrong(format!("the activation '{other}' is neither 'ReLU' nor 'TopK'")));
        }
    };
    let w_enc = file.matrix::<F>("encoder.weight")?;
    let w_dec = if file.has("decoder.weight") {
        file.matrix::<F>("decoder.weight")?.reversed_axes()
    } else {
        notes.push("there is no decoder.weight: the decoder is the transposed encoder".to_owned());
        w_enc.clone()
    };
    let mut checkpoint = Parts {
        w_enc,
        w_dec,
        b_dec: file.vector("pre_bias")?,
        w_skip: None,
        activation,
        input_bias: InputBias::Subtracted,
        row_normalisation,
        target: Target::Input,
    }
    .checkpoint(Format::OpenAi)?;
    // The number of steps since each latent was active.
    file.set_aside(&["stats_last_nonzero"]);
    file.all_used("sparse_autoencoder")?;
    checkpoint.notes.splice(0..0, notes);
    Ok(checkpoint)
}
