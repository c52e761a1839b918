//! The start of a run: new weights, or those of a dictionary that is trained further.

use crate::sae::dictionary::read;
use crate::sae::rows::Rows;
use crate::session::say;
use anyhow::{Context, ensure};
use collimate_sae::formats::{Given, Target};
use collimate_sae::{BiasStart, Normalisation, Sae, Size, TrainingConfig, Variant};
use collimate_studies::Provenance;
use std::path::{Path, PathBuf};

/// The options of a start from a dictionary.
#[derive(clap::Args)]
pub(super) struct StartOptions {
    /// Train this dictionary further, of any readable format, instead of starting from random weights. It must be of the same
    /// variant and size, and it takes rows that are not scaled.
    #[arg(long, value_name = "SAE", conflicts_with = "target")]
    pub(super) start_from: Option<PathBuf>,
    /// The number of active latents in a row of --start-from, if its file does not hold it: Qwen Scope outside a folder of its original
    /// name. --k is the number of the run that begins.
    #[arg(long, value_name = "N", requires = "start_from")]
    start_k: Option<usize>,
    /// Read --start-from as a dictionary of embeddings, whose inputs were divided by √d: a params.npz of Gemma Scope outside its original
    /// folder.
    #[arg(long, requires = "start_from")]
    start_embedding: bool,
}

impl StartOptions {
    /// Returns the facts that the file of the dictionary does not hold.
    pub(super) fn given(&self) -> Given {
        Given { k: self.start_k, embedding: self.start_embedding }
    }
}

/// The largest deviation from one of the length of a decoder row that counts as a unit vector.
const UNIT: f32 = 1e-3;

/// Returns the start of a run that trains a dictionary further, and its configuration.
///
/// The dictionary takes unscaled rows, and training scales them. So the dictionary is scaled by the inverse factor, and its bias is
/// kept: before the first update it computes what the file computes.
pub(super) fn further(
    path: &Path,
    given: &Given,
    rows: &Rows,
    n_latents: usize,
    variant: Variant,
    config: TrainingConfig,
) -> anyhow::Result<(Sae<f32>, TrainingConfig)> {
    let name = path.display();
    let checkpoint = read::<f32>(path, given)?;
    let differences = rows.provenance().differences(&Provenance::new(checkpoint.about));
    if !differences.is_empty() {
        say(&format!("note: {name} was trained on other rows: {}", differences.join("; ")));
    }
    let mut dictionary = checkpoint.dictionary;
    ensure!(
        dictionary.target() == Target::Input,
        "{name} is a transcoder; --start-from trains autoencoders further"
    );
    let (given, wanted) = (dictionary.size(), Size { d_model: rows.width(), n_latents });
    ensure!(
        given == wanted,
        "{name} has {} latents for rows of width {}, but --latents is {n_latents} and the rows have width {}",
        given.n_latents,
        given.d_model,
        rows.width()
    );
    let theirs = dictionary.variant();
    ensure!(
        theirs.name() == variant.name() && theirs.per_latent_names() == variant.per_latent_names(),
        "{name} holds a {} dictionary, which is not trained as {}; choose its own --variant",
        theirs.name(),
        variant.name()
    );
    let variant = variant.with_input_bias(theirs.input_bias());
    if dictionary.decoder_norms().iter().any(|norm| (norm - 1.0).abs() > UNIT) {
        let folding =
            || format!("the decoder rows of {name} cannot be made unit vectors, as training keeps them");
        dictionary = dictionary.fold_decoder_norms().with_context(folding)?;
    }
    let (sample, _) = rows.blocks(config.calibration_rows).next().context("there are no rows")??;
    let scale = config.normalisation.factor(&sample.slice(ndarray::s![.., ..rows.width()]))?;
    let scaled = dictionary.to_sae()?.with_input_scale(1.0 / scale)?;
    let start = Sae::from_weights(variant, scaled.into_weights())?;
    let normalisation = Normalisation::Fixed(scale);
    Ok((start, TrainingConfig { normalisation, bias_start: BiasStart::Given, ..config }))
}
