//! `collimate sae attribute`.

use super::dictionary::{Facts, check_origin, read};
use super::prompt::Prompt;
use crate::session::on_interrupt;
use crate::texts::named_token;
use anyhow::ensure;
use collimate_studies::latents::{Attribution, attribution_by_ablation, direct_attribution};
use serde_json::json;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// The options of `collimate sae attribute`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate sae attribute sae.safetensors --layer 9 --prompt \"The capital of France is\" --token \" Paris\" --against \" London\"
  collimate sae attribute sae.safetensors --layer 9 --prompt \"It was\" --token \" a\" --against \" the\" --by-ablation")]
pub(super) struct Options {
    /// The dictionary, a file or folder of any readable format.
    #[arg(value_name = "SAE")]
    sae: PathBuf,
    #[command(flatten)]
    prompt: Prompt,
    #[command(flatten)]
    facts: Facts,
    /// The next token whose logit is explained: its text, or its number.
    #[arg(long, value_name = "TOKEN")]
    token: String,
    /// The token whose logit is subtracted: its text, or its number.
    #[arg(long, value_name = "TOKEN")]
    against: String,
    /// Set the latents to zero one by one and run the later layers again, instead of the direct parts through the final norm.
    #[arg(long)]
    by_ablation: bool,
    /// The largest number of latents to show, and to ablate.
    #[arg(long, value_name = "N", default_value_t = 20)]
    count: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Attribute although the dictionary was trained on another model, layer, site or selection of rows.
    #[arg(long)]
    allow_mismatch: bool,
}

impl Options {
    /// Returns true if the command prints JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.json
    }
}

/// Prints the parts of a logit difference that the latents cause.
pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    options.prompt.check()?;
    let checkpoint = read::<f32>(&options.sae, &options.facts.given())?;
    let dictionary = &checkpoint.dictionary;
    let place = options.prompt.open(dictionary.size().d_model)?;
    check_origin(&checkpoint.about, &place.provenance, options.allow_mismatch)?;
    let tokenizer = &place.setup.tokenizer;
    let pair = [
        named_token(tokenizer, "--token", &options.token)?,
        named_token(tokenizer, "--against", &options.against)?,
    ];
    ensure!(
        pair[0] != pair[1],
        "--token and --against are the same token; the difference of their logits is 0"
    );
    let (model, tokens) = (&place.setup.model, &place.tokens);
    let mut found = if options.by_ablation {
        let stop = on_interrupt("ending");
        let mut keep_going = || !stop.load(Ordering::SeqCst);
        let most = options.count;
        attribution_by_ablation(model, dictionary, place.point, tokens, pair, most, &mut keep_going)?
    } else {
        direct_attribution(model, dictionary, place.point, tokens, pair)?
    };
    let hidden: f64 = found.shares.iter().skip(options.count).map(|share| share.share).sum();
    found.shares.truncate(options.count);
    match options.json {
        true => println!("{:#}", to_json(&found, hidden, pair)),
        false => print(&found, hidden, options),
    }
    Ok(())
}

fn to_json(found: &Attribution, hidden: f64, [token, against]: [u32; 2]) -> serde_json::Value {
    let shares: Vec<_> = found
        .shares
        .iter()
        .map(|s| json!({ "latent": s.latent, "code": s.code, "share": s.share }))
        .collect();
    json!({
        "token": token, "against": against, "difference": found.difference, "latents": shares, "other_latents": hidden, "bias": found.bias,
        "error": found.error, "rest": found.rest,
    })
}

fn print(found: &Attribution, hidden: f64, options: &Options) {
    println!("logit({:?}) − logit({:?}) = {:.4}", options.token, options.against, found.difference);
    println!("latent       code      part");
    for share in &found.shares {
        println!("{:>6} {:>10.4} {:>9.4}", share.latent, share.code, share.share);
    }
    for (name, part) in [
        ("other latents", hidden),
        ("decoder bias", found.bias),
        ("reconstruction error", found.error),
        ("everything else", found.rest),
    ] {
        println!("{name:<17} {part:>9.4}");
    }
}
