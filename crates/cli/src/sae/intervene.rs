//! `collimate sae steer` and `collimate sae ablate`.

use super::dictionary::{Facts, check_origin, read};
use super::prompt::Prompt;
use crate::session::on_interrupt;
use anyhow::ensure;
use collimate_studies::latents::{Predictions, continuation, predictions, token_text};
use collimate_studies::splicing::{Change, ErrorTerm, Splice};
use collimate_transformer::Tokenizer;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// The options that both commands take.
#[derive(clap::Args)]
struct Shared {
    /// The dictionary, a file or folder of any readable format.
    #[arg(value_name = "SAE")]
    sae: PathBuf,
    #[command(flatten)]
    prompt: Prompt,
    #[command(flatten)]
    facts: Facts,
    /// The latents to change, separated by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    latent: Vec<u32>,
    /// The number of next tokens to show, of each model.
    #[arg(long, value_name = "N", default_value_t = 8)]
    count: usize,
    /// The number of tokens by which the text is continued, each the most probable one.
    #[arg(long = "continue", value_name = "N", default_value_t = 20)]
    length: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Change the model although the dictionary was trained on another model, layer, site or selection of rows.
    #[arg(long)]
    allow_mismatch: bool,
}

/// The options of `collimate sae steer`.
#[derive(clap::Args)]
#[command(after_help = "\
The rest of the activation, which the dictionary does not reconstruct, stays as it is. Position 0 is not changed.

Examples:
  collimate sae steer sae.safetensors --layer 9 --prompt \"The computer was\" --latent 12 --add 40
  collimate sae steer sae.safetensors --layer 9 --prompt \"The computer was\" --latent 12,80 --set 0.5 --json")]
pub(super) struct SteerOptions {
    #[command(flatten)]
    shared: Shared,
    /// The value to add to the code of each latent: a step along its decoder row.
    #[arg(
        long,
        value_name = "VALUE",
        allow_negative_numbers = true,
        required_unless_present = "set",
        conflicts_with = "set"
    )]
    add: Option<f32>,
    /// The value that the code of each latent is set to.
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
    set: Option<f32>,
}

/// The options of `collimate sae ablate`.
#[derive(clap::Args)]
#[command(after_help = "\
The rest of the activation, which the dictionary does not reconstruct, stays as it is. Position 0 is not changed.

Examples:
  collimate sae ablate sae.safetensors --layer 9 --prompt \"The computer was\" --latent 12
  collimate sae ablate sae.safetensors --layer 9 --prompt \"The computer was\" --latent 12,80 --continue 0")]
pub(super) struct AblateOptions {
    #[command(flatten)]
    shared: Shared,
}

impl SteerOptions {
    /// Returns true if the command prints JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.shared.json
    }
}

impl AblateOptions {
    /// Returns true if the command prints JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.shared.json
    }
}

/// Changes the codes of latents by a value, and prints the predictions of both models.
pub(super) fn steer(options: &SteerOptions) -> anyhow::Result<()> {
    let change = |latent| match (options.add, options.set) {
        (_, Some(value)) => Change::Set(latent, value),
        (added, None) => Change::Add(latent, added.unwrap_or(0.0)),
    };
    run(&options.shared, &change)
}

/// Sets latents to zero, and prints the predictions of both models.
pub(super) fn ablate(options: &AblateOptions) -> anyhow::Result<()> {
    run(&options.shared, &Change::Ablate)
}

fn run(options: &Shared, change: &dyn Fn(u32) -> Change) -> anyhow::Result<()> {
    options.prompt.check()?;
    ensure!(options.count > 0, "--count must be at least 1, but is 0");
    let checkpoint = read::<f32>(&options.sae, &options.facts.given())?;
    let dictionary = &checkpoint.dictionary;
    let place = options.prompt.open(dictionary.size().d_model)?;
    check_origin(&checkpoint.about, &place.provenance, options.allow_mismatch)?;
    let splice = || -> anyhow::Result<Splice<'_>> {
        let whole = Splice::dictionary(place.point, dictionary, ErrorTerm::Kept)?;
        Ok(options.latent.iter().try_fold(whole, |splice, &latent| splice.with(change(latent)))?)
    };
    let (model, tokenizer) = (&place.setup.model, &place.setup.tokenizer);
    let found = predictions(model, &place.tokens, &mut splice()?)?;
    let stop = on_interrupt("ending");
    let mut keep_going = || !stop.load(Ordering::SeqCst);
    let clean = continuation(model, &place.tokens, None, options.length, &mut keep_going)?;
    let changed = continuation(model, &place.tokens, Some(&mut splice()?), options.length, &mut keep_going)?;
    let texts = [tokenizer.decode(&clean)?, tokenizer.decode(&changed)?];
    match options.json {
        true => println!("{:#}", to_json(&found, options.count, tokenizer, &texts)?),
        false => print(&found, options.count, tokenizer, &texts)?,
    }
    Ok(())
}

/// Returns the numbers and the texts of the next tokens with their probabilities in both models.
fn rows(
    found: &Predictions,
    count: usize,
    tokenizer: &Tokenizer,
) -> anyhow::Result<Vec<(u32, String, [f64; 2])>> {
    let probability = |of: &[f32], token: u32| f64::from(of[token as usize]).exp();
    let row = |token| {
        Ok((
            token,
            token_text(tokenizer, token)?,
            [probability(&found.clean, token), probability(&found.changed, token)],
        ))
    };
    found.likeliest(count).into_iter().map(row).collect()
}

fn to_json(
    found: &Predictions,
    count: usize,
    tokenizer: &Tokenizer,
    [clean, changed]: &[String; 2],
) -> anyhow::Result<Value> {
    let next: Vec<Value> = rows(found, count, tokenizer)?
        .into_iter()
        .map(|(id, token, [clean, changed])| json!({ "id": id, "token": token, "clean": clean, "changed": changed }))
        .collect();
    Ok(json!({
        "divergence": found.divergence(), "next": next, "continuation": { "clean": clean, "changed": changed },
    }))
}

fn print(
    found: &Predictions,
    count: usize,
    tokenizer: &Tokenizer,
    [clean, changed]: &[String; 2],
) -> anyhow::Result<()> {
    println!("next token               unchanged    changed");
    for (_, token, [clean, changed]) in rows(found, count, tokenizer)? {
        println!("{:<22} {clean:>11.4} {changed:>10.4}", format!("{token:?}"));
    }
    println!("KL(unchanged ‖ changed) = {:.4} nats", found.divergence());
    if !clean.is_empty() {
        println!("unchanged  {clean:?}\nchanged    {changed:?}");
    }
    Ok(())
}
