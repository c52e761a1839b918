//! `collimate sae eval`.

mod layers;
mod plan;
mod print;
mod single_rows;

use super::dictionary::{Facts, check_origin, concatenated, read_any};
use super::rows::{Places, Rows};
use crate::session::{Session, Steps, on_interrupt, say};
use crate::texts::Source;
use anyhow::{bail, ensure};
use collimate_sae::formats::{Checkpoint, Target};
use collimate_sae::{AnyDictionary, WithNull};
use collimate_studies::splicing::{RecoveredOptions, recovered};
use collimate_studies::width_at;
use ndarray::Array1;
use plan::Plan;
use print::print;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// The options of `collimate sae eval`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate sae eval sae.safetensors --activations shards
  collimate sae eval saelens-folder --activations rows.npy --json
  collimate sae eval transcoder.safetensors --activations mid --target mlp
  collimate sae eval crosscoder/model.pt --activations layer3 --activations layer4
  collimate sae eval cross-layer --activations mid0 --activations mid1 --target mlp0 --target mlp1
  collimate sae eval sae.safetensors --activations shards --in-model --layer 9")]
pub(crate) struct Options {
    /// The dictionary, a file or folder of any readable format. A crosscoder is measured on the concatenated rows of its layers, and a
    /// transcoder of several layers at each layer, with --activations and --target once for each.
    #[arg(value_name = "SAE")]
    sae: PathBuf,
    #[command(flatten)]
    facts: Facts,
    #[command(flatten)]
    places: Places,
    /// The largest number of rows to measure.
    #[arg(long, value_name = "N", default_value_t = 1 << 16)]
    rows: u64,
    /// The seed of the null model, which shuffles the decoder rows across latents.
    #[arg(long, alias = "null-seed", value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Print one JSON object in each line instead of text.
    #[arg(long)]
    json: bool,
    /// Also insert the dictionary into the model, and measure how much of the loss and of the KL divergence it recovers. This uses
    /// --layer, --site and the text.
    #[arg(long, requires = "layer")]
    in_model: bool,
    /// Measure although the dictionary was trained on another model, layer, site or selection of rows.
    #[arg(long)]
    allow_mismatch: bool,
    #[command(flatten)]
    source: Source,
}

impl Options {
    /// Returns true if the command prints JSON.
    pub(crate) fn prints_json(&self) -> bool {
        self.json
    }

    /// Opens the rows, checks that they fit the dictionary, and leaves out the long ones.
    fn open(
        &self,
        about: &BTreeMap<String, String>,
        fits: impl FnOnce(&Rows) -> anyhow::Result<()>,
    ) -> anyhow::Result<Rows> {
        let mut rows = self.places.open()?;
        fits(&rows)?;
        check_origin(about, &rows.provenance(), self.allow_mismatch)?;
        if let Some(factor) = self.source.max_norm() {
            ensure!(
                factor > 0.0 && factor.is_finite(),
                "--max-norm must be a positive number, but is {factor}"
            );
            rows.leave_out(factor)?;
        }
        Ok(rows)
    }
}

const NOT_IN_MODEL: &str =
    "--in-model replaces the activations that a dictionary reconstructs; it does not work for a transcoder";

/// Measures a dictionary and its null model on the activations, and prints the metrics.
pub(crate) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    let source = &options.source;
    if options.in_model {
        source.check()?;
    } else if source.leaves_out_tokens() {
        bail!(
            "--leave-out: rows that are on disk already hold no tokens; capture them again with `collimate activations --leave-out`, \
             leave out long rows with --max-norm, or add --in-model for the text of that measurement"
        );
    } else if let [first, ..] = source.given()[..] {
        bail!("{first} belongs to a measurement in the model; add --in-model, or leave it out");
    }
    let checkpoint = read_any::<f32>(&options.sae, &options.facts.given())?;
    let (most, seed, stop) = (options.rows, options.seed, on_interrupt("ending"));
    if let AnyDictionary::Transcoder(transcoder) = &checkpoint.dictionary {
        ensure!(!options.in_model, NOT_IN_MODEL);
        let (name, object) = (checkpoint.dictionary.name(), checkpoint.dictionary.fingerprint());
        let rows = options.open(&checkpoint.about, |rows| layers::check(name, transcoder, rows))?;
        let mean = rows.mean()?;
        let plan = Plan { rows: &rows, mean: &mean, most, seed, session, stop: &stop };
        let found = layers::measure(&plan, transcoder, object)?;
        for (layer, (metrics, usage)) in found.iter().enumerate() {
            print(options.json, Some(layer), metrics, usage);
        }
        say_undefined(found.iter().flat_map(|(metrics, _)| metrics));
        return Ok(());
    }
    let checkpoint = concatenated(checkpoint, &options.sae)?;
    let dictionary = &checkpoint.dictionary;
    ensure!(!options.in_model || dictionary.target() == Target::Input, NOT_IN_MODEL);
    let rows = options.open(&checkpoint.about, |rows| single_rows::check(dictionary, rows))?;
    let mean = rows.mean()?;
    let plan = Plan { rows: &rows, mean: &mean, most, seed, session, stop: &stop };
    let (mut metrics, usage) = single_rows::measure(&plan, dictionary)?;
    if options.in_model {
        metrics.extend(measure_in_model(options, session, &checkpoint, &mean, &stop)?);
    }
    print(options.json, None, &metrics, &usage);
    say_undefined(&metrics);
    Ok(())
}

/// Tells the user if a metric is not a number.
fn say_undefined<'a>(metrics: impl IntoIterator<Item = &'a WithNull>) {
    if metrics.into_iter().any(|metric| metric.measured.value.is_nan()) {
        say(
            "note: a metric is undefined where its definition divides by zero, for example if all rows are equal",
        );
    }
}

/// Inserts the dictionary and its null model into the language model, and returns the recovered loss and KL divergence.
fn measure_in_model(
    options: &Options,
    session: &Session,
    checkpoint: &Checkpoint<f32>,
    mean: &Array1<f32>,
    stop: &AtomicBool,
) -> anyhow::Result<Vec<WithNull>> {
    let (source, dictionary) = (&options.source, &checkpoint.dictionary);
    let setup = source.setup()?;
    let (model, point) = (&setup.model, source.point(&setup)?);
    let (given, needed) = (width_at(model, point)?, dictionary.size().d_model);
    ensure!(given == needed, "{point} has width {given}, but the dictionary takes rows of width {needed}");
    let leave_out = source.leave_out(&setup)?;
    check_origin(&checkpoint.about, &source.provenance(&setup, point, &leave_out), options.allow_mismatch)?;
    let sequences = source.sequences(&setup)?;
    let mut steps = Steps::new(session, "sequences", sequences.len() as u64);
    let mut going_on = |done: usize| {
        steps.at(done as u64, "");
        !stop.load(Ordering::SeqCst)
    };
    let rule = leave_out.at(model, &sequences, point)?;
    let both = [dictionary, &dictionary.null(options.seed)];
    let place = RecoveredOptions { point, mean, rule };
    let [found, null] = recovered(model, both, &place, &sequences, &mut going_on)?;
    steps.finish();
    Ok(found.with_null(&null, dictionary.fingerprint()).into_iter().collect())
}
