//! dictionary_learning: `ae.pt` with `config.json`. The members are recognised by their keys, since the configurations of some
//! trainers name the wrong class. Files of other people with the same tensors (DeepSeek R1 of qresearch, T-SAE) are read too.

use super::checkpoint::Checkpoint;
use super::format::Format;
use super::given::Given;
use super::json::Config;
use super::parts::{Activation, Parts};
use super::place::Place;
use super::tensors::Tensors;
use crate::{InputBias, Precision, SaeError};
use collimate_tensor::Scalar;
use ndarray::Array1;

const ABOUT: &[&str] = &["lm_name", "layer", "submodule_name", "dict_class", "trainer_class"];
const CONFIG: &str = "config.json";

pub(super) fn recognises(place: &Place) -> bool {
    let file = &place.tensors;
    let flat = |name: &str| file.shape(name).is_some_and(|shape| shape.len() == 2);
    let lower = flat("encoder.weight") && flat("decoder.weight");
    let upper = flat("W_enc") && flat("W_dec") && (file.has("k") || file.has("threshold"));
    let trained =
        || place.config(CONFIG).ok().flatten().is_some_and(|config| config.get("trainer").is_some());
    (lower || upper) && (file.is_torch() || trained())
}

pub(super) fn read<F: Precision>(place: &Place, given: &Given) -> Result<Checkpoint<F>, SaeError> {
    let file = &place.tensors;
    given.only(&file.path, Format::DictionaryLearning.name(), false, false)?;
    let trainer = match place.config(CONFIG)? {
        Some(config) => config.section("trainer")?,
        None => None,
    };
    let mut notes = Vec::new();
    let upper = file.has("W_enc");
    let matrices = if upper {
        [file.matrix::<F>("W_enc")?.reversed_axes(), file.matrix("W_dec")?]
    } else {
        [file.matrix("encoder.weight")?, file.matrix::<F>("decoder.weight")?.reversed_axes()]
    };
    if let Some(trainer) = &trainer {
        trainer.expect("activation_dim", matrices[0].ncols())?;
        trainer.expect("dict_size", matrices[0].nrows())?;
    }
    let (activation, b_dec, input_bias) = if file.has("gate_bias") {
        let activation =
            Activation::gated(file.vector("gate_bias")?, file.vector("mag_bias")?, file.vector("r_mag")?);
        (activation, "decoder_bias", InputBias::Subtracted)
    } else if file.has("k") {
        let b_enc = file.vector(if upper { "b_enc" } else { "encoder.bias" })?;
        // The sizes of the nested groups bear on training only.
        file.set_aside(&["group_sizes"]);
        (of_largest(file, trainer.as_ref(), upper, b_enc, &mut notes)?, "b_dec", InputBias::Subtracted)
    } else if file.has("threshold") {
        let activation = Activation::jump_relu(file.vector("b_enc")?, file.vector("threshold")?);
        (activation, "b_dec", InputBias::NotSubtracted)
    } else if file.has("decoder.bias") {
        notes.push(
            "ReLU codes of x itself, as its tensors have it (decoder.bias, and neither k nor b_dec)"
                .to_owned(),
        );
        (Activation::relu(file.vector("encoder.bias")?), "decoder.bias", InputBias::NotSubtracted)
    } else {
        notes.push(
            "the decoder norms are kept as stored; the library's loader folds them unless told otherwise (fold_decoder_norms \
             does the same)"
                .to_owned(),
        );
        (Activation::relu(file.vector("encoder.bias")?), "bias", InputBias::Subtracted)
    };
    let mut checkpoint = Parts::autoencoder(matrices, file.vector(b_dec)?, activation, input_bias)
        .checkpoint(Format::DictionaryLearning)?;
    file.all_used("dictionary_learning")?;
    checkpoint.about = trainer.map(|trainer| trainer.about(ABOUT)).unwrap_or_default();
    checkpoint.notes.splice(0..0, notes);
    Ok(checkpoint)
}

/// Returns the activation of a member that keeps the largest: of each row, or of a batch with or without a threshold.
fn of_largest<F: Scalar>(
    file: &Tensors,
    trainer: Option<&Config>,
    upper: bool,
    b_enc: Array1<F>,
    notes: &mut Vec<String>,
) -> Result<Activation<F>, SaeError> {
    let class = match trainer {
        Some(trainer) => trainer.text("dict_class")?.unwrap_or_default(),
        None => "",
    };
    let k = file.count("k")?;
    if let Some(trained) = trainer.and_then(|trainer| trainer.get("k"))
        && trained.as_f64() != Some(k as f64)
    {
        notes.push(format!("k is {k} in the tensors, which counts, and {trained} in {CONFIG}"));
    }
    let threshold = if file.has("threshold") { Some(file.number("threshold")?) } else { None };
    let of_batch = upper || class.contains("Batch") || class.contains("Matryoshka");
    if !of_batch {
        match (class, threshold) {
            ("", _) => notes.push(format!(
                "no {CONFIG} says the class: taken to be TopK, whose stored threshold is not used"
            )),
            ("AutoEncoderTopK", None) => {}
            ("AutoEncoderTopK", Some(threshold)) => notes.push(format!(
                "the stored threshold {threshold} is not used: TopK selects k latents in each row"
            )),
            (other, _) => {
                return Err(file.wrong(format!(
                    "its tensors hold k, but the class '{other}' of {CONFIG} is not one that keeps the k largest \
                     (AutoEncoderTopK, BatchTopKSAE and MatryoshkaBatchTopKSAE are)"
                )));
            }
        }
        return Ok(Activation::top_k(b_enc, k));
    }
    Ok(match threshold {
        None => {
            notes.push(format!(
                "there is no threshold: the {k}·B largest codes of all B rows that are encoded together are kept, so the codes \
                 of a row depend on the others"
            ));
            Activation::batch_top_k(b_enc, k as f64)
        }
        Some(threshold) if threshold < 0.0 => {
            notes.push("the threshold was never set (−1): every positive pre-activation counts".to_owned());
            Activation::relu(b_enc)
        }
        Some(threshold) if !threshold.is_finite() => {
            return Err(file.wrong(format!("the threshold is {threshold}; it must be finite")));
        }
        Some(threshold) => {
            notes.push(format!("encoded by the stored threshold {threshold}; k is of training only"));
            let thresholds = Array1::from_elem(b_enc.len(), F::from_f64(threshold));
            Activation::jump_relu(b_enc, thresholds)
        }
    })
}
