//! `collimate sae eval`.

use super::rows::Place;
use crate::stop::on_interrupt;
use crate::terminal::Steps;
use crate::texts::Source;
use anyhow::{bail, ensure};
use collimate_sae::formats::{self, Target};
use collimate_sae::{Evaluation, Size, WithNull};
use collimate_studies::model::recovered_with_null;
use ndarray::s;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// The options of `collimate sae eval`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The dictionary: a file or folder of any readable format.
    sae: PathBuf,
    #[command(flatten)]
    place: Place,
    /// At most so many rows.
    #[arg(long, default_value_t = 1 << 16)]
    rows: u64,
    /// The seed of the null: the decoder rows dealt out anew among the latents.
    #[arg(long, default_value_t = 0)]
    null_seed: u64,
    /// Print JSON lines instead of text.
    #[arg(long)]
    json: bool,
    /// Also splice it into the model (loss and KL recovered); takes the layer, the site and a text.
    #[arg(long, requires = "layer")]
    in_model: bool,
    #[command(flatten)]
    source: Source,
}

/// Streams the activations through the dictionary and its null.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let checkpoint = formats::read::<f32>(&options.sae)?;
    checkpoint.notes.iter().for_each(|note| eprintln!("note: {note}"));
    let dictionary = checkpoint.dictionary;
    let transcoder = dictionary.target() == Target::Other;
    ensure!(
        !(transcoder && options.in_model),
        "--in-model puts reconstructions in the place of what a dictionary saw; a transcoder's output belongs elsewhere"
    );
    if options.in_model {
        options.source.check()?;
    }
    let rows = options.place.open()?;
    let (d, d_out, width) = (dictionary.size().d_model, dictionary.d_out(), rows.width());
    ensure!(d == width, "the dictionary takes rows of width {d}, but the activations have width {width}");
    match rows.target() {
        None => ensure!(!transcoder, "a transcoder is measured by what it predicts: name that with --target"),
        Some(_) if !transcoder => bail!("an autoencoder is measured by its input: it takes no --target"),
        Some(there) => {
            ensure!(
                d_out == there,
                "the transcoder predicts rows of width {d_out}, but the target has width {there}"
            );
        }
    }
    // In a transcoder's rows the outputs stand behind the inputs.
    let outputs = if transcoder { d } else { 0 };
    let mean = rows.mean()?;
    let centre = mean.slice(s![outputs..]).mapv(f64::from).to_vec();
    let size = Size { d_model: d_out, ..dictionary.size() };
    let new = || Evaluation::sized(size, dictionary.fingerprint()).centred_at(centre.clone());
    let (mut evaluation, mut null) = (new()?, new()?);
    let dealt = dictionary.null(options.null_seed);
    let total = options.rows.min(rows.count());
    let stop = on_interrupt("ending")?;
    let mut steps = Steps::new("rows", total);
    for block in rows.blocks(2048) {
        let (block, documents) = block?;
        if evaluation.sums.rows >= total {
            break;
        }
        if stop.load(Ordering::SeqCst) {
            bail!("interrupted");
        }
        let (x, y) = (block.slice(s![.., ..d]), block.slice(s![.., outputs..]));
        let out = dictionary.forward(&x)?;
        evaluation.push_codes(&y, &out.codes, &out.reconstruction, documents.as_deref())?;
        let out = dealt.forward(&x)?;
        null.push_codes(&y, &out.codes, &out.reconstruction, documents.as_deref())?;
        steps.at(evaluation.sums.rows, "");
    }
    steps.finish();
    let usage = evaluation.usage()?;
    let mut all: Vec<WithNull> = evaluation.with_null(&null);
    if evaluation.sums.active > 0 {
        all.extend(usage.with_null(options.null_seed)?);
    }
    if options.in_model {
        let source = &options.source;
        let laboratory = source.laboratory()?;
        let point = source.point(&laboratory)?;
        let there = laboratory.width(point);
        ensure!(there == d, "{point} has width {there}, but the dictionary takes rows of width {d}");
        let sequences = source.sequences(&laboratory)?;
        let mut steps = Steps::new("sequences", sequences.len() as u64);
        let decoder = &laboratory.decoder;
        let going = |done: usize| {
            steps.at(done as u64, "");
            !stop.load(Ordering::SeqCst)
        };
        let [found, null] =
            recovered_with_null(decoder, &dictionary, options.null_seed, point, &sequences, &mean, going)?;
        steps.finish();
        all.extend(found.with_null(&null, dictionary.fingerprint()));
    }
    for with_null in &all {
        if options.json {
            let line = serde_json::json!({
                "measured": with_null.measured, "null": with_null.null.value, "null_is": with_null.null_is
            });
            println!("{line}");
        } else {
            println!("{with_null}");
        }
    }
    if !options.json {
        println!("\nlatents by log10 density:");
        let histogram = usage.histogram(20);
        let most = histogram.iter().copied().max().unwrap_or(1).max(1);
        for (bin, &count) in histogram.iter().enumerate().filter(|(_, count)| **count > 0) {
            let from = -10.0 + bin as f64 * 0.5;
            let name = if bin == 0 { "dead".to_owned() } else { format!("{from:.1}") };
            println!("{name:>6} {:<40} {count}", "█".repeat(((count * 40).div_ceil(most)) as usize));
        }
    }
    Ok(())
}
