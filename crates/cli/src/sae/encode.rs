//! `collimate sae encode`.

use super::dictionary::read;
use super::rows::{array, flatten};
use anyhow::Context;
use collimate_tensor::files::{FileArray, FileData, write_safetensors};
use ndarray::Array2;
use std::path::PathBuf;

/// The options of `collimate sae encode`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate sae encode --sae sae.safetensors --input rows.npy --output codes.safetensors
  collimate sae encode --sae saelens-folder --input acts.npz --key layer9 --dense --output codes.safetensors")]
pub(crate) struct Options {
    /// The dictionary, a file or folder of any readable format.
    #[arg(long, value_name = "PATH")]
    sae: PathBuf,
    /// The file of the rows: .safetensors, .npz or .npy.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The name of the array in the input; needed if there are several.
    #[arg(long)]
    key: Option<String>,
    /// The .safetensors file to write: the reconstructions `recon`, and the codes. An existing file is replaced.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Write the codes as one dense matrix `feature_acts`, instead of the compressed rows `feature_acts.values`, `.latents` and
    /// `.offsets`.
    #[arg(long)]
    dense: bool,
    /// The precision of the computation; by default that of the input.
    #[arg(long, value_enum)]
    precision: Option<Precision>,
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
    let input = array(&options.input, options.key.as_deref())?;
    let double = match options.precision {
        Some(precision) => precision == Precision::F64,
        None => input.type_name() == "f64",
    };
    if double { encode::<f64>(options, &input) } else { encode::<f32>(options, &input) }
}

fn encode<F: collimate_sae::Precision>(options: &Options, input: &FileArray) -> anyhow::Result<()> {
    let checkpoint = read::<F>(&options.sae)?;
    let dictionary = checkpoint.dictionary;
    let (rows, leading, last) = flatten(input, dictionary.size().d_model)?;
    let x: Array2<F> = rows.mapv(F::from_f64);
    let out =
        dictionary.forward(&x).with_context(|| format!("in the rows of {}", options.input.display()))?;
    let n = dictionary.size().n_latents;
    let shape = |end: &[usize]| [&leading, end].concat();
    let values = |values: &mut dyn Iterator<Item = F>| {
        if F::NAME == "f64" {
            FileData::F64(values.map(|v| v.to_f64()).collect())
        } else {
            FileData::F32(values.map(|v| v.to_f64() as f32).collect())
        }
    };
    let width = if dictionary.d_out() == dictionary.size().d_model { last } else { vec![dictionary.d_out()] };
    let recon = FileArray::new(shape(&width), values(&mut out.reconstruction.iter().copied()))?;
    let mut tensors = vec![("recon", recon)];
    if options.dense {
        let codes = out.codes.to_dense();
        tensors.push(("feature_acts", FileArray::new(shape(&[n]), values(&mut codes.iter().copied()))?));
    } else {
        let mut offsets = vec![0];
        let (mut latents, mut stored) = (Vec::new(), Vec::new());
        for (columns, codes) in out.codes.rows() {
            latents.extend(columns.iter().map(|&latent| i64::from(latent)));
            stored.extend_from_slice(codes);
            offsets.push(latents.len() as i64);
        }
        let stored_values = FileArray::new(vec![stored.len()], values(&mut stored.into_iter()))?;
        tensors.push(("feature_acts.values", stored_values));
        tensors.push(("feature_acts.latents", FileArray::new(vec![latents.len()], FileData::I64(latents))?));
        tensors.push(("feature_acts.offsets", FileArray::new(vec![offsets.len()], FileData::I64(offsets))?));
    }
    let metadata = [("n_latents", n.to_string()), ("format", checkpoint.format.name().to_owned())];
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
    write_safetensors(&options.output, &tensors, &metadata)?;
    let l0 = out.codes.n_stored() as f64 / x.nrows().max(1) as f64;
    println!("{}: {} rows, {n} latents, {l0:.2} active in a row", options.output.display(), x.nrows());
    Ok(())
}
