//! sparsify: TopK and groupmax, autoencoders and transcoders, each with or without a skip connection.

use super::checkpoint::Checkpoint;
use super::detect::{Format, beside, file_of};
use super::json::Config;
use super::parts::{Activation, Parts};
use super::tensors::Tensors;
use crate::dictionary::{RowNormalisation, Target};
use crate::{InputBias, SaeError};
use collimate_tensor::Scalar;
use std::path::Path;

pub(super) fn read<F: Scalar>(path: &Path) -> Result<Checkpoint<F>, SaeError> {
    let config = Config::open(&beside(path, "cfg.json"))?;
    let file = Tensors::safetensors(file_of(path, "sae.safetensors"))?;
    let w_enc = file.matrix::<F>("encoder.weight")?;
    let (n, d) = w_enc.dim();
    config.expect("d_in", d)?;
    // Zero latents in the configuration mean that the expansion factor decides.
    match config.get("num_latents").and_then(|n| n.as_u64()).unwrap_or(0) {
        0 => {
            if config.get("expansion_factor").is_some() {
                let expansion = config.count("expansion_factor")?;
                if expansion.checked_mul(d) != Some(n) {
                    let what =
                        format!("{d} × expansion_factor {expansion} is not the {n} latents of the tensors");
                    return Err(config.wrong(what));
                }
            }
        }
        _ => config.expect("num_latents", n)?,
    }
    let b_enc = file.vector("encoder.bias")?;
    let k = config.count("k")?;
    let activation = match config.text("activation").unwrap_or("topk") {
        "topk" => Activation::top_k(b_enc, k),
        "groupmax" => Activation::group_max(b_enc, k),
        other => {
            return Err(config.wrong(format!("the activation '{other}' is neither 'topk' nor 'groupmax'")));
        }
    };
    let transcode = config.flag("transcode", false)?;
    let skip = config.flag("skip_connection", false)?;
    let (input_bias, target) = if transcode {
        (InputBias::NotSubtracted, Target::Other)
    } else {
        (InputBias::Subtracted, Target::Input)
    };
    let mut checkpoint = Checkpoint::of(
        Parts {
            w_enc,
            w_dec: file.matrix("W_dec")?,
            b_dec: file.vector("b_dec")?,
            w_skip: skip.then(|| file.matrix("W_skip")).transpose()?,
            activation,
            input_bias,
            row_normalisation: RowNormalisation::None,
            target,
        }
        .dictionary()?,
        Format::Sparsify,
    );
    if config.flag("multi_topk", false)? {
        checkpoint = checkpoint.note(
            "multi_topk belongs to the training loss: codes and reconstructions use k latents (the library's own forward \
             returns a reconstruction from 4k)",
        );
    }
    Ok(checkpoint)
}
