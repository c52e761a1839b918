//! `collimate sae top`.

mod latents;
mod page;
mod text;

use super::dictionary::read;
use crate::session::{Session, Steps, on_interrupt};
use crate::texts::Source;
use anyhow::ensure;
use collimate_sae::Usage;
use collimate_studies::latents::top_firings;
use collimate_studies::{Sequence, width_at};
use latents::{Corpus, Latent, choose, effects};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// The options of `collimate sae top`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate sae top sae.safetensors --layer 9
  collimate sae top sae.safetensors --layer 9 --latent 3,14,15 --places 4
  collimate sae top sae.safetensors --layer 9 --corpus brown --html latents.html")]
pub(crate) struct Options {
    /// The dictionary, a file or folder of any readable format.
    #[arg(value_name = "SAE")]
    sae: PathBuf,
    #[command(flatten)]
    source: Source,
    /// The latents to show, separated by commas; by default --count of the latents that fire, spread over their densities.
    #[arg(long, value_delimiter = ',')]
    latent: Vec<u32>,
    /// The number of latents to choose.
    #[arg(long, value_name = "N", default_value_t = 40)]
    count: usize,
    /// The number of places to show for each latent, at most one in each sequence.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 8)]
    places: usize,
    /// Also write a page with a search, densities and logit effects, which needs no network. An existing file is replaced.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Finds the places, prints them, and writes the page.
pub(crate) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    options.source.check()?;
    let checkpoint = read::<f32>(&options.sae)?;
    let dictionary = &checkpoint.dictionary;
    let setup = options.source.setup()?;
    let point = options.source.point(&setup)?;
    let n = dictionary.size().n_latents;
    if let Some(bad) = options.latent.iter().find(|&&latent| latent as usize >= n) {
        anyhow::bail!("--latent must be below {n}, the number of latents of the dictionary, but is {bad}");
    }
    let sequences = options.source.sequences(&setup)?;
    let (given, needed) = (width_at(setup.decoder.config(), point), dictionary.size().d_model);
    ensure!(given == needed, "{point} has width {given}, but the dictionary takes rows of width {needed}");
    let stop = on_interrupt("ending")?;
    let find = |latents: &[u32], sequences: &[Sequence]| {
        let mut steps = Steps::new(session, "sequences", sequences.len() as u64);
        let mut going_on = |done: usize| {
            steps.at(done as u64, "");
            !stop.load(Ordering::SeqCst)
        };
        let found =
            top_firings(&setup.decoder, dictionary, point, sequences, latents, options.places, &mut going_on);
        steps.finish();
        found
    };
    let chosen = if options.latent.is_empty() {
        let some = &sequences[..sequences.len().min(sequences.len() / 4 + 8)];
        choose(&find(&[], some)?.1, options.count)
    } else {
        options.latent.clone()
    };
    ensure!(!chosen.is_empty(), "no latent fires on this text; choose a longer text");
    let (tops, fired) = find(&chosen, &sequences)?;
    let rows: u64 = sequences.iter().map(|sequence| sequence.tokens.len() as u64 - 1).sum();
    let effects = effects(&setup.decoder, dictionary, point, &chosen, &sequences[0])?;
    let corpus = Corpus { tokenizer: &setup.tokenizer, sequences: &sequences, rows };
    let latents: Vec<Latent> =
        tops.into_iter().zip(effects).map(|(top, effects)| Latent { top, effects }).collect();
    for latent in &latents {
        print!("{}", text::latent(latent, &corpus)?);
    }
    if let Some(path) = &options.html {
        let usage = Usage::new(fired, rows)?;
        let shown: Vec<Value> =
            latents.iter().map(|latent| page::latent(latent, &corpus)).collect::<anyhow::Result<_>>()?;
        let data = json!({
            "title": options.sae.file_name().map(|name| name.to_string_lossy().into_owned()),
            "format": checkpoint.format.name(),
            "architecture": dictionary.variant().name(),
            "point": point.to_string(),
            "n_latents": n,
            "rows": rows,
            "dead": usage.fired.iter().filter(|&&count| count == 0).count(),
            "densities": usage.histogram(40),
            "latents": shown,
        });
        page::write_page(path, &data)?;
        println!("{}: {} latents", path.display(), latents.len());
    }
    Ok(())
}
