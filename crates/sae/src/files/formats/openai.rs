//! OpenAI's sparse_autoencoder: `{layer}.pt`, ReLU or TopK.

use super::checkpoint::Checkpoint;
use super::detect::Format;
use super::parts::{Activation, Parts};
use super::tensors::Tensors;
use crate::dictionary::{RowNormalisation, Target};
use crate::{InputBias, SaeError};
use collimate_tensor::Scalar;
use collimate_tensor::files::TorchScalar;
use std::path::Path;

pub(super) fn read<F: Scalar>(path: &Path) -> Result<Checkpoint<F>, SaeError> {
    let file = Tensors::torch(path.to_owned())?;
    let text = |name: &str| match file.scalar(name) {
        Some(TorchScalar::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let b_enc = file.vector("latent_bias")?;
    let (activation, row_normalisation) = match text("activation").unwrap_or("ReLU") {
        "ReLU" => (Activation::relu(b_enc), RowNormalisation::None),
        "TopK" => {
            if let Some(after) = text("activation_state_dict.postact_fn").filter(|after| *after != "ReLU") {
                return Err(file.wrong(format!("'{after}' behind TopK is not ReLU")));
            }
            let k = file.number("activation_state_dict.k")?;
            if k.fract() != 0.0 || !(1.0..1e9).contains(&k) {
                return Err(file.wrong(format!("'k' must be a whole number from 1, but is {k}")));
            }
            (Activation::top_k(b_enc, k as usize), RowNormalisation::LayerNorm)
        }
        other => return Err(file.wrong(format!("the activation '{other}' is neither 'ReLU' nor 'TopK'"))),
    };
    let w_enc = file.matrix::<F>("encoder.weight")?;
    let tied = !file.has("decoder.weight");
    let w_dec = if tied { w_enc.clone() } else { file.matrix::<F>("decoder.weight")?.reversed_axes() };
    let normalised = row_normalisation == RowNormalisation::LayerNorm;
    let mut checkpoint = Checkpoint::of(
        Parts {
            w_enc,
            w_dec,
            b_dec: file.vector("pre_bias")?,
            w_skip: None,
            activation,
            input_bias: InputBias::Subtracted,
            row_normalisation,
            target: Target::Input,
        }
        .dictionary()?,
        Format::OpenAi,
    );
    if tied {
        checkpoint = checkpoint.note("there is no decoder.weight: the decoder is the transposed encoder");
    }
    if normalised {
        checkpoint = checkpoint
            .note("rows are normalised to mean 0 and deviation 1, as the library does for every TopK file");
    }
    Ok(checkpoint)
}
