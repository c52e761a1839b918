//! `collimate sae convert`.

use super::dictionary::{Facts, read};
use super::own::{Own, own};
use super::rows;
use crate::session::{check_file, existing};
use anyhow::{Context, ensure};
use collimate_output::{NewFile, NewFolder, check_inputs, is_free};
use collimate_sae::formats::{self, Dictionary, Format, agreement};
use collimate_stream::RngStream;
use ndarray::Array2;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The largest number of rows of a set of shards on which the two dictionaries are compared.
const MOST_ROWS: usize = 4096;

/// The options of `collimate sae convert`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate sae convert saelens-folder sae.safetensors --to collimate
  collimate sae convert sae.safetensors saelens-folder --to saelens --fold-norms --sample rows.npy")]
pub(crate) struct Options {
    /// The dictionary, a file or folder of any readable format.
    #[arg(value_name = "FROM")]
    from: PathBuf,
    /// The place to write it to: a file for `collimate`, a folder for `saelens`. It must not exist, unless --force is given.
    #[arg(value_name = "TO")]
    to: PathBuf,
    #[command(flatten)]
    facts: Facts,
    /// The format to write.
    #[arg(long = "to", value_enum)]
    format: Target,
    /// Make the decoder rows unit vectors, and multiply the codes by their lengths.
    #[arg(long)]
    fold_norms: bool,
    /// Fold the factor by which the inputs were multiplied in training, so that the dictionary takes unscaled rows.
    #[arg(long, value_name = "FACTOR")]
    fold_scale: Option<f64>,
    /// Fold b_dec into the bias of the encoder, so that the encoder takes x instead of x − b_dec.
    #[arg(long)]
    fold_bias: bool,
    /// Use the stored threshold instead of the selection over a batch (for training checkpoints of BatchTopK).
    #[arg(long)]
    batch_threshold: bool,
    /// The rows on which the two dictionaries are compared: a file .safetensors, .npz or .npy, or a folder of shards, of which the first
    /// 4096 rows are used; by default random rows.
    #[arg(long, value_name = "PLACE")]
    sample: Option<PathBuf>,
    /// The name of the array in the sample; needed if there are several.
    #[arg(long, requires = "sample")]
    key: Option<String>,
    /// Replace an existing dictionary, and nothing else.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Target {
    /// One safetensors file of Collimate.
    Collimate,
    /// A folder of SAELens.
    Saelens,
}

/// Reads, folds and writes a dictionary, reads it again, and compares the two on sample rows.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let to = &options.to;
    let inputs = [Some(options.from.as_path()), options.sample.as_deref()];
    check_inputs(to, inputs.into_iter().flatten())?;
    let new = New::begin(options)?;
    let checkpoint = read::<f32>(&options.from, &options.facts.given())?;
    let about = checkpoint.about.clone();
    let mut dictionary =
        if options.batch_threshold { checkpoint.for_single_rows()? } else { checkpoint.dictionary };
    if let Some(scale) = options.fold_scale {
        dictionary = dictionary.fold_input_scale(scale)?;
    }
    // The steps above may change the codes and reconstructions; the steps below must not.
    let before = dictionary.clone();
    if options.fold_bias {
        dictionary = dictionary.fold_input_bias();
    }
    if options.fold_norms {
        dictionary = dictionary.fold_decoder_norms()?;
    }
    // The sample is read before anything is written.
    let x = sample(options, &before)?;
    let of_sample =
        || options.sample.as_ref().map_or("random rows".into(), |path| path.display().to_string());
    let n_stored =
        before.forward(&x).with_context(|| format!("in the rows of {}", of_sample()))?.codes.n_stored();
    let written = new.write(&dictionary, &about)?;
    let proof = agreement(&before, &written, &x)?;
    ensure!(
        proof.relative < 1e-4 && proof.support as f64 <= 1e-3 * n_stored as f64,
        "the dictionary in the other format gives other results than the one that was read ({proof}), so it was not kept"
    );
    new.finish()?;
    println!("{}: {proof}", to.display());
    Ok(())
}

/// The dictionary in the other format. It gets its name when it was read again and compared.
enum New {
    File(NewFile),
    Folder(NewFolder),
}

/// The file of a folder of SAELens without which the folder holds no dictionary.
const CONFIG: &str = "cfg.json";

impl New {
    /// Tries the place before any work. Only a dictionary is replaced, and only with `--force`.
    fn begin(options: &Options) -> anyhow::Result<Self> {
        let (to, force) = (options.to.as_path(), options.force);
        let name = to.display();
        match options.format {
            Target::Collimate => {
                ensure!(
                    !to.is_dir(),
                    "{name} is a folder, but a dictionary of this format is one file; choose another place"
                );
                check_file(to, force)?;
                ensure!(
                    !to.is_file() || own(to) == Some(Own::Dictionary),
                    "{name} is no dictionary of Collimate: --force replaces only dictionaries; choose another place"
                );
                Ok(Self::File(NewFile::begin(to, existing(force))?))
            }
            Target::Saelens => {
                ensure!(
                    !to.is_file(),
                    "{name} is a file, but a dictionary of SAELens is a folder; choose another place"
                );
                let free = is_free(to)?;
                ensure!(
                    free || force,
                    "{name} exists already; choose another place, or replace it with --force"
                );
                ensure!(
                    free || matches!(Format::detect(to), Ok(Format::SaeLens)),
                    "{name} holds no dictionary of SAELens: --force replaces only dictionaries; choose another place"
                );
                Ok(Self::Folder(NewFolder::begin(to)?))
            }
        }
    }

    /// Writes the dictionary without its name, and reads it again.
    fn write(
        &self,
        dictionary: &Dictionary<f32>,
        about: &BTreeMap<String, String>,
    ) -> anyhow::Result<Dictionary<f32>> {
        Ok(match self {
            Self::File(file) => {
                dictionary.to_sae()?.save_about(file.path(), about)?;
                formats::read_as::<f32>(file.path(), Format::Collimate)?.dictionary
            }
            Self::Folder(folder) => {
                let about: Vec<_> = about.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                formats::write_saelens(dictionary, folder.path(), &about)?;
                formats::read_as::<f32>(folder.path(), Format::SaeLens)?.dictionary
            }
        })
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::File(file) => file.finish()?,
            Self::Folder(folder) => folder.finish(CONFIG, &[])?,
        }
        Ok(())
    }
}

/// Returns the rows of the sample, or random rows around b_dec whose entries have the size of a decoder row's length.
fn sample(options: &Options, dictionary: &Dictionary<f32>) -> anyhow::Result<Array2<f32>> {
    let d = dictionary.size().d_model;
    if let Some(path) = &options.sample {
        let rows = rows::flatten(&rows::sample(path, options.key.as_deref(), MOST_ROWS)?, d)?.0;
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
