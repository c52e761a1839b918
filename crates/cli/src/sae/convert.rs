//! `collimate sae convert`.

use super::rows::{array, flatten};
use anyhow::{Context, ensure};
use collimate_sae::formats::{self, Dictionary, agreement};
use collimate_stream::RngStream;
use ndarray::Array2;
use std::path::PathBuf;

/// The options of `collimate sae convert`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The dictionary: a file or folder of any readable format.
    from: PathBuf,
    /// Where to write it: a file for `collimate`, a folder for `saelens`.
    to: PathBuf,
    /// The format to write.
    #[arg(long = "to", value_enum)]
    format: Target,
    /// Make the decoder rows unit vectors, the codes taking their lengths.
    #[arg(long)]
    fold_norms: bool,
    /// The dictionary was trained on inputs times this factor: fold it, so that it takes rows as they are.
    #[arg(long, value_name = "FACTOR")]
    fold_scale: Option<f64>,
    /// Let the encoder see x instead of x − b_dec, the bias folded.
    #[arg(long)]
    fold_bias: bool,
    /// Use the stored threshold instead of the selection over a batch (training checkpoints of BatchTopK).
    #[arg(long)]
    batch_threshold: bool,
    /// Rows to prove the conversion on; by default random ones.
    #[arg(long, value_name = "FILE")]
    sample: Option<PathBuf>,
    /// The name of the array in the sample.
    #[arg(long)]
    key: Option<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Target {
    Collimate,
    Saelens,
}

/// Reads, folds, writes, reads again, and compares the two on sample rows.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let (folder, to) = (matches!(options.format, Target::Saelens), options.to.display());
    ensure!(
        !folder || !options.to.is_file(),
        "{to} is a file, but SAELens keeps a folder: name another place"
    );
    ensure!(
        folder || !options.to.is_dir(),
        "{to} is a folder, but this format is one file: name another place"
    );
    let checkpoint = formats::read::<f32>(&options.from)?;
    checkpoint.notes.iter().for_each(|note| eprintln!("note: {note}"));
    let mut dictionary = checkpoint.dictionary;
    if options.batch_threshold {
        dictionary = dictionary.with_batch_threshold()?;
    }
    if let Some(scale) = options.fold_scale {
        dictionary = dictionary.fold_input_scale(scale)?;
    }
    // What is compared with: everything above changes what is computed, nothing below may.
    let before = dictionary.clone();
    if options.fold_bias {
        dictionary = dictionary.fold_input_bias();
    }
    if options.fold_norms {
        dictionary = dictionary.fold_decoder_norms()?;
    }
    // Whether there are rows to prove it on is seen before anything is written.
    let x = sample(options, &before)?;
    let of_sample =
        || options.sample.as_ref().map_or("random rows".into(), |path| path.display().to_string());
    let n_stored =
        before.forward(&x).with_context(|| format!("the rows of {}", of_sample()))?.codes.n_stored();
    match options.format {
        Target::Collimate => dictionary.to_sae()?.save(&options.to)?,
        Target::Saelens => {
            let about: Vec<_> = checkpoint.about.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            formats::write_saelens(&dictionary, &options.to, &about)?;
        }
    }
    let written = formats::read::<f32>(&options.to)?.dictionary;
    let proof = agreement(&before, &written, &x)?;
    println!("{}: {proof}", options.to.display());
    ensure!(
        proof.relative < 1e-4 && proof.support as f64 <= 1e-3 * n_stored as f64,
        "what was written does not do the same as what was read: do not use it"
    );
    Ok(())
}

/// The rows of the sample, or random rows around b_dec of the length of the decoder's.
fn sample(options: &Options, dictionary: &Dictionary<f32>) -> anyhow::Result<Array2<f32>> {
    let d = dictionary.size().d_model;
    if let Some(path) = &options.sample {
        let rows = flatten(&array(path, options.key.as_deref())?, d)?.0;
        return Ok(rows.mapv(|v| v as f32));
    }
    let mut stream = RngStream::named(0, "rows to prove a conversion on");
    let centre = dictionary.decoder_bias();
    let scale = dictionary.decoder_norms().mean().unwrap_or(1.0).max(1e-3);
    Ok(Array2::from_shape_fn((64, d), |(_, j)| {
        let centre = if centre.len() == d { centre[j] } else { 0.0 };
        centre + scale * stream.normal() as f32
    }))
}
