//! dictionary_learning: `ae.pt` with `config.json`. The members are recognised by their keys, since the configurations of some
//! trainers name the wrong class.

use super::checkpoint::Checkpoint;
use super::detect::{Format, beside, file_of};
use super::json::Config;
use super::parts::{Activation, Parts};
use super::tensors::Tensors;
use crate::dictionary::{RowNormalisation, Target};
use crate::{InputBias, SaeError};
use collimate_tensor::Scalar;
use ndarray::Array1;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn read<F: Scalar>(path: &Path) -> Result<Checkpoint<F>, SaeError> {
    let file = Tensors::torch(file_of(path, "ae.pt"))?;
    let config_path = beside(path, "config.json");
    let mut about = BTreeMap::new();
    let mut class = String::new();
    if config_path.is_file() {
        let config = Config::open(&config_path)?;
        if let Some(Value::Object(trainer)) = config.get("trainer") {
            for key in ["lm_name", "layer", "submodule_name", "dict_class", "trainer_class"] {
                match trainer.get(key) {
                    Some(Value::String(text)) => drop(about.insert(key.to_owned(), text.clone())),
                    Some(value @ Value::Number(_)) => drop(about.insert(key.to_owned(), value.to_string())),
                    _ => {}
                }
            }
            class = trainer.get("dict_class").and_then(Value::as_str).unwrap_or_default().to_owned();
        }
    }
    let mut notes = Vec::new();
    let transposed = file.has("W_enc");
    let (w_enc, w_dec) = if transposed {
        (file.matrix::<F>("W_enc")?.reversed_axes(), file.matrix("W_dec")?)
    } else {
        (file.matrix("encoder.weight")?, file.matrix::<F>("decoder.weight")?.reversed_axes())
    };
    let has = |name: &str| file.has(name) || file.scalar(name).is_some();
    let (activation, b_dec, input_bias) = if has("gate_bias") {
        let activation =
            Activation::gated(file.vector("gate_bias")?, file.vector("mag_bias")?, file.vector("r_mag")?);
        (activation, "decoder_bias", InputBias::Subtracted)
    } else if has("k") {
        let bias = if transposed { "b_enc" } else { "encoder.bias" };
        let b_enc: Array1<F> = file.vector(bias)?;
        let by_threshold = transposed || class.contains("Batch") || class.contains("Matryoshka");
        let threshold = if has("threshold") { file.number("threshold")? } else { -1.0 };
        let activation = if !by_threshold {
            if class.is_empty() {
                notes.push(
                    "no config.json says the class: taken to be TopK, whose stored threshold is not used"
                        .into(),
                );
            } else if has("threshold") {
                notes.push(format!(
                    "the stored threshold {threshold} is not used: TopK selects k latents in each row"
                ));
            }
            let k = file.number("k")?;
            if k.fract() != 0.0 || !(1.0..1e9).contains(&k) {
                return Err(file.wrong(format!("'k' must be a whole number from 1, but is {k}")));
            }
            Activation::top_k(b_enc, k as usize)
        } else if threshold < 0.0 {
            notes.push("the threshold was never set (−1): every positive pre-activation counts".into());
            Activation::relu(b_enc)
        } else {
            notes.push(format!("encoded by the stored threshold {threshold}; k is of training only"));
            let threshold = Array1::from_elem(b_enc.len(), F::from_f64(threshold));
            Activation::jump_relu(b_enc, threshold)
        };
        (activation, "b_dec", InputBias::Subtracted)
    } else if has("threshold") {
        let activation = Activation::jump_relu(file.vector("b_enc")?, file.vector("threshold")?);
        (activation, "b_dec", InputBias::NotSubtracted)
    } else if has("decoder.bias") {
        (Activation::relu(file.vector("encoder.bias")?), "decoder.bias", InputBias::NotSubtracted)
    } else {
        notes.push(
            "the decoder norms are kept as stored; the library's loader folds them unless told otherwise (fold_decoder_norms \
             does the same)"
                .into(),
        );
        (Activation::relu(file.vector("encoder.bias")?), "bias", InputBias::Subtracted)
    };
    let dictionary = Parts {
        w_enc,
        w_dec,
        b_dec: file.vector(b_dec)?,
        w_skip: None,
        activation,
        input_bias,
        row_normalisation: RowNormalisation::None,
        target: Target::Input,
    }
    .dictionary()?;
    let mut checkpoint = Checkpoint::of(dictionary, Format::DictionaryLearning).about(about);
    checkpoint.notes = notes;
    Ok(checkpoint)
}
