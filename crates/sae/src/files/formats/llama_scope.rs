//! Llama Scope in its three releases, which share the keys of their configurations.
//!
//! ```text
//! s_in = √d/norm_in     s_out = √d/norm_out      b_enc ÷ s_in     b_dec ÷ s_out     W_dec × s_in/s_out
//! z = x W_enc + b_enc on raw rows                 r_i = ‖d_i‖ if the configuration includes decoder norms, else 1
//! 2024:   f = r z · 1[r z > θ], decoder rows of length one         later:   f = z · 1[r z > θ]
//! ```
//! | release | tensors | configuration | θ |
//! |---|---|---|---|
//! | 2024 | `encoder.weight` `[n, d]`, `decoder.weight` `[d, n]` | `hyperparams.json` | `jump_relu_threshold` |
//! | R1 distill | the same | `config.json` | exp of `log_jumprelu_threshold` |
//! | 2 | `W_E` `[d, n]`, `W_D` `[n, d]` | `config.json` | exp of `….log_jumprelu_threshold` |
//!
//! The files hold bfloat16. Everything is folded in f64, and rounded once.

use super::checkpoint::Checkpoint;
use super::format::Format;
use super::given::Given;
use super::json::Config;
use super::llama_scope_norms::{Scales, scales};
use super::parts::{Activation, Parts};
use super::place::Place;
use super::tensors::Tensors;
use crate::dictionary::{RowNormalisation, Target};
use crate::members::topk::TopK;
use crate::{InputBias, Precision, Ranking, SaeError};
use ndarray::{Array1, Array2};
use std::path::PathBuf;

const OLD_CONFIG: &str = "hyperparams.json";
const CONFIG: &str = "config.json";
const LOG_THRESHOLD: &str = "log_jumprelu_threshold";
const ABOUT: &[&str] = &["hook_point_in", "hook_point_out", "sae_type", "model_name"];
/// The keys of training and of storage.
const TRAINING: &[&str] = &[
    "dtype",
    "device",
    "strict_loading",
    "use_ghost_grads",
    "tp_size",
    "top_k",
    "jump_relu_threshold",
    "jumprelu_threshold_window",
    "use_triton_kernel",
    "sparsity_threshold_for_triton_spmm_kernel",
    "sae_pretrained_name_or_path",
    "init_decoder_norm",
    "init_encoder_norm",
    "init_encoder_with_decoder_transpose",
    "decoder_exactly_fixed_norm",
    "l1_coefficient",
    "lp",
    "d_model",
];

pub(super) fn recognises(place: &Place) -> bool {
    let file = &place.tensors;
    let flat = |name: &str| file.shape(name).is_some_and(|shape| shape.len() == 2);
    let lower = flat("encoder.weight") && flat("decoder.weight");
    flat("W_E") && flat("W_D")
        || lower && !file.is_torch() && (threshold_name(file).is_some() || !trained_elsewhere(place))
        || lower && old_config(place).is_some()
}

/// Returns true for the configuration of dictionary_learning.
fn trained_elsewhere(place: &Place) -> bool {
    place.config(CONFIG).ok().flatten().is_some_and(|config| config.get("trainer").is_some())
}

/// Returns the configuration of 2024, which lies beside the weights or beside their folder.
fn old_config(place: &Place) -> Option<PathBuf> {
    let own = place.beside(OLD_CONFIG);
    let above =
        place.tensors.path.parent().and_then(|folder| folder.parent()).map(|folder| folder.join(OLD_CONFIG));
    [Some(own), above].into_iter().flatten().find(|path| path.is_file())
}

fn threshold_name(file: &Tensors) -> Option<String> {
    file.names().find(|name| name.rsplit('.').next() == Some(LOG_THRESHOLD)).map(str::to_owned)
}

pub(super) fn read<F: Precision>(place: &Place, given: &Given) -> Result<Checkpoint<F>, SaeError> {
    let file = &place.tensors;
    given.only(&file.path, Format::LlamaScope.name(), false, false)?;
    let second = file.has("W_E");
    let (config, first) = match (old_config(place), place.config(CONFIG)?) {
        (Some(path), _) => (Config::open(&path)?, true),
        (None, Some(config)) => (config, false),
        (None, None) => {
            return Err(file.wrong(format!(
                "a dictionary of Llama Scope needs {OLD_CONFIG} or {CONFIG}, which says the activation and the norms; put it \
                 beside the file or its folder"
            )));
        }
    };
    if let Some(kind) = config.text("sae_type")?.filter(|kind| *kind != "sae") {
        return Err(config.wrong(format!("the sae_type '{kind}' is not read (sae is)")));
    }
    if config.flag("use_glu_encoder", false)? {
        return Err(
            config.wrong("use_glu_encoder is true: that encoder multiplies two products and is not read")
        );
    }
    let mut notes = Vec::new();
    let (mut w_enc, mut w_dec) = if second {
        (file.matrix::<f64>("W_E")?.reversed_axes(), file.matrix::<f64>("W_D")?)
    } else {
        (file.matrix::<f64>("encoder.weight")?, file.matrix::<f64>("decoder.weight")?.reversed_axes())
    };
    let (n, d) = w_enc.dim();
    sizes(&config, n, d)?;
    let mut b_enc = file.vector::<f64>(if second { "b_E" } else { "encoder.bias" })?;
    let bias = if second { "b_D" } else { "decoder.bias" };
    let mut b_dec = if config.flag("use_decoder_bias", true)? {
        file.vector::<f64>(bias)?
    } else {
        Array1::zeros(w_dec.ncols())
    };
    let (from, to) = (config.text("hook_point_in")?, config.text("hook_point_out")?);
    let target = if from == to { Target::Input } else { Target::Other };
    let scales = scales(file, &config, d, [from, to])?;
    if let Some(note) = &scales.note {
        notes.push(note.clone());
    }
    b_enc /= scales.input;
    b_dec /= scales.output;
    w_dec *= scales.input / scales.output;
    let norms = decoder_norms(&config, first, second, &w_dec, &mut notes)?;
    if first {
        fold(&norms, &mut w_enc, &mut w_dec, &mut b_enc);
    }
    // The later releases compare r z, and return z.
    let compared = if first { Array1::ones(n) } else { norms };
    let activation = activation(file, &config, b_enc, &compared, &mut notes)?;
    let checkpoint = Parts {
        w_enc,
        w_dec,
        b_dec,
        w_skip: None,
        activation,
        input_bias: input_bias(&config, &scales)?,
        row_normalisation: RowNormalisation::None,
        target,
    }
    .checkpoint(Format::LlamaScope)?;
    file.all_used("Llama Scope")?;
    let about = config.about(ABOUT);
    notes.extend(config.unused(TRAINING));
    notes.extend(checkpoint.notes);
    Ok(Checkpoint { notes, about, ..Checkpoint::of(checkpoint.dictionary.cast(), Format::LlamaScope) })
}

fn sizes(config: &Config, n: usize, d: usize) -> Result<(), SaeError> {
    config.expect("d_model", d)?;
    config.expect("d_sae", n)?;
    if config.get("expansion_factor").is_some() {
        let factor = config.number("expansion_factor")?;
        if (d as f64 * factor - n as f64).abs() > 0.5 {
            return Err(config
                .wrong(format!("{d} × expansion_factor {factor} is not the {n} latents of the tensors")));
        }
    }
    Ok(())
}

fn input_bias(config: &Config, scales: &Scales) -> Result<InputBias, SaeError> {
    if !config.flag("apply_decoder_bias_to_pre_encoder", false)? {
        return Ok(InputBias::NotSubtracted);
    }
    if scales.input != scales.output {
        return Err(config.wrong(
            "apply_decoder_bias_to_pre_encoder is true, but the norms of input and output differ, so the bias has two scales",
        ));
    }
    Ok(InputBias::Subtracted)
}

/// Returns the norms by which pre-activations are multiplied before they are compared; ones if there are none.
fn decoder_norms(
    config: &Config,
    first: bool,
    second: bool,
    w_dec: &Array2<f64>,
    notes: &mut Vec<String>,
) -> Result<Array1<f64>, SaeError> {
    const KEY: &str = "sparsity_include_decoder_norm";
    let included = match config.truth(KEY)? {
        Some(included) => included,
        None if first || second => {
            return Err(config.wrong(format!("it does not say '{KEY}', true or false")));
        }
        None => false,
    };
    if !included {
        return Ok(Array1::ones(w_dec.nrows()));
    }
    notes.push(if first {
        "the decoder rows are folded to length one, and the codes count in their units, as the owner's code does".to_owned()
    } else {
        "a pre-activation times the norm of its decoder row is compared, and the pre-activation itself is the code".to_owned()
    });
    Ok(w_dec.rows().into_iter().map(|row| row.dot(&row).sqrt()).collect())
}

/// Gives the decoder rows length one, and the codes the units of the former rows. The latent of a row of zeros is never active.
fn fold(norms: &Array1<f64>, w_enc: &mut Array2<f64>, w_dec: &mut Array2<f64>, b_enc: &mut Array1<f64>) {
    for (i, &norm) in norms.iter().enumerate() {
        if norm > 0.0 {
            w_dec.row_mut(i).mapv_inplace(|w| w / norm);
        }
        w_enc.row_mut(i).mapv_inplace(|w| w * norm);
        b_enc[i] *= norm;
    }
}

fn activation(
    file: &Tensors,
    config: &Config,
    b_enc: Array1<f64>,
    norms: &Array1<f64>,
    notes: &mut Vec<String>,
) -> Result<Activation<f64>, SaeError> {
    let n = b_enc.len();
    let stored = match threshold_name(file) {
        Some(name) => Some(file.vector::<f64>(&name)?.mapv(f64::exp)),
        None => None,
    };
    let constant = || -> Result<f64, SaeError> {
        let threshold = config.number("jump_relu_threshold")?;
        if threshold >= 0.0 && threshold.is_finite() {
            Ok(threshold)
        } else {
            Err(config
                .wrong(format!("jump_relu_threshold must be finite and at least 0, but is {threshold}")))
        }
    };
    let at = |threshold: Array1<f64>| -> Result<Array1<f64>, SaeError> {
        if threshold.len() != norms.len() {
            return Err(SaeError::shape(LOG_THRESHOLD, &[norms.len()], threshold.shape()));
        }
        // A row of zeros has no latent that can exceed a threshold.
        let divided =
            threshold.iter().zip(norms).map(|(&t, &r)| if r > 0.0 { t / r } else { f64::from(f32::MAX) });
        Ok(divided.collect())
    };
    let name = config.text("act_fn")?.unwrap_or_default().to_lowercase();
    Ok(match (name.as_str(), stored) {
        ("jumprelu", Some(threshold)) => Activation::jump_relu(b_enc, at(threshold)?),
        ("jumprelu", None) => Activation::jump_relu(b_enc, at(Array1::from_elem(n, constant()?))?),
        ("relu", None) => Activation::relu(b_enc),
        ("topk", None) => {
            let threshold = if config.get("jump_relu_threshold").is_some() { constant()? } else { 0.0 };
            if threshold > 0.0 {
                notes.push(format!(
                    "act_fn is topk with a threshold of {threshold}: JumpReLU with this threshold, as the owner's code does"
                ));
                Activation::jump_relu(b_enc, at(Array1::from_elem(n, threshold))?)
            } else if norms.iter().all(|&norm| norm == 1.0) {
                Activation::top_k(b_enc, config.count("top_k")?)
            } else {
                let ranking = Ranking::TimesDecoderNorm;
                Activation::of(TopK { ranking, ..TopK::new(config.count("top_k")?) }, b_enc)
            }
        }
        (name, Some(_)) => {
            return Err(
                config.wrong(format!("act_fn is '{name}', but the file has thresholds ({LOG_THRESHOLD})"))
            );
        }
        (name, None) => {
            return Err(config.wrong(format!("act_fn '{name}' is not read (relu, jumprelu and topk are)")));
        }
    })
}
