//! Crosscoders of the fork of dictionary_learning, in torch or safetensors files.

use super::super::any_checkpoint::AnyCheckpoint;
use super::super::format::Format;
use super::super::json::Config;
use super::super::refusal::wrong;
use super::super::tensors::Tensors;
use super::cross_layer::only;
use super::layout::weights_of;
use crate::SaeError;
use crate::arranged::crosscoder::{CodeScale, CodeThreshold, LayerNormalisation, LayeredCrosscoder};
use crate::weights::Weights;
use collimate_tensor::Scalar;
use ndarray::{Array1, Array2, Array3};
use std::path::Path;

/// The names of the tensors, and of the numbers beside them.
const NAMES: [&str; 11] = [
    "encoder.weight",
    "encoder.bias",
    "decoder.weight",
    "decoder.bias",
    "code_normalization_id",
    "k",
    "threshold",
    "activation_mean",
    "activation_std",
    "activation_global_scale",
    "target_rms",
];

/// Reads a crosscoder.
pub(in super::super) fn read<F: Scalar>(path: &Path) -> Result<AnyCheckpoint<F>, SaeError> {
    let path = match path.is_dir() {
        true => weights_of(path)?
            .ok_or_else(|| wrong(path, "there is not exactly one .pt file here; name the file"))?,
        false => path.to_owned(),
    };
    let file = Tensors::open(path.clone())?;
    let mut notes = file.objects()?;
    notes.extend(file.notes.iter().cloned());
    only(&file, &NAMES)?;
    let Some(&[layers, d, n]) = file.shape(NAMES[0]) else {
        return Err(file.wrong("'encoder.weight' must have the shape [layers, width, latents]"));
    };
    for (tensor, expected) in [(NAMES[2], vec![layers, n, d]), (NAMES[3], vec![layers, d])] {
        let given = file.shape(tensor);
        if given != Some(&expected[..]) {
            return Err(file.wrong(format!(
                "'{tensor}' must have the shape {expected:?} to fit the encoder {:?}, but has {given:?}",
                [layers, d, n]
            )));
        }
    }
    let scale = scale(&file, &path, &mut notes)?;
    let threshold = match (file.has("threshold"), file.has("k")) {
        (true, _) => {
            let thresholds: Vec<f64> = match file.scalar("threshold") {
                Some(_) => vec![file.number("threshold")?],
                None => file.vector::<f64>("threshold")?.to_vec(),
            };
            if thresholds.iter().any(|&theta| theta < 0.0) {
                notes.push(format!(
                    "the threshold {thresholds:?} was never set where it is negative: every positive code counts there"
                ));
            }
            notes.push("encoded by the stored threshold on scaled codes; k is of training only".into());
            Some(CodeThreshold { scale, thresholds })
        }
        (false, true) => {
            return Err(file.wrong(
                "it has a 'k' but no 'threshold', so rows cannot be encoded one by one; save it with a newer version of its library",
            ));
        }
        (false, false) => None,
    };
    let normalisation = normalisation(&file, [layers, d], &mut notes)?;
    let [encoder, decoder]: [Array3<F>; 2] = [file.cube(NAMES[0])?, file.cube(NAMES[2])?];
    let rows = |cube: Array3<F>, axes: [usize; 3]| -> Array2<F> {
        let latents_first = cube.permuted_axes(axes).as_standard_layout().into_owned();
        latents_first.into_shape_with_order((n, layers * d)).expect("standard layout")
    };
    let bias: Array2<F> = file.matrix(NAMES[3])?;
    let weights = Weights {
        w_enc: rows(encoder, [2, 0, 1]),
        w_dec: rows(decoder, [1, 0, 2]),
        b_dec: bias.into_iter().collect(),
        per_latent: vec![file.vector(NAMES[1])?],
    };
    let crosscoder = LayeredCrosscoder::new(layers, weights, threshold, normalisation)?;
    Ok(AnyCheckpoint { notes, ..AnyCheckpoint::of(crosscoder.into(), Format::Crosscoder) })
}

/// Returns the scale of the codes before the threshold.
fn scale(file: &Tensors, path: &Path, notes: &mut Vec<String>) -> Result<CodeScale, SaeError> {
    if !file.has(NAMES[4]) {
        notes.push(
            "there is no code_normalization_id, as in older files: the scale of a code is the sum of its decoder norms over the layers"
                .into(),
        );
        return Ok(CodeScale::SumOfLayers);
    }
    let id = file.number(NAMES[4])?;
    Ok(match if id.fract() == 0.0 { id as i64 } else { 0 } {
        1 => CodeScale::SumOfLayers,
        2 => CodeScale::Concatenated,
        3 => {
            // The weights of the mixture are not in the tensors.
            let (mut concatenated, mut sum_of_layers) = (1.0, 0.1);
            let config = path.with_file_name("config.json");
            if config.is_file() {
                let config = Config::open(&config)?;
                for (key, weight) in [
                    ("code_normalization_alpha_sae", &mut concatenated),
                    ("code_normalization_alpha_cc", &mut sum_of_layers),
                ] {
                    if config.get(key).is_some() {
                        *weight = config.number(key)?;
                    }
                }
            }
            notes.push(format!(
                "the scale of a code is {concatenated} the length of its decoder row + {sum_of_layers} the sum over the layers (1 and 0.1 \
                 unless a config.json says otherwise)"
            ));
            CodeScale::Mixed { concatenated, sum_of_layers }
        }
        4 => CodeScale::One,
        5 => CodeScale::EachLayer,
        _ => {
            return Err(file.wrong(format!(
                "'code_normalization_id' is {id}, but 1 (sum over the layers), 2 (whole row), 3 (mixed), 4 (none) and 5 (decoupled) are \
                 known"
            )));
        }
    })
}

/// Returns the normalisation of the inputs; `None` if its means are NaN, which stands for no normalisation.
fn normalisation<F: Scalar>(
    file: &Tensors,
    [layers, d]: [usize; 2],
    notes: &mut Vec<String>,
) -> Result<Option<LayerNormalisation<F>>, SaeError> {
    let [mean, deviation, scale] = [NAMES[7], NAMES[8], NAMES[9]];
    // NaN stands for no normalisation.
    if !file.is_set(mean)? && !file.is_set(deviation)? {
        return Ok(None);
    }
    if !file.has(scale) {
        return Err(file.wrong(
            "it has 'activation_mean' and 'activation_std' but no 'activation_global_scale', so the scale of its inputs is not known",
        ));
    }
    let means: Array2<F> = file.matrix(mean)?;
    let scale: Array1<F> = file.vector(scale)?;
    if means.dim() != (layers, d) || scale.len() != layers {
        return Err(file.wrong(format!(
            "'activation_mean' and 'activation_global_scale' must have the shapes {:?} and {:?}, but have {:?} and {:?}",
            [layers, d],
            [layers],
            means.shape(),
            scale.shape()
        )));
    }
    notes.push("the inputs are normalised by the stored means and scales; the stored deviations are not used besides".into());
    Ok(Some(LayerNormalisation { mean: means, scale }))
}
