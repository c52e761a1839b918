//! `collimate sae info`.

use super::dictionary::Facts;
use collimate_sae::formats::{self, AnyCheckpoint, Dictionary, RowNormalisation, Target};
use collimate_sae::{
    AbsTopK, AnyDictionary, GroupMax, InputBias, MatchingPursuit, Matryoshka, Size, ThresholdParameter, TopK,
    Variant, decoder_geometry,
};
use std::path::PathBuf;

/// The options of `collimate sae info`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate sae info sae.safetensors
  collimate sae info gemma-scope/params.npz")]
pub(crate) struct Options {
    /// The dictionary, a file or folder of any readable format.
    #[arg(value_name = "SAE")]
    sae: PathBuf,
    #[command(flatten)]
    facts: Facts,
}

/// Prints the content of a file and the decisions of its reader.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let checkpoint = formats::read_any_given::<f32>(&options.sae, &options.facts.given())?;
    if !matches!(checkpoint.dictionary, AnyDictionary::Rows(_)) {
        print_arranged(&checkpoint)?;
        return Ok(());
    }
    let checkpoint = checkpoint.into_rows(&options.sae)?;
    let dictionary = &checkpoint.dictionary;
    let Size { d_model, n_latents } = dictionary.size();
    let kind = match dictionary.target() {
        Target::Input => "autoencoder",
        Target::Other => "transcoder",
    };
    println!("format        {}", checkpoint.format);
    println!("architecture  {} {kind}", dictionary.variant().name());
    println!("latents       {n_latents}");
    println!("width         {d_model} in, {} out", dictionary.d_out());
    match dictionary.variant() {
        Variant::TopK(TopK { k, .. })
        | Variant::GroupMax(GroupMax { k, .. })
        | Variant::AbsTopK(AbsTopK { k, .. })
        | Variant::MatchingPursuit(MatchingPursuit { k, .. }) => println!("k             {k}"),
        Variant::BatchTopK(batch) | Variant::Matryoshka(Matryoshka { batch, .. }) => {
            println!("k             {} on average over a batch", batch.k);
        }
        Variant::JumpRelu(jump) => {
            let stored = &dictionary.weights().per_latent[1];
            let threshold = match jump.threshold {
                ThresholdParameter::Raw => stored.clone(),
                ThresholdParameter::Log => stored.mapv(f32::exp),
            };
            let least = threshold.iter().copied().fold(f32::INFINITY, f32::min);
            let most = threshold.iter().copied().fold(0.0, f32::max);
            println!("thresholds    {least:.4} to {most:.4}");
        }
        _ => {}
    }
    if let Some(threshold) = dictionary.variant().threshold().or(checkpoint.threshold_of_batches) {
        println!("threshold     {threshold}");
    }
    let input = match dictionary.input_bias() {
        InputBias::Subtracted => "x − b_dec",
        InputBias::NotSubtracted => "x",
    };
    println!("encoder input {input}");
    match dictionary.row_normalisation() {
        RowNormalisation::None => {}
        RowNormalisation::ConstantNorm => println!("rows          scaled to length √d"),
        RowNormalisation::LayerNorm => println!("rows          scaled to mean 0 and deviation 1"),
    }
    if dictionary.skip().is_some() {
        println!("skip          yes");
    }
    checkpoint.about.iter().for_each(|(key, value)| println!("{key:<13} {value}"));
    checkpoint.notes.iter().for_each(|note| println!("note          {note}"));
    if dictionary.d_out() == d_model && n_latents <= 8192 {
        let wide = |m: &ndarray::Array2<f32>| m.mapv(f64::from);
        decoder_geometry(&wide(dictionary.encoder()), &wide(dictionary.decoder()))
            .iter()
            .for_each(|measurement| println!("{measurement}"));
    }
    layers(dictionary)?;
    println!("fingerprint   {}", dictionary.fingerprint());
    Ok(())
}

/// Prints the content of a dictionary whose input has further axes than rows.
fn print_arranged(checkpoint: &AnyCheckpoint<f32>) -> anyhow::Result<()> {
    let dictionary = &checkpoint.dictionary;
    let arrangement = dictionary.arrangement();
    println!("format        {}", checkpoint.format);
    println!("architecture  {}", dictionary.name());
    println!("layers        {}", arrangement.layers());
    println!("latents       {}", dictionary.n_latents());
    println!("width         {} in, {} out", dictionary.d_in(), dictionary.d_out());
    println!("input         {arrangement}");
    dictionary.properties().iter().for_each(|(name, value)| println!("{name:<13} {value}"));
    checkpoint.about.iter().for_each(|(key, value)| println!("{key:<13} {value}"));
    checkpoint.notes.iter().for_each(|note| println!("note          {note}"));
    if let AnyDictionary::Crosscoder(crosscoder) = dictionary {
        shares(crosscoder.dictionary(), crosscoder.layers())?;
    }
    println!("fingerprint   {}", dictionary.fingerprint());
    Ok(())
}

/// Prints how the latents of a crosscoder divide between each two of its layers.
fn layers(dictionary: &Dictionary<f32>) -> anyhow::Result<()> {
    let Variant::Crosscoder(crosscoder) = dictionary.variant() else { return Ok(()) };
    println!("layers        {}", crosscoder.layers);
    shares(dictionary, crosscoder.layers)
}

/// Prints the number of latents of a crosscoder in one of two layers, and in both, for each two layers.
fn shares(dictionary: &Dictionary<f32>, layers: usize) -> anyhow::Result<()> {
    for (a, b) in (0..layers).flat_map(|b| (0..b).map(move |a| (a, b))) {
        let shares = dictionary.relative_decoder_norms(a, b)?;
        let within = |from: f64, to: f64| shares.iter().filter(|&&share| share >= from && share < to).count();
        println!(
            "layers {a}, {b}   {} latents in {a} alone (relative decoder norm below 0.1), {} in both (0.4 to 0.6), {} in {b} alone \
             (above 0.9)",
            within(f64::NEG_INFINITY, 0.1),
            within(0.4, 0.6),
            shares.iter().filter(|&&share| share > 0.9).count()
        );
    }
    Ok(())
}
