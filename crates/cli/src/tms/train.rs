//! `collimate tms train`.

use super::arrangement::words;
use super::files::Figures;
use super::numbers::{affordable, count, positive, probability};
use anyhow::bail;
use collimate_grad::{Decay, ScheduleConfig, WarmUp};
use collimate_stream::RngStream;
use collimate_superposition::{
    Ensemble, EnsembleConfig, FiniteData, RowNorm, Source, SparseFeatures, dimensions_per_feature,
    feature_dimensionality, feature_norms, figures, logarithmic_range, recognise_polytopes,
};
use std::path::PathBuf;
use std::sync::Arc;

/// The largest deviation of a cosine from that of a named polytope.
const TOLERANCE: f64 = 0.1;

/// The options of `collimate tms train`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate tms train
  collimate tms train --features 5 --models 4 --sparsest 0.02 --output figures
  collimate tms train --models 1 --points 6 --output memorisation")]
pub(super) struct Options {
    /// The number of features of each model.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = count(10_000_000))]
    features: usize,
    /// The number of hidden dimensions of each model.
    #[arg(long, value_name = "M", default_value_t = 2, value_parser = count(10_000_000))]
    hidden: usize,
    /// The number of models. The probability that a feature is on falls from 1 for the first to --sparsest for the last, evenly in the
    /// logarithm.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = count(1_000_000))]
    models: usize,
    /// The lowest probability that a feature is on.
    #[arg(long, value_name = "P", default_value_t = 0.05, value_parser = probability, allow_negative_numbers = true)]
    sparsest: f64,
    /// Train each model on T fixed points of unit length, drawn once, instead of on new samples at every step.
    #[arg(long, value_name = "T", value_parser = count(10_000_000))]
    points: Option<usize>,
    /// The ratio of each feature's importance to that of the feature before it.
    #[arg(long, default_value_t = 1.0, value_name = "DECAY", value_parser = positive, allow_negative_numbers = true)]
    importance: f64,
    /// The number of steps of Adam.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// The number of samples in a step.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = count(100_000_000))]
    batch: usize,
    /// The learning rate at the start. It falls to zero along half a cosine.
    #[arg(long, default_value_t = 3e-3, value_parser = positive, allow_negative_numbers = true)]
    rate: f64,
    /// The seed of the starts and the data.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The folder for figures. Existing files are replaced with --force only.
    #[arg(long, alias = "out", value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Replace existing files.
    #[arg(long, requires = "output")]
    force: bool,
}

/// The number of times in the run at which the star of the sparsest model is kept.
const SNAPSHOTS: u64 = 5;

/// Trains the models, prints their geometry and writes the figures.
pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let o = options;
    affordable("models × features × (hidden dimensions + 1)", &[o.models, o.features, o.hidden + 1])?;
    affordable("--batch × features", &[o.batch, o.features.max(o.hidden)])?;
    affordable("models × points × features", &[o.models, o.points.unwrap_or(0), o.features])?;
    let importance: Vec<f64> = (0..o.features).map(|i| o.importance.powi(i as i32)).collect();
    if let Some(i) = importance.iter().position(|x| !x.is_finite()) {
        bail!(
            "--importance {}: feature {i} would have an importance of {}^{i}, which is not finite; choose a ratio nearer to 1",
            o.importance,
            o.importance
        );
    }
    let mut names = vec!["gram", "dimensionality"];
    if o.hidden == 2 {
        names.extend(["star", "star-over-training"]);
        names.extend(o.points.map(|_| "memorisation"));
    }
    let folder = Figures::check(o.output.as_deref(), o.force, &names, None)?;
    let config = EnsembleConfig {
        importance,
        batch: o.batch,
        schedule: ScheduleConfig {
            peak: o.rate,
            total_steps: o.steps,
            warm_up: WarmUp::None,
            decay: Decay::Cosine { to: 0.0 },
        },
        ..EnsembleConfig::new(o.features, o.hidden)
    };
    let mut ensemble = Ensemble::new(config, &RngStream::new(o.seed, 0))?;
    let densities = logarithmic_range(1.0, o.sparsest, o.models)?;
    let mut seen = None;
    for (number, &density) in densities.iter().enumerate() {
        let features = SparseFeatures::uniform(o.features, density)?;
        let source: Arc<dyn Source> = match o.points {
            None => Arc::new(features),
            Some(points) => {
                let mut stream = RngStream::named(o.seed, "points").child(number as u64);
                let data = FiniteData::draw(&features, points, RowNorm::Unit, &mut stream)?;
                seen = Some(data.points().to_owned());
                Arc::new(data)
            }
        };
        ensemble.add(source)?;
    }
    let mut snapshots = Vec::new();
    let mut losses = Vec::new();
    for part in 0..SNAPSHOTS {
        let steps = o.steps * (part + 1) / SNAPSHOTS - o.steps * part / SNAPSHOTS;
        losses = ensemble.run(steps)?;
        snapshots.push((o.steps * (part + 1) / SNAPSHOTS, ensemble.model(o.models - 1).w));
    }
    let models: Vec<_> = densities.iter().copied().zip(ensemble.models()).collect();
    if let Some(folder) = folder {
        let sparsest = &models[models.len() - 1].1.w;
        let mut drawn = vec![
            ("gram", figures::gram(sparsest)),
            ("dimensionality", figures::dimensionality_strip(&models)?),
        ];
        if o.hidden == 2 {
            drawn.push(("star", figures::star(sparsest)));
            drawn.push(("star-over-training", figures::star_over_training(&snapshots)));
            if let Some(points) = &seen {
                drawn.push(("memorisation", figures::memorisation(sparsest, points)));
            }
        }
        folder.write(&drawn, None)?;
    }
    println!("on-probability      loss  represented   sum of D      D*  arrangement");
    for ((density, model), loss) in models.iter().zip(&losses) {
        let represented = feature_norms(&model.w).iter().filter(|&&norm| norm > 0.5).count();
        let sum = feature_dimensionality(&model.w)?.sum();
        let each = dimensions_per_feature(&model.w)?;
        println!(
            "{}  {}  {represented:11}  {sum:9.3}  {each:6.3}  {}",
            if *density < 1e-3 { format!("{density:14.1e}") } else { format!("{density:14.4}") },
            if *loss < 100.0 { format!("{loss:8.5}") } else { format!("{loss:8.1e}") },
            words(&recognise_polytopes(&model.w, TOLERANCE)?)
        );
    }
    Ok(())
}
