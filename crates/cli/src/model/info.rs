//! `collimate model info`.

use super::open::open;
use collimate_transformer::{Description, HookPoint, Model, Site};
use serde_json::json;
use std::path::PathBuf;

/// The options of `collimate model info`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate model info some-folder
  collimate model info model.gguf --json")]
pub(crate) struct Options {
    /// The model, a folder with config.json and safetensors files, or a GGUF file.
    #[arg(value_name = "MODEL")]
    place: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Prints the sizes and the hook points of a model.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let model: Model<f32> = open(&options.place, None, true)?;
    let d = model.description();
    let points = Site::every().filter(|site| {
        let layers = if site.is_of_the_model() { 0..1 } else { 0..d.layers.len() };
        layers.into_iter().any(|layer| model.has_point(HookPoint { layer, site: *site }))
    });
    if options.json {
        let points: Vec<_> = points
            .map(|site| {
                let point = site.of_layer(0);
                json!({
                    "name": pattern(&point.name(), site),
                    "transformer_lens": point.transformer_lens_name().map(|name| name.replacen(".0", ".LAYER", 1)),
                    "axes": site.axes(),
                    "shape": shape(d, site),
                })
            })
            .collect();
        let object = json!({
            "architecture": d.name,
            "parameters": model.n_parameters(),
            "vocabulary": d.vocabulary,
            "width": d.width,
            "context": if d.context == usize::MAX { None } else { Some(d.context) },
            "layers": d.layers.len(),
            "skipped_tensors": model.skipped(),
            "hook_points": points,
        });
        println!("{object}");
        return Ok(());
    }
    println!("{}: {} parameters", d.name, model.n_parameters());
    println!("{} layers of width {}, {} words", d.layers.len(), d.width, d.vocabulary);
    if !model.skipped().is_empty() {
        println!("tensors that hold no parameter: {}", model.skipped().join(", "));
    }
    println!("\n{:<26} {:<14} {:<24} also known as", "hook point", "axes", "shape");
    for site in points {
        let point = site.of_layer(0);
        let shape = shape(d, site).join(", ");
        let alias = point.transformer_lens_name().unwrap_or_default().replacen("blocks.0", "blocks.LAYER", 1);
        println!(
            "{:<26} {:<14} {:<24} {alias}",
            pattern(&point.name(), site),
            site.axes(),
            format!("[{shape}]")
        );
    }
    Ok(())
}

fn pattern(name: &str, site: Site) -> String {
    if site.is_of_the_model() { name.into() } else { name.replace(".0", ".LAYER") }
}

/// Returns the sizes of the axes of a site; b and t depend on the input.
fn shape(d: &Description, site: Site) -> Vec<String> {
    let letters = site.axes().trim_matches(['[', ']']).split(", ");
    let size = |letter: &str| d.axis(site.of_layer(0), letter).map_or(letter.to_owned(), |n| n.to_string());
    letters.map(size).collect()
}
