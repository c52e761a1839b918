//! `collimate sae eval`.

use super::dictionary::{Facts, check_origin, read_concatenated};
use super::rows::{Places, Rows};
use crate::session::{Interrupted, Session, Steps, on_interrupt, say};
use crate::texts::Source;
use anyhow::{bail, ensure};
use collimate_sae::formats::{Checkpoint, Dictionary, Target};
use collimate_sae::{Evaluation, Size, Usage, WithNull};
use collimate_studies::splicing::{RecoveredOptions, recovered};
use collimate_studies::width_at;
use ndarray::{Array1, s};
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
  collimate sae eval sae.safetensors --activations shards --in-model --layer 9")]
pub(crate) struct Options {
    /// The dictionary, a file or folder of any readable format. A crosscoder is measured on the concatenated rows of its layers.
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
}

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
    let checkpoint = read_concatenated::<f32>(&options.sae, &options.facts.given())?;
    let dictionary = &checkpoint.dictionary;
    ensure!(
        !options.in_model || dictionary.target() == Target::Input,
        "--in-model replaces the activations that a dictionary reconstructs; it does not work for a transcoder"
    );
    let mut rows = options.places.open()?;
    check_widths(dictionary, &rows)?;
    check_origin(&checkpoint.about, &rows.provenance(), options.allow_mismatch)?;
    if let Some(factor) = source.max_norm() {
        ensure!(factor > 0.0 && factor.is_finite(), "--max-norm must be a positive number, but is {factor}");
        rows.leave_out(factor)?;
    }
    let stop = on_interrupt("ending");
    let mean = rows.mean()?;
    let (mut metrics, usage) = measure(options, session, dictionary, &rows, &mean, &stop)?;
    if options.in_model {
        metrics.extend(measure_in_model(options, session, &checkpoint, &mean, &stop)?);
    }
    for metric in &metrics {
        if options.json {
            let line = serde_json::json!({
                "measured": metric.measured, "null": metric.null.value, "null_is": metric.null_is
            });
            println!("{line}");
        } else {
            println!("{metric}");
        }
    }
    match options.json {
        true => println!("{}", densities_json(&usage)),
        false => print_densities(&usage),
    }
    if metrics.iter().any(|metric| metric.measured.value.is_nan()) {
        say(
            "note: a metric is undefined where its definition divides by zero, for example if all rows are equal",
        );
    }
    Ok(())
}

/// Returns an error if the dictionary does not fit the widths of the rows.
fn check_widths(dictionary: &Dictionary<f32>, rows: &Rows) -> anyhow::Result<()> {
    let (d, d_out, width) = (dictionary.size().d_model, dictionary.d_out(), rows.width());
    let transcoder = dictionary.target() == Target::Other;
    ensure!(d == width, "the dictionary takes rows of width {d}, but the activations have width {width}");
    match rows.target() {
        None => {
            ensure!(!transcoder, "a transcoder is measured by the rows it predicts; give them with --target");
        }
        Some(_) if !transcoder => bail!("an autoencoder is measured by its input; it takes no --target"),
        Some(given) => {
            ensure!(
                d_out == given,
                "the transcoder predicts rows of width {d_out}, but the target has width {given}"
            );
        }
    }
    Ok(())
}

/// Encodes and reconstructs the rows with the dictionary and with its null model, and returns the metrics of both.
fn measure(
    options: &Options,
    session: &Session,
    dictionary: &Dictionary<f32>,
    rows: &Rows,
    mean: &Array1<f32>,
    stop: &AtomicBool,
) -> anyhow::Result<(Vec<WithNull>, Usage)> {
    let d = dictionary.size().d_model;
    // The columns of a transcoder's outputs follow those of its inputs.
    let outputs = if dictionary.target() == Target::Other { d } else { 0 };
    let centre = mean.slice(s![outputs..]).mapv(f64::from).to_vec();
    let size = Size { d_model: dictionary.d_out(), ..dictionary.size() };
    let new = || Evaluation::sized(size, dictionary.fingerprint()).centred_at(centre.clone());
    let (mut evaluation, mut null) = (new()?, new()?);
    let shuffled = dictionary.null(options.seed);
    let total = options.rows.min(rows.count());
    let mut steps = Steps::new(session, "rows", total);
    for block in rows.blocks(2048) {
        let (block, documents) = block?;
        if evaluation.sums.rows >= total {
            break;
        }
        if stop.load(Ordering::SeqCst) {
            return Err(Interrupted("interrupted".to_owned()).into());
        }
        let (x, y) = (block.slice(s![.., ..d]), block.slice(s![.., outputs..]));
        let out = dictionary.forward(&x)?;
        evaluation.push_codes(&y, &out.codes, &out.reconstruction, documents.as_deref())?;
        let out = shuffled.forward(&x)?;
        null.push_codes(&y, &out.codes, &out.reconstruction, documents.as_deref())?;
        steps.at(evaluation.sums.rows, "");
    }
    steps.finish();
    let usage = evaluation.usage()?;
    let mut metrics: Vec<WithNull> = evaluation.with_null(&null);
    if evaluation.sums.active > 0 {
        metrics.extend(usage.with_null(options.seed)?);
    }
    Ok((metrics, usage))
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

/// Returns the number of latents in each half decade of density that has some: the lower end as a logarithm, and `None` for latents that
/// never fire.
fn densities(usage: &Usage) -> Vec<(Option<f64>, u64)> {
    let histogram = usage.histogram(20).into_iter().enumerate();
    let from = |bin: usize| (bin > 0).then(|| -10.0 + bin as f64 * 0.5);
    histogram.filter(|(_, count)| *count > 0).map(|(bin, count)| (from(bin), count)).collect()
}

/// Prints a histogram of the latents by the logarithm of their density.
fn print_densities(usage: &Usage) {
    println!("\nlatents by log10 density:");
    let bins = densities(usage);
    let most = bins.iter().map(|(_, count)| *count).max().unwrap_or(1);
    for (from, count) in bins {
        let name = from.map_or("dead".to_owned(), |from| format!("{from:.1}"));
        println!("{name:>6} {:<40} {count}", "█".repeat(((count * 40).div_ceil(most)) as usize));
    }
}

/// Returns the histogram of [`print_densities`] as JSON. Dead latents have no logarithm.
fn densities_json(usage: &Usage) -> serde_json::Value {
    let bins: Vec<_> = densities(usage)
        .into_iter()
        .map(|(from, count)| serde_json::json!({ "log10_from": from, "latents": count }))
        .collect();
    serde_json::json!({ "densities": bins })
}
