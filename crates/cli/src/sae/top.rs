//! `collimate sae top`.

use super::page;
use crate::stop::on_interrupt;
use crate::terminal::Steps;
use crate::texts::Source;
use anyhow::ensure;
use collimate_sae::Usage;
use collimate_sae::formats::{self, Dictionary};
use collimate_studies::model::{Firing, LatentTop, LogitEffect, direct_effect, top_firings};
use collimate_studies::real::{Laboratory, Sequence};
use collimate_transformer::{HookPoint, Run, Site};
use ndarray::{Axis, s};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// Tokens shown on each side of the strongest.
const AROUND: usize = 14;
/// Tokens whose logits a latent moves most, shown on each side.
const EFFECTS: usize = 8;

/// The options of `collimate sae top`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The dictionary: a file or folder of any readable format.
    sae: PathBuf,
    #[command(flatten)]
    source: Source,
    /// The latents to look at; by default --count of those that fire, spread over their densities.
    #[arg(long, value_delimiter = ',')]
    latent: Vec<u32>,
    /// How many latents to choose.
    #[arg(long, default_value_t = 40)]
    count: usize,
    /// How many places to show for each, at most one a sequence.
    #[arg(long, short = 'n', default_value_t = 8)]
    places: usize,
    /// Also write a page with search, densities and logit effects; it needs no network.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Finds the places, prints them, and writes the page.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    options.source.check()?;
    let checkpoint = formats::read::<f32>(&options.sae)?;
    checkpoint.notes.iter().for_each(|note| eprintln!("note: {note}"));
    let dictionary = checkpoint.dictionary;
    let laboratory = options.source.laboratory()?;
    let point = options.source.point(&laboratory)?;
    let n = dictionary.size().n_latents;
    if let Some(bad) = options.latent.iter().find(|&&latent| latent as usize >= n) {
        anyhow::bail!("there is no latent {bad}: the dictionary has {n}");
    }
    let sequences = options.source.sequences(&laboratory)?;
    let width = laboratory.width(point);
    ensure!(
        width == dictionary.size().d_model,
        "{point} has width {width}, but the dictionary takes rows of width {}",
        dictionary.size().d_model
    );
    let stop = on_interrupt("ending")?;
    let pass = |latents: &[u32], sequences: &[Sequence]| {
        let mut steps = Steps::new("sequences", sequences.len() as u64);
        let found = top_firings(
            &laboratory.decoder,
            &dictionary,
            point,
            sequences,
            latents,
            options.places,
            |done| {
                steps.at(done as u64, "");
                !stop.load(Ordering::SeqCst)
            },
        );
        steps.finish();
        found
    };
    let latents = if options.latent.is_empty() {
        let some = &sequences[..sequences.len().min(sequences.len() / 4 + 8)];
        choose(&pass(&[], some)?.1, options.count)
    } else {
        options.latent.clone()
    };
    ensure!(!latents.is_empty(), "no latent fires on this text");
    let (tops, fired) = pass(&latents, &sequences)?;
    let rows: u64 = sequences.iter().map(|sequence| sequence.tokens.len() as u64 - 1).sum();
    let effects = effects(&laboratory, &dictionary, point, &latents, &sequences[0])?;
    for (top, effects) in tops.iter().zip(&effects) {
        print(top, effects.as_ref(), rows, &laboratory, &sequences)?;
    }
    if let Some(path) = &options.html {
        let latents: Vec<Value> = tops
            .iter()
            .zip(&effects)
            .map(|(top, effects)| latent_json(top, effects.as_ref(), rows, &laboratory, &sequences))
            .collect::<anyhow::Result<_>>()?;
        let usage = Usage::new(fired, rows)?;
        let data = json!({
            "title": options.sae.file_name().map(|name| name.to_string_lossy().into_owned()),
            "format": checkpoint.format.name(),
            "architecture": dictionary.activation().name(),
            "point": point.to_string(),
            "n_latents": n,
            "rows": rows,
            "dead": usage.fired.iter().filter(|&&count| count == 0).count(),
            "densities": usage.histogram(40),
            "latents": latents,
        });
        page::write(path, &data)?;
        println!("{}: {} latents", path.display(), tops.len());
    }
    Ok(())
}

/// Latents that fire, evenly spread in the order of their counts.
fn choose(fired: &[u64], count: usize) -> Vec<u32> {
    let mut alive: Vec<u32> = (0..fired.len() as u32).filter(|&i| fired[i as usize] > 0).collect();
    alive.sort_by_key(|&i| (std::cmp::Reverse(fired[i as usize]), i));
    let count = count.min(alive.len());
    let mut chosen: Vec<u32> = (0..count).map(|i| alive[i * alive.len() / count]).collect();
    chosen.sort_unstable();
    chosen
}

/// What each latent does to the logits, where its decoder writes into the residual stream.
fn effects(
    laboratory: &Laboratory,
    dictionary: &Dictionary<f32>,
    point: HookPoint,
    latents: &[u32],
    sequence: &Sequence,
) -> anyhow::Result<Vec<Option<(Vec<LogitEffect>, Vec<LogitEffect>)>>> {
    if matches!(point.site, Site::MlpNeurons | Site::HeadOutput | Site::Pattern) {
        return Ok(vec![None; latents.len()]);
    }
    let decoder = &laboratory.decoder;
    let end = decoder.residual(Run::of(&sequence.tokens), decoder.config().n_layers, &mut ())?;
    // Position 0 is a hundred times as long as the others.
    let later = end.slice(s![1.., ..]);
    let rms = later.mapv(|v| v * v).mean().unwrap_or(1.0).sqrt();
    let mut all = Vec::new();
    for block in latents.chunks(64) {
        let rows: Vec<usize> = block.iter().map(|&latent| latent as usize).collect();
        let effects = direct_effect(decoder, &dictionary.decoder().select(Axis(0), &rows), rms)?;
        all.extend(effects.rows().into_iter().map(|row| Some(LogitEffect::extremes(&row.to_vec(), EFFECTS))));
    }
    Ok(all)
}

/// The token's text, with what would break a line made visible.
fn piece(laboratory: &Laboratory, token: u32) -> anyhow::Result<String> {
    Ok(laboratory.tokenizer.decode(&[token])?.replace('\n', "⏎").replace('\t', "⇥"))
}

fn window(firing: &Firing, length: usize) -> std::ops::Range<usize> {
    firing.position.saturating_sub(AROUND).max(1)..(firing.position + AROUND + 1).min(length)
}

fn print(
    top: &LatentTop,
    effects: Option<&(Vec<LogitEffect>, Vec<LogitEffect>)>,
    rows: u64,
    laboratory: &Laboratory,
    sequences: &[Sequence],
) -> anyhow::Result<()> {
    let (bold, plain) =
        if std::io::stdout().is_terminal() { ("\x1b[1;33m", "\x1b[0m") } else { ("«", "»") };
    let share = 100.0 * top.fired as f64 / rows as f64;
    println!("latent {} fires on {share:.3} % of {rows} tokens", top.latent);
    if let Some((raised, lowered)) = effects {
        for (word, list) in [("raises", raised), ("lowers", lowered)] {
            let tokens: Vec<String> = list
                .iter()
                .map(|e| Ok(format!("{:?} {:+.2}", piece(laboratory, e.token)?, e.effect)))
                .collect::<anyhow::Result<_>>()?;
            println!("  {word}  {}", tokens.join("  "));
        }
    }
    for firing in &top.firings {
        let tokens = &sequences[firing.sequence].tokens;
        let mut line = String::new();
        for i in window(firing, tokens.len()) {
            let text = piece(laboratory, tokens[i])?;
            if i == firing.position {
                line += &format!("{bold}{text}{plain}");
            } else {
                line += &text;
            }
        }
        println!("  {:>8.3}  {line}", firing.code);
    }
    println!();
    Ok(())
}

fn latent_json(
    top: &LatentTop,
    effects: Option<&(Vec<LogitEffect>, Vec<LogitEffect>)>,
    rows: u64,
    laboratory: &Laboratory,
    sequences: &[Sequence],
) -> anyhow::Result<Value> {
    let places: Vec<Value> = top
        .firings
        .iter()
        .map(|firing| {
            let tokens = &sequences[firing.sequence].tokens;
            let range = window(firing, tokens.len());
            let shown: Vec<Value> = range
                .clone()
                .map(|i| Ok(json!([piece(laboratory, tokens[i])?, firing.around[i]])))
                .collect::<anyhow::Result<_>>()?;
            Ok(json!({
                "code": firing.code, "at": firing.position - range.start,
                "document": sequences[firing.sequence].document, "tokens": shown,
            }))
        })
        .collect::<anyhow::Result<_>>()?;
    let list = |effects: &[LogitEffect]| -> anyhow::Result<Vec<Value>> {
        effects.iter().map(|e| Ok(json!([piece(laboratory, e.token)?, e.effect]))).collect()
    };
    let effects = match effects {
        Some((raised, lowered)) => json!({ "raised": list(raised)?, "lowered": list(lowered)? }),
        None => Value::Null,
    };
    Ok(json!({
        "latent": top.latent, "density": top.fired as f64 / rows as f64, "histogram": top.histogram,
        "largest": top.firings.first().map_or(0.0, |firing| firing.code), "effects": effects, "places": places,
    }))
}
