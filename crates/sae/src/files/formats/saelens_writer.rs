use crate::dictionary::{Dictionary, RowNormalisation, Target};
use crate::members::topk::TopK;
use crate::members::variant::Variant;
use crate::{InputBias, SaeError};
use collimate_output::Existing;
use collimate_tensor::Scalar;
use collimate_tensor::files::{FileArray, FileData, write_safetensors};
use ndarray::{Array1, ArrayRef2};
use serde_json::json;
use std::path::Path;

/// The name of the file of weights.
const WEIGHTS: &str = "sae_weights.safetensors";

/// Writes a dictionary as a folder that SAELens loads, each file all or nothing.
///
/// `about` goes into the metadata (`model_name`, `hook_name`, …). A transcoder's encoder sees x itself there, so a
/// subtracted bias is folded first.
///
/// # Errors
/// [`SaeError::Unsupported`] for what SAELens has no inference class for: groups, TopK or gated transcoders, a skip connection
/// of an autoencoder, selection over a batch (use [`Checkpoint::for_single_rows`](super::Checkpoint::for_single_rows) first). [`SaeError::Io`] and
/// [`SaeError::Format`] when writing fails.
///
/// # Determinism
/// The bytes depend on the dictionary and `about` only.
pub fn write_saelens<F: Scalar>(
    dictionary: &Dictionary<F>,
    folder: impl AsRef<Path>,
    about: &[(&str, &str)],
) -> Result<(), SaeError> {
    let folder = folder.as_ref();
    let transcoder = dictionary.target == Target::Other;
    let common = dictionary.to_common_member()?;
    let dictionary = &common;
    let architecture = match (dictionary.variant.name(), transcoder, dictionary.skip.is_some()) {
        (name @ ("standard" | "jumprelu" | "gated" | "topk"), false, false) => name,
        ("standard", true, false) => "transcoder",
        ("standard", true, true) => "skip_transcoder",
        ("jumprelu", true, false) => "jumprelu_transcoder",
        ("jumprelu", true, true) => "jumprelu_skip_transcoder",
        (name, true, _) => {
            let architecture = if name == "topk" { "topk transcoder" } else { name };
            return Err(SaeError::Unsupported { operation: "writing it for SAELens", architecture });
        }
        (name, false, skip) => {
            let architecture = if skip { "skip autoencoder" } else { name };
            return Err(SaeError::Unsupported { operation: "writing it for SAELens", architecture });
        }
    };
    let folded;
    let dictionary = if transcoder && dictionary.input_bias() == InputBias::Subtracted {
        folded = dictionary.clone().fold_input_bias();
        &folded
    } else {
        dictionary
    };
    let matrix = |m: &ArrayRef2<F>| tensor(m.shape(), m.iter());
    let vector = |v: &Array1<F>| tensor(v.shape(), v.iter());
    let transposed = dictionary.encoder().t().as_standard_layout().into_owned();
    let mut tensors = vec![
        ("W_enc", matrix(&transposed)),
        ("W_dec", matrix(dictionary.decoder())),
        ("b_dec", vector(dictionary.decoder_bias())),
    ];
    let vectors = dictionary.variant.per_latent_names().iter().zip(&dictionary.weights.per_latent);
    tensors.extend(vectors.map(|(&name, v)| (name, vector(v))));
    if let Some(skip) = &dictionary.skip {
        tensors.push(("W_skip", matrix(skip)));
    }
    let size = dictionary.size();
    let mut config = json!({
        "architecture": architecture,
        "d_in": size.d_model,
        "d_sae": size.n_latents,
        "dtype": if F::NAME == "f32" { "float32" } else { "float64" },
        "device": "cpu",
        "apply_b_dec_to_input": dictionary.input_bias() == InputBias::Subtracted,
        "normalize_activations": match dictionary.row_normalisation {
            RowNormalisation::None => "none",
            RowNormalisation::ConstantNorm => "constant_norm_rescale",
            RowNormalisation::LayerNorm => "layer_norm",
        },
        "reshape_activations": "none",
        "metadata": about.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
    });
    if let Variant::TopK(TopK { k, .. }) = dictionary.variant {
        config["k"] = k.into();
        config["rescale_acts_by_decoder_norm"] = false.into();
    }
    if transcoder {
        config["d_out"] = dictionary.d_out().into();
    }
    std::fs::create_dir_all(folder).map_err(|source| SaeError::Io { path: folder.to_owned(), source })?;
    write_safetensors(folder.join(WEIGHTS), &tensors, &[])?;
    collimate_output::write(&folder.join("cfg.json"), Existing::Replace, |out| {
        serde_json::to_writer_pretty(out, &config).map_err(std::io::Error::from)
    })?;
    Ok(())
}

fn tensor<'a, F: Scalar>(shape: &[usize], values: impl Iterator<Item = &'a F>) -> FileArray {
    // Both ways are exact: an f32 widened and narrowed again is itself.
    let data = if F::NAME == "f32" {
        FileData::F32(values.map(|&v| v.to_f64() as f32).collect())
    } else {
        FileData::F64(values.map(|&v| v.to_f64()).collect())
    };
    FileArray::new(shape.to_vec(), data).expect("the array has its own shape")
}
