//! SAELens: `cfg.json` and `sae_weights.safetensors`, of version 6 and, by their older keys, of those before.

use super::checkpoint::Checkpoint;
use super::detect::{Format, beside, file_of};
use super::json::Config;
use super::parts::{Activation, Parts};
use super::tensors::Tensors;
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

const WEIGHTS: &str = "sae_weights.safetensors";
const ABOUT: [&str; 12] = [
    "model_name",
    "hook_name",
    "hook_point",
    "hook_name_out",
    "hook_layer",
    "hook_point_layer",
    "hook_head_index",
    "context_size",
    "prepend_bos",
    "dataset_path",
    "sae_lens_version",
    "input_scale",
];

pub(super) fn read<F: Scalar>(path: &Path) -> Result<Checkpoint<F>, SaeError> {
    let config = Config::open(&beside(path, "cfg.json"))?;
    let weights = file_of(path, WEIGHTS);
    let weights = if weights.is_file() { weights } else { beside(path, "model.safetensors") };
    let file = Tensors::safetensors(weights)?;
    let mut notes = Vec::new();
    let mut threshold_of_batches = None;

    let old = config.get("activation_fn_kwargs").and_then(|kwargs| kwargs.get("k")).and_then(|k| k.as_u64());
    let old_top = [config.text("activation_fn_str"), config.text("activation_fn")].contains(&Some("topk"));
    let mut name = config.text("architecture").unwrap_or("standard");
    if old_top && old.is_some() {
        name = "topk";
    }
    let (name, transcoder) = match name {
        "transcoder" | "skip_transcoder" => ("standard", true),
        "jumprelu_transcoder" | "jumprelu_skip_transcoder" => ("jumprelu", true),
        other => (other, false),
    };
    let b_enc = || file.vector::<F>("b_enc");
    let rescale = config.flag("rescale_acts_by_decoder_norm", false)?;
    let activation = match name {
        "standard" => Activation::relu(b_enc()?),
        "gated" => Activation::gated(file.vector("b_gate")?, file.vector("b_mag")?, file.vector("r_mag")?),
        "jumprelu" => {
            let threshold = if file.has("log_threshold") {
                notes.push("the thresholds are stored as logarithms".to_owned());
                // The library takes the exponential in the precision of the file.
                file.vector::<F>("log_threshold")?.mapv(|t| F::from_f64((t.to_f64() as f32).exp().into()))
            } else {
                file.vector("threshold")?
            };
            Activation::jump_relu(b_enc()?, threshold)
        }
        "topk" => {
            let k = match old {
                Some(k) if config.get("k").is_none() => {
                    usize::try_from(k).map_err(|e| config.wrong(e.to_string()))?
                }
                _ => whole(&config)?,
            };
            Activation::top_k(b_enc()?, k)
        }
        "batchtopk" | "matryoshka_batchtopk" => {
            if file.has("topk_threshold") {
                threshold_of_batches = Some(file.number("topk_threshold")?);
            }
            notes.push(
                "a training checkpoint: codes are selected over all rows that are encoded together; for_single_rows \
                 gives the form for single rows"
                    .to_owned(),
            );
            Activation::batch_top_k(b_enc()?, config.number("k")?)
        }
        other => {
            return Err(config.wrong(format!(
                "the architecture '{other}' is not read (standard, gated, jumprelu, topk, batchtopk, matryoshka_batchtopk, \
                 transcoder, skip_transcoder, jumprelu_transcoder, jumprelu_skip_transcoder are)"
            )));
        }
    };

    let row_normalisation = match config.get("normalize_activations") {
        None | Some(serde_json::Value::Bool(false)) => RowNormalisation::None,
        Some(value) => match value.as_str() {
            Some("none") => RowNormalisation::None,
            Some("constant_norm_rescale") => RowNormalisation::ConstantNorm,
            Some("layer_norm") => RowNormalisation::LayerNorm,
            _ if value == true || value == "expected_average_only_in" => {
                notes.push(
                    "trained on inputs scaled to E‖x‖ = √d, but the factor is not in the file and none is applied: fold it with \
                     fold_input_scale"
                        .to_owned(),
                );
                RowNormalisation::None
            }
            Some("covariance_whitening") => {
                notes.push(
                    "trained on whitened inputs, but the matrix is not in the file and none is applied: fold it with \
                     fold_whitening"
                        .to_owned(),
                );
                RowNormalisation::None
            }
            _ => return Err(config.wrong(format!("normalize_activations {value} is not known"))),
        },
    };
    if config.text("reshape_activations") == Some("hook_z") {
        notes.push("trained on per-head outputs, heads × width flattened into one row".to_owned());
    }

    let w_enc = file.matrix::<F>("W_enc")?.reversed_axes();
    let mut w_dec = file.matrix::<F>("W_dec")?;
    config.expect("d_in", w_enc.ncols())?;
    config.expect("d_sae", w_enc.nrows())?;
    if transcoder {
        config.expect("d_out", w_dec.ncols())?;
    }
    for key in ["scaling_factor", "finetuning_scaling_factor"] {
        if file.has(key) {
            let factors = file.vector::<F>(key)?;
            if factors.len() != w_dec.nrows() {
                return Err(SaeError::shape("scaling_factor", &[w_dec.nrows()], factors.shape()));
            }
            w_dec.rows_mut().into_iter().zip(&factors).for_each(|(mut row, &s)| row.mapv_inplace(|w| w * s));
            notes.push(format!("the {key} of the file multiplies the decoder rows"));
        }
    }
    let subtracted = !transcoder && config.flag("apply_b_dec_to_input", true)?;
    let mut dictionary = Parts {
        w_enc,
        w_dec,
        b_dec: file.vector("b_dec")?,
        w_skip: if file.has("W_skip") { Some(file.matrix("W_skip")?) } else { None },
        activation,
        input_bias: if subtracted { InputBias::Subtracted } else { InputBias::NotSubtracted },
        row_normalisation,
        target: if transcoder { Target::Other } else { Target::Input },
    }
    .dictionary()?;
    if rescale && dictionary.variant.member().compares {
        notes.push(
            "the selection multiplies by the decoder norms: folded, the decoder rows have length one"
                .to_owned(),
        );
        dictionary = dictionary.fold_selection_norms();
    }
    let mut checkpoint = Checkpoint::of(dictionary, Format::SaeLens).about(config.about(&ABOUT));
    checkpoint.notes = notes;
    checkpoint.threshold_of_batches = threshold_of_batches;
    Ok(checkpoint)
}

fn whole(config: &Config) -> Result<usize, SaeError> {
    let k = config.number("k")?;
    if k.fract() == 0.0 && (1.0..1e9).contains(&k) {
        Ok(k as usize)
    } else {
        Err(config.wrong(format!("'k' must be a whole number from 1, but is {k}")))
    }
}

/// Writes a dictionary as a folder that SAELens loads, each file all or nothing.
///
/// `about` goes into the metadata (`model_name`, `hook_name`, …). A transcoder's encoder sees x itself there, so a
/// subtracted bias is folded first.
///
/// # Errors
/// [`SaeError::Unsupported`] for what SAELens has no inference class for: groups, TopK or gated transcoders, a skip connection
/// of an autoencoder, selection over a batch (use [`Checkpoint::for_single_rows`] first). [`SaeError::Io`] and
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
