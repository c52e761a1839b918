//! Gemma Scope: `params.npz`, JumpReLU, the encoder takes x itself. Kind, layer and width stand in the path only.

use super::checkpoint::Checkpoint;
use super::format::Format;
use super::given::Given;
use super::parts::{Activation, Parts};
use super::place::Place;
use crate::dictionary::{RowNormalisation, Target};
use crate::{InputBias, Precision, SaeError};
use collimate_tensor::Scalar;
use ndarray::Array2;
use std::path::{Component, Path};

/// The sentence that stands beside every file of the two releases.
pub(super) const ENCODER: &str = "the encoder sees x itself, not x − b_dec, as in every file of this release";

pub(super) fn recognises(place: &Place) -> bool {
    let file = &place.tensors;
    file.is_npz() && (file.has("W_enc") || file.has("w_enc"))
}

pub(super) fn read<F: Precision>(place: &Place, given: &Given) -> Result<Checkpoint<F>, SaeError> {
    let file = &place.tensors;
    given.only(&file.path, Format::GemmaScope.name(), false, true)?;
    let matrix = |upper: &str, lower: &str| file.matrix::<F>(if file.has(upper) { upper } else { lower });
    let (mut w_enc, mut w_dec) = (matrix("W_enc", "w_enc")?, matrix("W_dec", "w_dec")?);
    let mut notes = vec![ENCODER.to_owned()];
    let parts = components(&file.path);
    if given.embedding || of_embeddings(&parts) {
        scale_embedding(&mut w_enc, &mut w_dec);
        let reason = if given.embedding { "as was given" } else { "by the folders of the release" };
        notes.push(format!(
            "a dictionary of embeddings, {reason}: W_enc/√d and W_dec·√d, in single precision"
        ));
    }
    let other = w_enc.nrows() != w_dec.ncols() || of_transcoders(&parts);
    if other {
        notes.push("a transcoder, by the name of its repository or by its widths".to_owned());
    }
    if file.has("scaling_factor") {
        let factors = file.vector::<F>("scaling_factor")?;
        if !factors.iter().all(|&s| (s.to_f64() - 1.0).abs() < 1e-6) {
            if factors.len() != w_dec.nrows() {
                return Err(SaeError::shape("scaling_factor", &[w_dec.nrows()], factors.shape()));
            }
            w_dec.rows_mut().into_iter().zip(&factors).for_each(|(mut row, &s)| row.mapv_inplace(|w| w * s));
            notes.push("the scaling_factor of the file multiplies the decoder rows".to_owned());
        }
    }
    let mut checkpoint = Parts {
        w_enc: w_enc.reversed_axes(),
        w_dec,
        b_dec: file.vector("b_dec")?,
        w_skip: None,
        activation: Activation::jump_relu(file.vector("b_enc")?, file.vector("threshold")?),
        input_bias: InputBias::NotSubtracted,
        row_normalisation: RowNormalisation::None,
        target: if other { Target::Other } else { Target::Input },
    }
    .checkpoint(Format::GemmaScope)?;
    file.all_used("jumprelu of Gemma Scope")?;
    checkpoint.notes.splice(0..0, notes);
    Ok(checkpoint)
}

/// Returns the names of the folders of a file, from the outermost.
fn components(path: &Path) -> Vec<String> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folders = absolute.parent().map(Path::to_owned).unwrap_or_default();
    folders
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy().to_lowercase()),
            _ => None,
        })
        .collect()
}

/// Returns true for the folders of the release's dictionaries of embeddings: `embedding/width_4k/average_l0_6`.
fn of_embeddings(folders: &[String]) -> bool {
    matches!(folders, [.., kind, width, l0]
        if kind == "embedding" && width.starts_with("width_") && l0.starts_with("average_l0_"))
}

/// Returns true for the release's repository of transcoders, as a folder of its own or in a cache of downloads.
fn of_transcoders(folders: &[String]) -> bool {
    folders.iter().any(|name| {
        let name = name.strip_prefix("models--google--").unwrap_or(name);
        name.starts_with("gemma-scope-") && name.ends_with("-transcoders")
    })
}

/// Multiplies embeddings by √d: they were divided by it before training; published loaders undo it in single precision.
fn scale_embedding<F: Scalar>(w_enc: &mut Array2<F>, w_dec: &mut Array2<F>) {
    let root = (w_enc.nrows() as f64).sqrt() as f32;
    let single = |v: F| v.to_f64() as f32;
    w_enc.mapv_inplace(|w| F::from_f64((single(w) / root).into()));
    w_dec.mapv_inplace(|w| F::from_f64((single(w) * root).into()));
}
