//! Temporal dictionaries: `conf.yaml` with `latest_ckpt.safetensors` or `.pt`, and folders of SAELens.

use super::super::any_checkpoint::AnyCheckpoint;
use super::super::format::Format;
use super::super::json::Config;
use super::super::refusal::wrong;
use super::super::tensors::Tensors;
use super::cross_layer::{folder_of, only};
use super::yaml::Yaml;
use crate::SaeError;
use crate::arranged::temporal::{Affine, ContextLayer, NovelCodes, TemporalDictionary, TemporalParts};
use collimate_tensor::Scalar;
use ndarray::{Array1, Array2};
use std::collections::BTreeMap;
use std::path::Path;

/// The four maps of a context layer, as files name them.
const MAPS: [&str; 4] = ["q_target", "k_ctx", "v_ctx", "c_proj"];
/// The largest number of context layers.
const MOST_LAYERS: usize = 256;

/// The settings of a configuration.
struct Settings {
    d: usize,
    n: usize,
    heads: usize,
    context_layers: usize,
    bottleneck: usize,
    novel: NovelCodes,
    tied: bool,
    scale: f64,
    subtracts_bias: bool,
}

/// The names of the tensors of one of the two layouts.
struct Names {
    prefix: &'static str,
    encoder: &'static str,
    decoder: &'static str,
    bias: &'static str,
}

/// Reads a dictionary of either layout.
pub(in super::super) fn read<F: Scalar>(path: &Path) -> Result<AnyCheckpoint<F>, SaeError> {
    let config = folder_of(path).join("cfg.json");
    let (file, settings, names, about, notes) =
        if config.is_file() { saelens(path, &config)? } else { own(path)? };
    let Settings { d, n, heads, context_layers: count, bottleneck, novel, tied, scale, subtracts_bias } =
        settings;
    let Names { prefix, encoder, decoder, bias } = names;
    let name = |tensor: &str| format!("{prefix}{tensor}");
    let of_layer = |layer: usize, map: &str, part: &str| format!("{prefix}attn_layers.{layer}.{map}.{part}");
    if count > MOST_LAYERS {
        return Err(file.wrong(format!("{count} context layers, but at most {MOST_LAYERS} are read")));
    }
    let mut known = vec![name(encoder), name(decoder), name(bias)];
    for layer in 0..count {
        known.extend(MAPS.iter().flat_map(|map| ["weight", "bias"].map(|part| of_layer(layer, map, part))));
    }
    only(&file, &known.iter().map(String::as_str).collect::<Vec<_>>())?;
    if heads == 0 || bottleneck == 0 || !n.is_multiple_of(bottleneck.saturating_mul(heads)) {
        return Err(file.wrong(format!(
            "the {n} latents must divide by bottleneck_factor × n_heads, but these are {bottleneck} × {heads}"
        )));
    }
    if let NovelCodes::TopK(k) = novel
        && !(1..=n).contains(&k)
    {
        return Err(file.wrong(format!("kval_topk must be between 1 and the {n} latents, but is {k}")));
    }
    let width = n / bottleneck;
    let shaped = |tensor: &str, expected: &[usize]| -> Result<(), SaeError> {
        match file.shape(tensor) {
            Some(given) if given == expected => Ok(()),
            given => Err(file.wrong(format!(
                "'{tensor}' must have the shape {expected:?} by the configuration, but has {given:?} (None: it is missing)"
            ))),
        }
    };
    shaped(&name(decoder), &[n, d])?;
    let has_encoder = file.has(&name(encoder));
    if has_encoder {
        shaped(&name(encoder), &[d, n])?;
    } else if !tied {
        return Err(
            file.wrong(format!("tied_weights is false, but the tensor '{}' is missing", name(encoder)))
        );
    }
    for layer in 0..count {
        for (map, output) in MAPS.into_iter().zip([width, width, n, n]) {
            shaped(&of_layer(layer, map, "weight"), &[output, n])?;
        }
    }
    let w_dec: Array2<F> = file.matrix(&name(decoder))?;
    let affine = |layer: usize, map: &str| -> Result<Affine<F>, SaeError> {
        let weight = file.matrix(&of_layer(layer, map, "weight"))?;
        Ok(Affine { weight, bias: file.vector(&of_layer(layer, map, "bias"))? })
    };
    let context_layers = (0..count).map(|layer| {
        let [query, key, value, output] = MAPS.map(|map| affine(layer, map));
        Ok(ContextLayer { query: query?, key: key?, value: value?, output: output? })
    });
    let context_layers = context_layers.collect::<Result<_, SaeError>>()?;
    let b_dec: Array1<F> = file.vector(&name(bias))?;
    let dictionary = TemporalDictionary::new(TemporalParts {
        w_enc: match has_encoder {
            true => file.matrix::<F>(&name(encoder))?.reversed_axes(),
            false => w_dec.clone(),
        },
        w_dec,
        b_dec,
        context_layers,
        heads,
        novel,
        input_scale: F::from_f64(scale),
        subtracts_bias,
    })?;
    Ok(AnyCheckpoint { about, notes, ..AnyCheckpoint::of(dictionary.into(), Format::Temporal) })
}

type Read = (Tensors, Settings, Names, BTreeMap<String, String>, Vec<String>);

/// Returns the selection of the novel codes.
fn novel(kind: &str, k: Option<usize>) -> Result<NovelCodes, String> {
    match (kind, k) {
        ("relu", _) => Ok(NovelCodes::Relu),
        ("topk", Some(k)) => Ok(NovelCodes::TopK(k)),
        ("topk", None) => {
            Err("sae_diff_type is 'topk', but there is no kval_topk; add it to the configuration".into())
        }
        ("nullify", _) => Ok(NovelCodes::None),
        (other, _) => Err(format!(
            "sae_diff_type '{other}' is not read: 'relu', 'topk' and 'nullify' are; a 'batchtopk' depends on the batch of its training"
        )),
    }
}

/// Reads the layout of its own library.
fn own(path: &Path) -> Result<Read, SaeError> {
    let folder = folder_of(path);
    let config_path = folder.join("conf.yaml");
    if !config_path.is_file() {
        return Err(wrong(
            folder,
            "a temporal dictionary needs its configuration conf.yaml beside the checkpoint",
        ));
    }
    let checkpoint = if path.is_dir() {
        let [safetensors, torch] =
            ["latest_ckpt.safetensors", "latest_ckpt.pt"].map(|name| folder.join(name));
        if safetensors.is_file() { safetensors } else { torch }
    } else {
        path.to_owned()
    };
    let file = Tensors::open(checkpoint)?;
    let mut config = Yaml::open(&config_path)?;
    let mut notes = Vec::new();
    let d = config.count("llm.dimin")?;
    let factor = config.number("sae.exp_factor")?;
    let n = (d as f64 * factor).floor();
    if !(1.0..4e9).contains(&n) {
        return Err(config.wrong(format!("{d} × exp_factor {factor} is no number of latents")));
    }
    let kind = config.text("sae.sae_diff_type").unwrap_or("relu").to_owned();
    let k = config.text("sae.kval_topk").is_some().then(|| config.count("sae.kval_topk")).transpose()?;
    let novel = novel(&kind, k).map_err(|what| config.wrong(what))?;
    let scale = match config.text("sae.scaling_factor").is_some() {
        true => config.number("sae.scaling_factor")?,
        false => {
            notes.push("conf.yaml says no scaling_factor: the inputs are not scaled".into());
            1.0
        }
    };
    let settings = Settings {
        d,
        n: n as usize,
        heads: config.count("sae.n_heads")?,
        context_layers: config.count("sae.n_attn_layers")?,
        bottleneck: config.count("sae.bottleneck_factor")?,
        novel,
        tied: config.flag("sae.tied_weights")?,
        scale,
        subtracts_bias: true,
    };
    let mut about = BTreeMap::new();
    for key in ["llm.name", "llm.model", "llm.model_hf_name", "llm.layer_num", "llm.layer", "data.dtype"] {
        if let Some(value) = config.text(key).map(str::to_owned) {
            about.insert(key.to_owned(), value);
        }
    }
    notes.extend(config.unused());
    let prefix = if file.has("sae.D") { "sae." } else { "" };
    if settings.tied && file.has(&format!("{prefix}E")) {
        return Err(file
            .wrong("tied_weights is true, but there is an encoder 'E'; it is not clear which one is meant"));
    }
    Ok((file, settings, Names { prefix, encoder: "E", decoder: "D", bias: "b" }, about, notes))
}

/// Reads the layout of SAELens.
fn saelens(path: &Path, config: &Path) -> Result<Read, SaeError> {
    let config = Config::open(config)?;
    let file =
        Tensors::open(if path.is_dir() { path.join("sae_weights.safetensors") } else { path.to_owned() })?;
    let mut notes = Vec::new();
    if let Some(other) = config.text("reshape_activations")?.filter(|reshape| *reshape != "none") {
        return Err(
            config.wrong(format!("reshape_activations is '{other}', but a temporal dictionary has no heads"))
        );
    }
    let scale = match config.text("normalize_activations")?.unwrap_or("none") {
        "none" => 1.0,
        "constant_scalar_rescale" => config.number("activation_normalization_factor")?,
        other => {
            return Err(config.wrong(format!(
                "normalize_activations '{other}' is not read for a temporal dictionary: 'none' and 'constant_scalar_rescale' are"
            )));
        }
    };
    let k = config.get("kval_topk").map(|_| config.count("kval_topk")).transpose()?;
    let kind = config.text("sae_diff_type")?.unwrap_or("topk");
    let novel = match (kind, k) {
        ("topk", None) => {
            notes.push(
                "sae_diff_type is 'topk' without kval_topk: SAELens keeps every positive code then".into(),
            );
            NovelCodes::Relu
        }
        _ => novel(kind, k).map_err(|what| config.wrong(what))?,
    };
    let settings = Settings {
        d: config.count("d_in")?,
        n: config.count("d_sae")?,
        heads: config.count("n_heads")?,
        context_layers: config.count("n_attn_layers")?,
        bottleneck: config.count("bottleneck_factor")?,
        novel,
        tied: config.flag("tied_weights", true)?,
        scale,
        subtracts_bias: config.flag("apply_b_dec_to_input", true)?,
    };
    let about = config.about(&["model_name", "hook_name", "sae_lens_version"]);
    notes.extend(config.unused(&["architecture", "dtype", "device", "activation_normalization_factor"]));
    Ok((
        file,
        settings,
        Names { prefix: "", encoder: "W_enc", decoder: "W_dec", bias: "b_dec" },
        about,
        notes,
    ))
}
