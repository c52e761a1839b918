//! `collimate tms phase`.

use super::files::Figures;
use super::numbers::{affordable, count};
use clap::builder::RangedU64ValueParser;
use collimate_stream::RngStream;
use collimate_superposition::figures::{phase_boundaries, phase_map, phase_regions};
use collimate_superposition::{
    PhaseDiagram, TrainedDiagramConfig, canonical_diagram, logarithmic_range, optimised_diagram,
    trained_diagram,
};
use ndarray::Array2;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// The options of `collimate tms phase`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate tms phase
  collimate tms phase --importances 50 --densities 50 --models 1 --output phases")]
pub(super) struct Options {
    /// The number of importances, from 0.1 to 10.
    #[arg(long, value_name = "N", default_value_t = 21, value_parser = count(2000))]
    importances: usize,
    /// The number of densities, from 0.01 to 1.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = count(2000))]
    densities: usize,
    /// The number of random starts of each search for the optimum, in addition to a few natural candidates.
    #[arg(long, value_name = "N", default_value_t = 4)]
    starts: u64,
    /// The number of trained models of each cell; 0 leaves training out.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = RangedU64ValueParser::<usize>::new().range(..=10_000))]
    models: usize,
    /// The seed of the starts and the data.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The folder for figures and for `phase.json` (losses, sharing and the named region of every cell). Existing files are replaced with --force only.
    #[arg(long, alias = "out", value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Replace existing files.
    #[arg(long, requires = "output")]
    force: bool,
}

/// Prints the boundaries of the phases, and writes the diagrams.
pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    affordable("cells × models", &[options.importances, options.densities, options.models])?;
    let mut names = vec!["regions", "boundaries", "canonical", "optimum"];
    names.extend((options.models > 0).then_some("trained"));
    let folder = Figures::check(options.output.as_deref(), options.force, &names, Some("phase.json"))?;
    let stream = RngStream::new(options.seed, 0);
    let importances = logarithmic_range(0.1, 10.0, options.importances)?;
    let densities = logarithmic_range(0.01, 1.0, options.densities)?;
    let mut diagrams = vec![
        ("canonical", canonical_diagram(&importances, &densities)?),
        ("optimum", optimised_diagram(&importances, &densities, options.starts, &stream.child(0))?),
    ];
    if options.models > 0 {
        let config = TrainedDiagramConfig { models: options.models, ..TrainedDiagramConfig::default() };
        diagrams.push(("trained", trained_diagram(&importances, &densities, config, &stream.child(1))?));
    }
    if let Some(folder) = folder {
        let pairs: Vec<_> = diagrams.iter().map(|(name, diagram)| (*name, diagram)).collect();
        let mut drawn = vec![("regions", phase_regions(&pairs)), ("boundaries", phase_boundaries(&pairs))];
        drawn.extend(diagrams.iter().map(|(name, diagram)| (*name, phase_map(name, diagram))));
        folder.write(&drawn, Some(("phase.json", to_json(&pairs)?)))?;
    }
    print!("importance");
    diagrams.iter().for_each(|(name, _)| print!("  {name:>10}"));
    println!("   (largest density at which the features share the dimension)");
    for &importance in &importances {
        print!("{importance:10.3}");
        for (_, diagram) in &diagrams {
            match diagram.boundary().iter().find(|(r, _)| *r == importance) {
                Some((_, density)) => print!("  {density:10.3}"),
                None => print!("  {:>10}", "none"),
            }
        }
        println!();
    }
    Ok(())
}

/// Returns all diagrams as numbers and named regions. Each table has a list for each density, with an entry for each importance.
fn to_json(diagrams: &[(&str, &PhaseDiagram)]) -> anyhow::Result<String> {
    fn table<T: Clone>(cells: &Array2<T>, value: impl Fn(T) -> Value) -> Value {
        cells.rows().into_iter().map(|row| row.iter().cloned().map(&value).collect::<Value>()).collect()
    }
    let one = |diagram: &PhaseDiagram| {
        json!({
            "region": table(&diagram.region, |region| region.name().into()),
            "sharing": table(&diagram.sharing, Value::from),
            "loss": table(&diagram.loss, Value::from),
            "boundary": diagram.boundary(),
        })
    };
    let named: Map<String, Value> =
        diagrams.iter().map(|(name, diagram)| ((*name).to_owned(), one(diagram))).collect();
    let axes = diagrams[0].1;
    let all = json!({ "importances": axes.importances, "densities": axes.densities, "diagrams": named });
    Ok(serde_json::to_string_pretty(&all)?)
}
