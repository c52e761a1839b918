//! `collimate sae top`.

mod latents;
mod page;
mod subject;
mod text;

use super::dictionary::{Facts, check_origin, read_any, read_site, with_read_site};
use crate::session::{Session, Steps, check_file, on_interrupt};
use crate::texts::Source;
use anyhow::ensure;
use collimate_output::check_inputs;
use collimate_sae::Usage;
use collimate_studies::latents::{TopFirings, TopOptions, top_firings};
use collimate_studies::{Sequence, width_at};
use collimate_transformer::Site;
use latents::{Corpus, Latent, choose, effects};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use subject::Subject;

/// The options of `collimate sae top`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate sae top sae.safetensors --layer 9
  collimate sae top sae.safetensors --layer 9 --latent 3,14,15 --places 4
  collimate sae top sae.safetensors --layer 9 --corpus brown --html latents.html
  collimate sae top cross-layer --layer 3 --site residual-mid")]
pub(crate) struct Options {
    /// The dictionary, a file or folder of any readable format. In a transcoder of several layers, the latents of the layer --layer are
    /// shown.
    #[arg(value_name = "SAE")]
    sae: PathBuf,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    facts: Facts,
    /// The latents to show, separated by commas; by default --count of the latents that fire, spread over their densities.
    #[arg(long, value_delimiter = ',')]
    latent: Vec<u32>,
    /// The number of latents to choose.
    #[arg(long, value_name = "N", default_value_t = 40, conflicts_with = "latent")]
    count: usize,
    /// The number of places to show for each latent, at most one in each sequence.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 8)]
    places: usize,
    /// Also write a page with a search, densities and logit effects, which needs no network.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Replace an existing page.
    #[arg(long, requires = "html")]
    force: bool,
    /// Show the latents although the dictionary was trained on another model, layer, site or selection of rows.
    #[arg(long)]
    allow_mismatch: bool,
}

/// Finds the places, prints them, and writes the page.
pub(crate) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    let source = &options.source;
    source.check()?;
    if let Some(path) = &options.html {
        check_inputs(path, source.paths().chain([options.sae.as_path()]))?;
        check_file(path, options.force)?;
    }
    let checkpoint = read_any::<f32>(&options.sae, &options.facts.given())?;
    let format = checkpoint.format;
    let (layer, site) = source.given_place();
    let (subject, about, otherwise) =
        match Subject::of_layer(&checkpoint.dictionary, layer.unwrap_or_default())? {
            Some(subject) => {
                let about = with_read_site(checkpoint.about);
                let otherwise = read_site(site, &about)?;
                (subject, about, otherwise)
            }
            None => {
                let checkpoint = checkpoint.into_rows(&options.sae)?;
                (Subject::Rows(Box::new(checkpoint.dictionary)), checkpoint.about, Site::ResidualPost)
            }
        };
    let setup = source.setup()?;
    let point = source.point_or(&setup, otherwise)?;
    let n = subject.encoder().n_latents();
    if let Some(bad) = options.latent.iter().find(|&&latent| latent as usize >= n) {
        anyhow::bail!("--latent must be below {n}, the number of latents of the dictionary, but is {bad}");
    }
    let leave_out = source.leave_out(&setup)?;
    check_origin(&about, &source.provenance(&setup, point, &leave_out), options.allow_mismatch)?;
    let sequences = source.sequences(&setup)?;
    let (given, needed) = (width_at(&setup.model, point)?, subject.width());
    ensure!(given == needed, "{point} has width {given}, but the dictionary takes rows of width {needed}");
    let rule = leave_out.at(&setup.model, &sequences, point)?;
    let stop = on_interrupt("ending");
    let find = |latents: &[u32], sequences: &[Sequence]| {
        let mut steps = Steps::new(session, "sequences", sequences.len() as u64);
        let mut going_on = |done: usize| {
            steps.at(done as u64, "");
            !stop.load(Ordering::SeqCst)
        };
        let wanted = TopOptions { latents, most: options.places, rule: rule.clone() };
        let found = top_firings(&setup.model, subject.encoder(), point, sequences, &wanted, &mut going_on);
        steps.finish();
        found
    };
    let chosen = if options.latent.is_empty() {
        let some = &sequences[..sequences.len().min(sequences.len() / 4 + 8)];
        choose(&find(&[], some)?.fired, options.count)
    } else {
        options.latent.clone()
    };
    ensure!(
        !chosen.is_empty(),
        "no latent fires on this text; choose a longer text, or name latents with --latent"
    );
    let TopFirings { tops, fired, rows } = find(&chosen, &sequences)?;
    ensure!(rows > 0, "every row of this text is left out; choose a longer text");
    let effects = effects(&setup.model, &subject, point, &chosen, &sequences[0])?;
    let corpus = Corpus { tokenizer: &setup.tokenizer, sequences: &sequences, rows };
    let latents: Vec<Latent> =
        tops.into_iter().zip(effects).map(|(top, effects)| Latent { top, effects }).collect();
    let texts: Vec<String> =
        latents.iter().map(|latent| text::latent(latent, &corpus)).collect::<anyhow::Result<_>>()?;
    if let Some(path) = &options.html {
        let usage = Usage::new(fired, rows)?;
        let shown: Vec<Value> =
            latents.iter().map(|latent| page::latent(latent, &corpus)).collect::<anyhow::Result<_>>()?;
        let data = json!({
            "title": options.sae.file_name().map(|name| name.to_string_lossy().into_owned()),
            "format": format.name(),
            "architecture": subject.architecture(),
            "point": point.to_string(),
            "n_latents": n,
            "rows": rows,
            "dead": usage.fired.iter().filter(|&&count| count == 0).count(),
            "densities": usage.histogram(40),
            "latents": shown,
        });
        page::write_page(path, options.force, &data)?;
    }
    // The text comes last, because a reader that has ended (`| head`) ends the program.
    texts.iter().for_each(|text| print!("{text}"));
    options.html.iter().for_each(|path| println!("{}: {} latents", path.display(), latents.len()));
    Ok(())
}
