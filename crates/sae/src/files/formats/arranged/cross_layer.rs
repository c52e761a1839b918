//! Cross-layer transcoders: two files for each layer (circuit-tracer), or one (Gemma Scope 2).

use super::super::any_checkpoint::AnyCheckpoint;
use super::super::format::Format;
use super::super::json::Config;
use super::super::refusal::wrong;
use super::super::tensors::Tensors;
use super::numbered::{self, Numbered, in_folder};
use super::yaml::Yaml;
use crate::SaeError;
use crate::arranged::transcoder::{LayerActivation, LayeredTranscoder, Reach, TranscoderLayer};
use collimate_tensor::Scalar;
use ndarray::{Array3, s};
use std::collections::BTreeMap;
use std::path::Path;

/// The keys of `config.yaml` that describe and do not change what is computed.
const ABOUT: [&str; 8] = [
    "model_name",
    "feature_input_hook",
    "feature_output_hook",
    "scan",
    "repo_id",
    "revision",
    "subfolder",
    "transcoders",
];

/// Returns the folder of a path that names a folder or one of its files.
pub(super) fn folder_of(path: &Path) -> &Path {
    if path.is_dir() {
        return path;
    }
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// The description of a set of files.
#[derive(Default)]
pub(super) struct Description {
    pub(super) about: BTreeMap<String, String>,
    pub(super) notes: Vec<String>,
    /// The activation and its k, if the file names them.
    pub(super) activation: Option<(String, Option<usize>)>,
}

/// Reads `config.yaml`, if there is one, and refuses one of another kind.
pub(super) fn description(folder: &Path, kind: &str) -> Result<Description, SaeError> {
    let path = folder.join("config.yaml");
    let mut found = Description::default();
    if !path.is_file() {
        found.notes.push(
            "there is no config.yaml, so the model and the places it was trained at are not known".into(),
        );
        return Ok(found);
    }
    let mut config = Yaml::open(&path)?;
    if let Some(given) = config.text("model_kind").map(str::to_owned).filter(|given| given != kind) {
        return Err(
            config.wrong(format!("its model_kind is '{given}', but the files are those of a '{kind}'"))
        );
    }
    for key in ABOUT {
        if let Some(value) = config.text(key).map(str::to_owned) {
            found.about.insert(key.to_owned(), value);
        }
    }
    if let Some(activation) = config.text("activation").map(str::to_ascii_lowercase) {
        let k = config.text("k").is_some().then(|| config.count("k")).transpose()?;
        found.activation = Some((activation, k));
    }
    found.notes.extend(config.unused());
    Ok(found)
}

/// Returns an error if a file has tensors that are not used.
pub(super) fn only(file: &Tensors, names: &[&str]) -> Result<(), SaeError> {
    match file.names().find(|name| !names.contains(name)) {
        Some(name) => Err(file.wrong(format!(
            "the tensor '{name}' is not known in this format ({} are), so it is not clear what the dictionary computes",
            names.join(", ")
        ))),
        None => Ok(()),
    }
}

/// Returns an error if a tensor has another shape. Nothing is read.
pub(super) fn shaped(file: &Tensors, name: &str, expected: &[usize], because: &str) -> Result<(), SaeError> {
    match file.shape(name) {
        Some(given) if given == expected => Ok(()),
        Some(given) => {
            Err(file.wrong(format!("'{name}' must have the shape {expected:?}{because}, but has {given:?}")))
        }
        None => Err(file.wrong(format!("the tensor '{name}' is missing"))),
    }
}

/// Returns the two axes of a matrix.
pub(super) fn axes_of(file: &Tensors, name: &str) -> Result<[usize; 2], SaeError> {
    match file.shape(name) {
        Some(&[rows, columns]) => Ok([rows, columns]),
        Some(given) => Err(file.wrong(format!("'{name}' must be a matrix, but has the shape {given:?}"))),
        None => Err(file.wrong(format!("the tensor '{name}' is missing"))),
    }
}

/// Reads the two files of each layer.
pub(in super::super) fn read<F: Scalar>(path: &Path) -> Result<AnyCheckpoint<F>, SaeError> {
    let folder = folder_of(path);
    let mut found = in_folder(folder)?;
    let [encoders, decoders] = ["W_enc", "W_dec"].map(|name| found.remove(name).unwrap_or_default());
    let count = encoders.layers().max(decoders.layers());
    if count == 0 {
        return Err(wrong(folder, "there are no files W_enc_0.safetensors, W_dec_0.safetensors, …"));
    }
    let (encoders, decoders) =
        (encoders.open(folder, "W_enc", count)?, decoders.open(folder, "W_dec", count)?);
    let Description { about, mut notes, activation } = description(folder, "cross_layer_transcoder")?;
    let name = |what: &str, layer: usize| format!("{what}_{layer}");
    let thresholds = encoders[0].has("threshold_0");
    if let Some((activation, _)) = activation.filter(|(name, _)| !agrees(name, thresholds)) {
        return Err(wrong(folder, disagreement(&activation, thresholds)));
    }
    let [n, d] = axes_of(&encoders[0], "W_enc_0")?;
    // Every shape is compared before anything is read.
    for (l, (encoder, decoder)) in encoders.iter().zip(&decoders).enumerate() {
        let names = ["W_enc", "b_enc", "b_dec", "threshold"].map(|what| name(what, l));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        only(encoder, &names)?;
        only(decoder, &[&name("W_dec", l)])?;
        shaped(encoder, names[0], &[n, d], " as in layer 0")?;
        if encoder.has(names[3]) != thresholds {
            let which =
                if thresholds { "has none, but layer 0 has" } else { "has some, but layer 0 has none" };
            return Err(
                encoder.wrong(format!("thresholds: layer {l} {which}; either every layer has them or none"))
            );
        }
        let d_out = decoder.shape(&name("W_dec", l)).and_then(|shape| shape.last().copied()).unwrap_or(d);
        let because = format!(
            " (latents, layers from {l} to the last of {count}, width): the number of layers is that of the files"
        );
        shaped(decoder, &name("W_dec", l), &[n, count - l, d_out], &because)?;
    }
    let mut layers = Vec::with_capacity(count);
    for (l, (encoder, decoder)) in encoders.iter().zip(&decoders).enumerate() {
        layers.push(TranscoderLayer {
            w_enc: encoder.matrix(&name("W_enc", l))?,
            b_enc: encoder.vector(&name("b_enc", l))?,
            activation: match thresholds {
                true => LayerActivation::JumpRelu(encoder.vector(&name("threshold", l))?),
                false => LayerActivation::Relu,
            },
            w_dec: decoder.cube(&name("W_dec", l))?,
            b_dec: encoder.vector(&name("b_dec", l))?,
            w_skip: None,
        });
    }
    notes.push(kind_of_activation(thresholds).to_owned());
    let transcoder = LayeredTranscoder::new(layers, Reach::LaterLayers)?;
    Ok(AnyCheckpoint { about, notes, ..AnyCheckpoint::of(transcoder.into(), Format::CrossLayer) })
}

/// Returns true if an activation that a configuration names is the one that the tensors say.
pub(super) fn agrees(activation: &str, thresholds: bool) -> bool {
    matches!((activation, thresholds), ("relu", false) | ("jumprelu" | "jump_relu", true))
}

pub(super) fn disagreement(activation: &str, thresholds: bool) -> String {
    let tensors = if thresholds { "JumpReLU, with thresholds" } else { "ReLU, without thresholds" };
    format!("config.yaml names the activation '{activation}', but the tensors are those of {tensors}")
}

pub(super) fn kind_of_activation(thresholds: bool) -> &'static str {
    if thresholds {
        "JumpReLU, because there are thresholds: a code is z where z is above the threshold"
    } else {
        "ReLU, because there are no thresholds"
    }
}

/// Reads the one file of each layer of Gemma Scope 2.
pub(in super::super) fn read_gemma_scope<F: Scalar>(path: &Path) -> Result<AnyCheckpoint<F>, SaeError> {
    const NAMES: [&str; 6] = ["w_enc", "w_dec", "b_enc", "b_dec", "threshold", "affine_skip_connection"];
    let folder = folder_of(path);
    let (name, files) = one_set(path, "w_dec", 3)?;
    let count = files.layers();
    let files = files.open(folder, &name, count)?;
    let (mut about, mut notes, mut affine) = (BTreeMap::new(), Vec::new(), None);
    let config_path = folder.join("config.json");
    if config_path.is_file() {
        let config = Config::open(&config_path)?;
        for (key, allowed) in [("architecture", "jump_relu"), ("type", "clt")] {
            if let Some(given) = config.text(key)?.filter(|given| *given != allowed) {
                return Err(
                    config.wrong(format!("'{key}' is '{given}', but the files are those of '{allowed}'"))
                );
            }
        }
        config.expect("num_layers", count)?;
        affine =
            config.get("affine_connection").map(|_| config.flag("affine_connection", false)).transpose()?;
        about = config.about(&["model_name", "hf_hook_point_in", "hf_hook_point_out", "width", "l0"]);
    } else {
        notes.push(
            "there is no config.json, so the model and the places it was trained at are not known".into(),
        );
    }
    let [d, n] = axes_of(&files[0], "w_enc")?;
    let skip = files[0].has(NAMES[5]);
    if affine.is_some_and(|affine| affine != skip) {
        let what = if skip { "is there" } else { "is missing" };
        return Err(files[0].wrong(format!(
            "config.json says affine_connection = {}, but the tensor '{}' {what}",
            !skip, NAMES[5]
        )));
    }
    for file in &files {
        only(file, &NAMES)?;
        shaped(file, "w_enc", &[d, n], " as in layer 0")?;
        let d_out = file.shape("w_dec").and_then(|shape| shape.last().copied()).unwrap_or(d);
        let because = " (latents, layers, width): the number of layers is that of the files";
        shaped(file, "w_dec", &[n, count, d_out], because)?;
        if file.has(NAMES[5]) != skip {
            return Err(file.wrong(format!("either every layer has the tensor '{}' or none", NAMES[5])));
        }
    }
    let mut layers = Vec::with_capacity(count);
    for (l, file) in files.iter().enumerate() {
        let w_dec: Array3<F> = file.cube("w_dec")?;
        layers.push(TranscoderLayer {
            w_enc: file.matrix::<F>("w_enc")?.reversed_axes(),
            b_enc: file.vector("b_enc")?,
            activation: LayerActivation::JumpRelu(file.vector("threshold")?),
            w_dec: w_dec.slice(s![.., l.., ..]).to_owned(),
            b_dec: file.vector("b_dec")?,
            w_skip: skip.then(|| file.matrix::<F>(NAMES[5]).map(|skip| skip.reversed_axes())).transpose()?,
        });
    }
    notes.push(
        "of the decoder of layer l, only the layers from l on are used; the others have no meaning".into(),
    );
    let transcoder = LayeredTranscoder::new(layers, Reach::LaterLayers)?;
    let format = Format::GemmaScope2CrossLayer;
    Ok(AnyCheckpoint { about, notes, ..AnyCheckpoint::of(transcoder.into(), format) })
}

/// Returns the numbered files that a path belongs to, or the only ones of a folder whose tensor `name` has the given number of axes.
pub(super) fn one_set(path: &Path, name: &str, axes: usize) -> Result<(String, Numbered), SaeError> {
    let folder = folder_of(path);
    let mut found = in_folder(folder)?;
    if !path.is_dir()
        && let Some((own, _)) = numbered::parts(path)
        && let Some(files) = found.remove(&own)
    {
        return Ok((own, files));
    }
    let holds = |files: &Numbered| {
        let first = files.first().and_then(|(_, file)| Tensors::open(file.to_owned()).ok());
        first.is_some_and(|file| file.shape(name).is_some_and(|shape| shape.len() == axes))
    };
    let mut sets: Vec<_> = found.into_iter().filter(|(_, files)| holds(files)).collect();
    match (sets.pop(), sets.pop()) {
        (Some(one), None) => Ok(one),
        (Some((one, _)), Some((other, _))) => Err(wrong(
            folder,
            format!(
                "there are two sets of layers here, {other}_0 … and {one}_0 …; give the path of a file of one of them"
            ),
        )),
        _ => Err(wrong(folder, "there are no files of layers here")),
    }
}
