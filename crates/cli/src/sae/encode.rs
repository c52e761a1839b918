//! `collimate sae encode`.

use super::axes::Input;
use super::dictionary::{Facts, check_origin, read_any};
use crate::session::check_file;
use anyhow::Context;
use collimate_output::check_inputs;
use collimate_sae::ArrangedForward;
use collimate_tensor::files::{FileArray, FileData, write_safetensors};
use std::path::{Path, PathBuf};

/// The options of `collimate sae encode`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate sae encode --sae sae.safetensors --input rows.npy --output codes.safetensors
  collimate sae encode --sae sae.safetensors --input activations --output codes.safetensors
  collimate sae encode --sae saelens-folder --input acts.npz --key layer9 --dense --output codes.safetensors
  collimate sae encode --sae cross-layer --input mid0 --input mid1 --input mid2 --output codes.safetensors

Axes of the input:
  a dictionary of single rows        [row, d]; further leading axes are kept
  transcoders of several layers      [layer, row, d]
  a crosscoder                       [row, layer, d], or [row, layers x d]
  a temporal dictionary              [sequence, position, d]; the rows of shards are divided into their documents")]
pub(crate) struct Options {
    /// The dictionary, a file or folder of any readable format.
    #[arg(long, value_name = "PATH")]
    sae: PathBuf,
    #[command(flatten)]
    facts: Facts,
    /// The rows: a file .safetensors, .npz or .npy, or a folder of shards that `collimate activations` wrote. For a dictionary of several
    /// layers it may be given once for each layer, all on the same tokens.
    #[arg(long, value_name = "PLACE", required = true)]
    input: Vec<PathBuf>,
    /// The name of the array in the input; needed if there are several.
    #[arg(long)]
    key: Option<String>,
    /// The .safetensors file to write: the reconstructions `recon`, the codes, and for a temporal dictionary the codes `predicted` from
    /// the context. It must not exist, unless --force is given.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Write the codes as one dense array `feature_acts`, instead of the compressed rows `feature_acts.values`, `.latents` and
    /// `.offsets`.
    #[arg(long)]
    dense: bool,
    /// The precision of the computation; by default that of the input.
    #[arg(long, value_enum)]
    precision: Option<Precision>,
    /// Encode although the dictionary was trained on another model, layer, site or selection of rows.
    #[arg(long)]
    allow_mismatch: bool,
    /// Replace an existing output.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Precision {
    /// 32-bit floating point.
    F32,
    /// 64-bit floating point.
    F64,
}

/// Encodes and reconstructs the rows, and writes the result.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let read: Vec<&Path> = options.input.iter().chain([&options.sae]).map(PathBuf::as_path).collect();
    check_inputs(&options.output, read.iter().copied())?;
    check_file(&options.output, options.force)?;
    let input = Input::open(&options.input, options.key.as_deref())?;
    let double = match options.precision {
        Some(precision) => precision == Precision::F64,
        None => input.is_double(),
    };
    if double { encode::<f64>(options, input) } else { encode::<f32>(options, input) }
}

fn encode<F: collimate_sae::Precision>(options: &Options, input: Input) -> anyhow::Result<()> {
    let checkpoint = read_any::<F>(&options.sae, &options.facts.given())?;
    check_origin(&checkpoint.about, input.provenance(), options.allow_mismatch)?;
    let dictionary = checkpoint.dictionary;
    let (axes, parts) = input.arranged::<F>(&dictionary)?;
    let results = parts.iter().map(|x| dictionary.forward(x)).collect::<Result<Vec<_>, _>>();
    let places: Vec<String> = options.input.iter().map(|place| place.display().to_string()).collect();
    let results = results.with_context(|| format!("in the rows of {}", places.join(", ")))?;
    let n = dictionary.n_latents();
    let code_axes = axes.of_codes(&results);
    let rows: usize = code_axes.iter().product();
    let mut tensors = vec![(
        "recon",
        array(axes.of_reconstruction(&results, &dictionary), all(&results, |out| out.reconstruction.iter()))?,
    )];
    let dense_shape = [&code_axes[..], &[n]].concat();
    if results.iter().all(|out| out.predicted.is_some()) {
        let predicted = all(&results, |out| out.predicted.iter().flatten());
        tensors.push(("predicted", array(dense_shape.clone(), predicted)?));
    }
    if options.dense {
        let dense: Vec<_> = results.iter().map(|out| out.codes.to_dense()).collect();
        let values: Vec<F> = dense.iter().flatten().copied().collect();
        tensors.push(("feature_acts", array(dense_shape, values)?));
    } else {
        tensors.extend(compressed(&results)?);
    }
    let shape = code_axes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let metadata =
        [("n_latents", n.to_string()), ("format", checkpoint.format.name().to_owned()), ("code_axes", shape)];
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
    write_safetensors(&options.output, &tensors, &metadata)?;
    let stored: usize = results.iter().map(|out| out.codes.n_stored()).sum();
    let l0 = stored as f64 / rows.max(1) as f64;
    println!("{}: {rows} rows, {n} latents, {l0:.2} active in a row", options.output.display());
    Ok(())
}

/// Collects numbers of all results, one after the other.
fn all<'a, F: collimate_sae::Precision, I: Iterator<Item = &'a F>>(
    results: &'a [ArrangedForward<F>],
    of: impl Fn(&'a ArrangedForward<F>) -> I,
) -> Vec<F> {
    results.iter().flat_map(of).copied().collect()
}

/// Returns an array of the precision of its values.
fn array<F: collimate_sae::Precision>(shape: Vec<usize>, values: Vec<F>) -> anyhow::Result<FileArray> {
    let data = if F::NAME == "f64" {
        FileData::F64(values.into_iter().map(|v| v.to_f64()).collect())
    } else {
        FileData::F32(values.into_iter().map(|v| v.to_f64() as f32).collect())
    };
    Ok(FileArray::new(shape, data)?)
}

/// Returns the codes as compressed rows: the values that are not zero, their latents, and the place where each row begins.
fn compressed<F: collimate_sae::Precision>(
    results: &[ArrangedForward<F>],
) -> anyhow::Result<[(&'static str, FileArray); 3]> {
    let mut offsets = vec![0];
    let (mut latents, mut stored) = (Vec::new(), Vec::new());
    for (columns, codes) in results.iter().flat_map(|out| out.codes.rows()) {
        latents.extend(columns.iter().map(|&latent| i64::from(latent)));
        stored.extend_from_slice(codes);
        offsets.push(latents.len() as i64);
    }
    let whole = |numbers: Vec<i64>| FileArray::new(vec![numbers.len()], FileData::I64(numbers));
    Ok([
        ("feature_acts.values", array(vec![stored.len()], stored)?),
        ("feature_acts.latents", whole(latents)?),
        ("feature_acts.offsets", whole(offsets)?),
    ])
}
