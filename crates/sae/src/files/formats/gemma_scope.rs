//! Gemma Scope 1 (`params.npz`) and 2 (`params.safetensors`).

use super::checkpoint::Checkpoint;
use super::detect::{Format, beside, file_of};
use super::json::Config;
use super::parts::{Activation, Parts};
use super::tensors::Tensors;
use crate::dictionary::{RowNormalisation, Target};
use crate::{InputBias, SaeError};
use collimate_tensor::Scalar;
use ndarray::Array2;
use std::path::Path;

/// Reads the first release: JumpReLU, the encoder sees x itself. Kind, layer and width stand in the path only.
pub(super) fn read_first<F: Scalar>(path: &Path) -> Result<Checkpoint<F>, SaeError> {
    let file = Tensors::npz(file_of(path, "params.npz"))?;
    let matrix = |upper: &str, lower: &str| file.matrix::<F>(if file.has(upper) { upper } else { lower });
    let (mut w_enc, mut w_dec) = (matrix("W_enc", "w_enc")?, matrix("W_dec", "w_dec")?);
    let words = path.to_string_lossy().to_lowercase();
    let embedding = words.contains("embedding");
    if embedding {
        scale_embedding(&mut w_enc, &mut w_dec);
    }
    let target = if words.contains("transcoder") { Target::Other } else { Target::Input };
    let scaled = file.has("scaling_factor") && {
        let factors = file.vector::<F>("scaling_factor")?;
        let plain = factors.iter().all(|&s| (s.to_f64() - 1.0).abs() < 1e-6);
        if !plain {
            if factors.len() != w_dec.nrows() {
                return Err(SaeError::shape("scaling_factor", &[w_dec.nrows()], factors.shape()));
            }
            w_dec.rows_mut().into_iter().zip(&factors).for_each(|(mut row, &s)| row.mapv_inplace(|w| w * s));
        }
        !plain
    };
    let checkpoint = Checkpoint::of(
        Parts {
            w_enc: w_enc.reversed_axes(),
            w_dec,
            b_dec: file.vector("b_dec")?,
            w_skip: None,
            activation: Activation::jump_relu(file.vector("b_enc")?, file.vector("threshold")?),
            input_bias: InputBias::NotSubtracted,
            row_normalisation: RowNormalisation::None,
            target,
        }
        .dictionary()?,
        Format::GemmaScope,
    );
    let mut checkpoint =
        checkpoint.note("the encoder sees x itself, not x − b_dec, as in every file of this release");
    if embedding {
        checkpoint = checkpoint
            .note("a dictionary of embeddings (by its path): W_enc/√d and W_dec·√d, in single precision");
    }
    if target == Target::Other {
        checkpoint = checkpoint.note("a transcoder (by its path)");
    }
    if scaled {
        checkpoint = checkpoint.note("the scaling_factor of the file multiplies the decoder rows");
    }
    Ok(checkpoint)
}

/// Multiplies embeddings by √d: they were divided by it before training; published loaders undo it in single precision.
fn scale_embedding<F: Scalar>(w_enc: &mut Array2<F>, w_dec: &mut Array2<F>) {
    let root = (w_enc.nrows() as f64).sqrt() as f32;
    let single = |v: F| v.to_f64() as f32;
    w_enc.mapv_inplace(|w| F::from_f64((single(w) / root).into()));
    w_dec.mapv_inplace(|w| F::from_f64((single(w) * root).into()));
}

/// Reads the second release: JumpReLU with a configuration, and transcoders with a skip connection `[d_in, d_out]`.
pub(super) fn read_second<F: Scalar>(path: &Path) -> Result<Checkpoint<F>, SaeError> {
    let file = Tensors::safetensors(file_of(path, "params.safetensors"))?;
    let config_path = beside(path, "config.json");
    let mut about = std::collections::BTreeMap::new();
    let mut other = path.to_string_lossy().contains("transcoder");
    let mut affine = None;
    if config_path.is_file() {
        let config = Config::open(&config_path)?;
        if let Some(architecture) = config.text("architecture").filter(|name| *name != "jump_relu") {
            return Err(config.wrong(format!("the architecture '{architecture}' is not 'jump_relu'")));
        }
        let (from, to) = (config.text("hf_hook_point_in"), config.text("hf_hook_point_out"));
        other |= from.is_some() && to.is_some() && from != to;
        affine = Some(config.flag("affine_connection", false)?);
        about = config.about(&["model_name", "hf_hook_point_in", "hf_hook_point_out", "width", "l0"]);
    }
    let w_skip = if file.has("affine_skip_connection") {
        Some(file.matrix::<F>("affine_skip_connection")?.reversed_axes())
    } else if affine == Some(true) {
        return Err(
            file.wrong("config.json speaks of an affine connection, but 'affine_skip_connection' is missing")
        );
    } else {
        None
    };
    let checkpoint = Checkpoint::of(
        Parts {
            w_enc: file.matrix::<F>("w_enc")?.reversed_axes(),
            w_dec: file.matrix("w_dec")?,
            b_dec: file.vector("b_dec")?,
            activation: Activation::jump_relu(file.vector("b_enc")?, file.vector("threshold")?),
            input_bias: InputBias::NotSubtracted,
            row_normalisation: RowNormalisation::None,
            target: if other || w_skip.is_some() { Target::Other } else { Target::Input },
            w_skip,
        }
        .dictionary()?,
        Format::GemmaScope2,
    );
    Ok(checkpoint
        .about(about)
        .note("the encoder sees x itself, not x − b_dec, as in every file of this release"))
}
