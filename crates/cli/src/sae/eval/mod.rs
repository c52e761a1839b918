//! `collimate sae eval`.

mod in_model;
mod layers;
mod plan;
mod print;
mod single_rows;

use super::dictionary::{Facts, check_origin, concatenated, read_any, with_read_site};
use super::rows::{Places, Rows};
use crate::session::{Session, on_interrupt, say};
use crate::texts::Source;
use anyhow::{bail, ensure};
use collimate_sae::formats::Target;
use collimate_sae::{AnyDictionary, WithNull};
use plan::Plan;
use print::{print, print_in_model};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The options of `collimate sae eval`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate sae eval sae.safetensors --activations shards
  collimate sae eval saelens-folder --activations rows.npy --json
  collimate sae eval transcoder.safetensors --activations mid --target mlp
  collimate sae eval crosscoder/model.pt --activations layer3 --activations layer4
  collimate sae eval cross-layer --activations mid0 --activations mid1 --target mlp0 --target mlp1
  collimate sae eval sae.safetensors --activations shards --in-model --layer 9
  collimate sae eval set --activations mid0 --activations mid1 --target mlp0 --target mlp1 --in-model --site mlp-input")]
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
    /// --layer, --site and the text. A transcoder of several layers replaces the MLPs of all layers, without --layer.
    #[arg(long)]
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

const NOT_IN_MODEL: &str = "--in-model replaces the activations that a dictionary reconstructs; it does not work for a transcoder of one layer, \
                            whose file does not say where it writes";

/// Measures a dictionary and its null model on the activations, and prints the metrics.
pub(crate) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    let source = &options.source;
    if options.in_model {
        source.check_text()?;
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
        let (name, object) = (checkpoint.dictionary.name(), checkpoint.dictionary.fingerprint());
        let about = with_read_site(checkpoint.about.clone());
        let rows = options.open(&about, |rows| layers::check(name, transcoder, rows))?;
        let mean = rows.mean()?;
        let plan = Plan { rows: &rows, mean: &mean, most, seed, session, stop: &stop };
        let in_model = options.in_model.then(|| {
            in_model::measure_layers(&plan, source, (transcoder, object), &about, options.allow_mismatch)
        });
        let in_model = in_model.transpose()?;
        let found = layers::measure(&plan, transcoder, object)?;
        for (layer, (metrics, usage)) in found.iter().enumerate() {
            print(options.json, Some(layer), metrics, usage);
        }
        in_model.iter().for_each(|metrics| print_in_model(options.json, metrics));
        say_undefined(found.iter().flat_map(|(metrics, _)| metrics).chain(in_model.iter().flatten()));
        return Ok(());
    }
    if options.in_model {
        source.check()?;
    }
    let checkpoint = concatenated(checkpoint, &options.sae)?;
    let dictionary = &checkpoint.dictionary;
    ensure!(!options.in_model || dictionary.target() == Target::Input, NOT_IN_MODEL);
    let rows = options.open(&checkpoint.about, |rows| single_rows::check(dictionary, rows))?;
    let mean = rows.mean()?;
    let plan = Plan { rows: &rows, mean: &mean, most, seed, session, stop: &stop };
    let (mut metrics, usage) = single_rows::measure(&plan, dictionary)?;
    if options.in_model {
        metrics.extend(in_model::measure(&plan, source, &checkpoint, options.allow_mismatch)?);
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
