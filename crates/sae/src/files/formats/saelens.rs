//! SAELens: `cfg.json` and `sae_weights.safetensors`, of version 6 and, by their older keys, of those before.

use super::activation_scaler;
use super::checkpoint::Checkpoint;
use super::format::Format;
use super::given::Given;
use super::json::Config;
use super::parts::{Activation, Parts};
use super::place::Place;
use super::saelens_keys::{ABOUT, TRAINING};
use super::tensors::Tensors;
use crate::dictionary::{RowNormalisation, Target};
use crate::{InputBias, MatchingPursuit, Precision, SaeError};
use collimate_tensor::Scalar;
use ndarray::Array1;
use serde_json::Value;

/// The architectures that are read.
const ARCHITECTURES: &str = "standard, gated, jumprelu, topk, abstopk, batchtopk, matryoshka_batchtopk, matching_pursuit, \
                             transcoder, skip_transcoder, jumprelu_transcoder, jumprelu_skip_transcoder";

pub(super) fn recognises(place: &Place) -> bool {
    let file = &place.tensors;
    if !file.has("W_dec") || file.has("encoder.weight") || file.is_npz() {
        return false;
    }
    // Without its configuration such a file is recognised too, so that the reader can ask for it. In a file of torch.save
    // these names may be of another library, which keeps a threshold, k, or W_enc as [n, d].
    let transposed = || match (file.shape("W_enc"), file.shape("b_enc")) {
        (Some(matrix), Some(bias)) => matrix.first() == bias.last(),
        _ => false,
    };
    let configured = place.lies_beside("cfg.json") || !file.config().is_ok_and(|config| config.is_none());
    configured || !file.is_torch() || !file.has("k") && !file.has("threshold") && !transposed()
}

pub(super) fn read<F: Precision>(place: &Place, given: &Given) -> Result<Checkpoint<F>, SaeError> {
    let file = &place.tensors;
    given.only(&file.path, Format::SaeLens.name(), false, false)?;
    let config = match file.config()? {
        Some(config) => config,
        None => place.config("cfg.json")?.ok_or_else(|| {
            file.wrong(
                "a dictionary of SAELens needs its cfg.json, which says the architecture and the activation; put it into the \
                 same folder",
            )
        })?,
    };
    if config.get("d_in").is_none() {
        return Err(
            config.wrong("it does not say 'd_in', so it is no configuration of SAELens; fetch it again")
        );
    }
    let mut notes = Vec::new();
    let kind = Kind::of(&config, &mut notes)?;
    let mut threshold_of_batches = None;
    if kind.name.contains("batchtopk") {
        if file.has("topk_threshold") {
            threshold_of_batches = Some(file.number("topk_threshold")?);
        }
        notes.push(
            "a training checkpoint: codes are selected over all rows that are encoded together; for_single_rows gives the \
             form for single rows"
                .to_owned(),
        );
    }
    let activation = activation::<F>(&kind, file, &config, &mut notes)?;
    let scaler = place.lies_beside("activation_scaler.json");
    let row_normalisation = normalisation(&config, scaler, &mut notes)?;
    match config.text("reshape_activations")? {
        None | Some("none") => {}
        Some("hook_z") => {
            notes.push("trained on per-head outputs, heads × width flattened into one row".to_owned());
        }
        Some(other) => {
            return Err(
                config.wrong(format!("reshape_activations '{other}' is not read (none and hook_z are)"))
            );
        }
    }
    let mut w_dec = file.matrix::<F>("W_dec")?;
    let w_enc = match kind.name {
        "matching_pursuit" => w_dec.clone(),
        _ => file.matrix::<F>("W_enc")?.reversed_axes(),
    };
    config.expect("d_in", w_enc.ncols())?;
    config.expect("d_sae", w_enc.nrows())?;
    config.expect("d_out", w_dec.ncols())?;
    scale_rows(file, &config, &mut w_dec, &mut notes)?;
    let mut b_dec = file.vector::<F>("b_dec")?;
    let input_bias = input_bias(&config, &kind, &mut notes)?;
    if kind.name == "matching_pursuit" && input_bias == InputBias::NotSubtracted {
        b_dec.fill(F::zero());
        notes.push("b_dec is used nowhere, as the library does without apply_b_dec_to_input".to_owned());
    }
    let rescale = config.flag("rescale_acts_by_decoder_norm", false)?;
    let mut checkpoint = Parts {
        w_enc,
        w_dec,
        b_dec,
        w_skip: if kind.skip { Some(file.matrix("W_skip")?) } else { None },
        activation,
        input_bias: if kind.name == "matching_pursuit" { InputBias::Subtracted } else { input_bias },
        row_normalisation,
        target: if kind.transcoder { Target::Other } else { Target::Input },
    }
    .checkpoint(Format::SaeLens)?;
    file.all_used(kind.name)?;
    if rescale && checkpoint.dictionary.variant.member().compares && kind.name != "matching_pursuit" {
        notes.push(
            "the selection multiplies by the decoder norms: folded, the decoder rows have length one"
                .to_owned(),
        );
        checkpoint.dictionary = checkpoint.dictionary.fold_selection_norms();
    } else if rescale {
        notes.push(format!(
            "rescale_acts_by_decoder_norm changes nothing for the architecture '{}'",
            kind.name
        ));
    }
    if scaler {
        let note = activation_scaler::apply(place, &mut checkpoint)?;
        notes.push(note);
    }
    checkpoint.about = config.about(ABOUT);
    notes.extend(config.unused(TRAINING));
    checkpoint.notes.splice(0..0, notes);
    checkpoint.threshold_of_batches = threshold_of_batches;
    Ok(checkpoint)
}

/// The architecture that a configuration names.
struct Kind {
    /// The name without the word transcoder.
    name: &'static str,
    transcoder: bool,
    skip: bool,
    /// The k of older configurations.
    k: Option<usize>,
}

impl Kind {
    fn of(config: &Config, notes: &mut Vec<String>) -> Result<Self, SaeError> {
        let named = config.text("architecture")?;
        if named.is_none() {
            notes.push(
                "the configuration names no architecture: taken to be 'standard', as the library does"
                    .to_owned(),
            );
        }
        let (name, transcoder, skip) = match named.unwrap_or("standard") {
            "transcoder" => ("standard", true, false),
            "skip_transcoder" => ("standard", true, true),
            "jumprelu_transcoder" => ("jumprelu", true, false),
            "jumprelu_skip_transcoder" => ("jumprelu", true, true),
            "standard" => ("standard", false, false),
            "gated" => ("gated", false, false),
            "jumprelu" => ("jumprelu", false, false),
            "topk" => ("topk", false, false),
            "abstopk" => ("abstopk", false, false),
            "batchtopk" => ("batchtopk", false, false),
            "matryoshka_batchtopk" => ("matryoshka_batchtopk", false, false),
            "matching_pursuit" => ("matching_pursuit", false, false),
            other => {
                return Err(
                    config.wrong(format!("the architecture '{other}' is not read ({ARCHITECTURES} are)"))
                );
            }
        };
        let arguments = config.section("activation_fn_kwargs")?;
        let mut kind = Self { name, transcoder, skip, k: None };
        for key in ["activation_fn_str", "activation_fn"] {
            match config.text(key)? {
                None => {}
                // TopK and AbsTopK are followed by nothing else: ReLU changes no positive code.
                Some("relu") if name != "abstopk" => {}
                Some("topk") if matches!(name, "standard" | "topk") => {
                    let inner = arguments.as_ref().filter(|arguments| arguments.get("k").is_some());
                    kind.k = match inner {
                        Some(arguments) => Some(arguments.count("k")?),
                        None if config.get("k").is_some() => Some(config.count("k")?),
                        None => {
                            return Err(config.wrong(format!(
                                "'{key}' is 'topk', but neither activation_fn_kwargs nor the configuration says 'k', the \
                                 number of active latents"
                            )));
                        }
                    };
                    kind.name = "topk";
                }
                Some(other) => {
                    return Err(config.wrong(format!(
                        "the activation '{other}' under '{key}' is not computed here for the architecture '{name}' (relu and topk \
                         are)"
                    )));
                }
            }
        }
        if let Some(note) = arguments.and_then(|arguments| arguments.unused(&["k"])) {
            return Err(config.wrong(format!("activation_fn_kwargs: {note}")));
        }
        Ok(kind)
    }
}

fn activation<F: Scalar>(
    kind: &Kind,
    file: &Tensors,
    config: &Config,
    notes: &mut Vec<String>,
) -> Result<Activation<F>, SaeError> {
    let b_enc = || file.vector::<F>("b_enc");
    let k = || kind.k.map_or_else(|| config.count("k"), Ok);
    Ok(match kind.name {
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
        "topk" => Activation::top_k(b_enc()?, k()?),
        "abstopk" => Activation::abs_top_k(b_enc()?, k()?),
        "matching_pursuit" => {
            if file.has("b_enc") {
                file.set_aside(&["b_enc"]);
                notes.push("b_enc is in the file, but matching pursuit does not use it".to_owned());
            }
            let width = file.shape("W_dec").and_then(|shape| shape.get(1).copied()).unwrap_or_default();
            let steps =
                if config.get("max_iterations").is_some() { config.count("max_iterations")? } else { width };
            let repeat = "stop_on_duplicate_support";
            let stops_at_repeat =
                config.truth(repeat)?.ok_or_else(|| config.wrong(format!("it does not say '{repeat}'")))?;
            let residual_threshold = config.number("residual_threshold")?;
            Activation::pursuit(MatchingPursuit { k: steps, residual_threshold, stops_at_repeat })
        }
        _ => Activation::batch_top_k(b_enc()?, config.number("k")?),
    })
}

fn normalisation(
    config: &Config,
    scaler: bool,
    notes: &mut Vec<String>,
) -> Result<RowNormalisation, SaeError> {
    let missing = |what: &str, method: &str| {
        format!("trained on {what}, but it is not in the file and none is applied: fold it with {method}")
    };
    Ok(match config.get("normalize_activations") {
        None => {
            notes.push("the configuration names no normalize_activations: taken to be none".to_owned());
            RowNormalisation::None
        }
        Some(Value::Bool(false)) => RowNormalisation::None,
        Some(value) => match value.as_str() {
            Some("none") => RowNormalisation::None,
            Some("constant_norm_rescale") => RowNormalisation::ConstantNorm,
            Some("layer_norm") => RowNormalisation::LayerNorm,
            _ if value == true || value == "expected_average_only_in" => {
                if !scaler {
                    notes.push(missing("inputs scaled to E‖x‖ = √d with a factor", "fold_input_scale"));
                }
                RowNormalisation::None
            }
            Some("covariance_whitening") => {
                if !scaler {
                    notes.push(missing("inputs whitened with a matrix", "fold_whitening"));
                }
                RowNormalisation::None
            }
            _ => {
                return Err(config.wrong(format!(
                    "normalize_activations {value} is not read (none, expected_average_only_in, constant_norm_rescale, \
                     layer_norm and covariance_whitening are)"
                )));
            }
        },
    })
}

fn input_bias(config: &Config, kind: &Kind, notes: &mut Vec<String>) -> Result<InputBias, SaeError> {
    let subtracted = match (config.truth("apply_b_dec_to_input")?, kind.transcoder) {
        (Some(true), true) => {
            return Err(config.wrong(
                "apply_b_dec_to_input is true for a transcoder, whose b_dec belongs to its output; set it to false",
            ));
        }
        (_, true) => false,
        (Some(value), false) => value,
        (None, false) => {
            notes.push(
                "the configuration names no apply_b_dec_to_input: b_dec is subtracted from the input, as the library does"
                    .to_owned(),
            );
            true
        }
    };
    Ok(if subtracted { InputBias::Subtracted } else { InputBias::NotSubtracted })
}

/// Multiplies the decoder rows by the factors that finetuning stores beside them.
fn scale_rows<F: Scalar>(
    file: &Tensors,
    config: &Config,
    w_dec: &mut ndarray::Array2<F>,
    notes: &mut Vec<String>,
) -> Result<(), SaeError> {
    let mut scaled = false;
    for key in ["scaling_factor", "finetuning_scaling_factor"] {
        if file.has(key) {
            let factors: Array1<F> = file.vector(key)?;
            if factors.len() != w_dec.nrows() {
                return Err(SaeError::shape("scaling_factor", &[w_dec.nrows()], factors.shape()));
            }
            w_dec.rows_mut().into_iter().zip(&factors).for_each(|(mut row, &s)| row.mapv_inplace(|w| w * s));
            notes.push(format!("the {key} of the file multiplies the decoder rows"));
            scaled = true;
        }
    }
    if config.flag("finetuning_scaling_factor", false)? && !scaled {
        return Err(config.wrong(
            "finetuning_scaling_factor is true, but the file of weights has no tensor of this name; it is of another training \
             state",
        ));
    }
    Ok(())
}
