//! `collimate tms phase`.

use collimate_stream::Stream;
use collimate_superposition::figures::{phase_boundaries, phase_map};
use collimate_superposition::phase::{TrainedConfig, canonical, logarithmic, optimised, trained};
use std::path::PathBuf;

/// The options of `collimate tms phase`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// How many importances, from 0.1 to 10.
    #[arg(long, default_value_t = 21, value_parser = super::count())]
    importances: usize,
    /// How many densities, from 0.01 to 1.
    #[arg(long, default_value_t = 40, value_parser = super::count())]
    densities: usize,
    /// Random starts of each search for the optimum, beside the natural ones.
    #[arg(long, default_value_t = 4)]
    starts: u64,
    /// Trained models of each cell; 0 leaves training out.
    #[arg(long, default_value_t = 4)]
    models: usize,
    /// The seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A folder for figures.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    super::make_folder(options.out.as_deref())?;
    let stream = Stream::new(options.seed, 0);
    let importances = logarithmic(0.1, 10.0, options.importances)?;
    let densities = logarithmic(0.01, 1.0, options.densities)?;
    let mut diagrams = vec![
        ("canonical", canonical(&importances, &densities)?),
        ("optimum", optimised(&importances, &densities, options.starts, &stream.child(0))?),
    ];
    if options.models > 0 {
        let config = TrainedConfig { models: options.models, ..TrainedConfig::default() };
        diagrams.push(("trained", trained(&importances, &densities, config, &stream.child(1))?));
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
    if let Some(folder) = &options.out {
        let pairs: Vec<_> = diagrams.iter().map(|(name, diagram)| (*name, diagram)).collect();
        let mut drawn = vec![("boundaries", phase_boundaries(&pairs))];
        drawn.extend(diagrams.iter().map(|(name, diagram)| (*name, phase_map(name, diagram))));
        super::write_figures(folder, &drawn)?;
    }
    Ok(())
}
