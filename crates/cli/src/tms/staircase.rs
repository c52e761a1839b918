//! `collimate tms staircase`.

use super::files::Figures;
use super::numbers::{count, positive};
use clap::builder::RangedU64ValueParser;
use collimate_slt::toy_model_polygon;
use collimate_stream::RngStream;
use collimate_superposition::{
    OneActive, StaircaseLevel, figures, gradient_descent, nearest_level, staircase_levels, train_instances,
};
use std::path::PathBuf;

/// The largest distance between a loss and the level at which it rests.
const TOLERANCE: f64 = 2e-4;

/// The options of `collimate tms staircase`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate tms staircase
  collimate tms staircase --features 5 --runs 100 --start 0.3 --output staircase")]
pub(super) struct Options {
    /// The number of features. Exactly one is on in each sample; the model has two dimensions.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = RangedU64ValueParser::<usize>::new().range(3..=8))]
    features: usize,
    /// The number of runs.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = count(100_000))]
    runs: usize,
    /// The number of steps of plain gradient descent on the exact loss.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// The learning rate.
    #[arg(long, default_value_t = 0.2, value_parser = positive, allow_negative_numbers = true)]
    rate: f64,
    /// The standard deviation of the starting weights. That of the starting biases is half as large.
    #[arg(long, default_value_t = 1.0, value_parser = positive, allow_negative_numbers = true)]
    start: f64,
    /// The seed of the starts.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The folder for figures. Existing files are replaced with --force only.
    #[arg(long, alias = "out", value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Replace existing files.
    #[arg(long, requires = "output")]
    force: bool,
}

/// Prints the levels and the number of runs that end at each.
pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let o = options;
    let folder = Figures::check(o.output.as_deref(), o.force, &["staircase", "endings"], None)?;
    let model = OneActive::new(2, o.features)?;
    let levels = staircase_levels(o.features)?;
    let starts = RngStream::named(o.seed, "staircase");
    let descents = train_instances(o.runs, &starts, |_, stream| {
        let start = model.draw(o.start, 0.5 * o.start, stream);
        let mut trace: Vec<(u64, f64)> = Vec::new();
        let mut last = (0, f64::NAN);
        // Kept steps are 2 % apart, so that they are evenly spaced on a logarithmic axis.
        gradient_descent(&model, &start, o.rate, o.steps, |step, loss| {
            last = (step, loss);
            if trace.last().is_none_or(|&(kept, _)| step as f64 >= 1.02 * kept as f64 + 0.5) {
                trace.push(last);
            }
        })?;
        if trace.last() != Some(&last) {
            trace.push(last);
        }
        Ok((trace, last.1))
    })?;
    let (traces, ends): (Vec<_>, Vec<f64>) = descents.into_iter().unzip();
    let at: Vec<Option<StaircaseLevel>> =
        ends.iter().map(|&loss| nearest_level(&levels, loss, TOLERANCE)).collect();
    if let Some(folder) = folder {
        // Only levels at which a run rests are named.
        let reached = |level: &&StaircaseLevel| at.iter().flatten().any(|other| other == *level);
        let named: Vec<(f64, String)> =
            levels.iter().filter(reached).map(|level| (level.loss, level.name())).collect();
        let short: Vec<(f64, &str)> = named.iter().map(|(loss, name)| (*loss, name.as_str())).collect();
        let drawn = [
            ("staircase", figures::staircase(&traces, &named)),
            ("endings", figures::loss_staircase(&ends, &short)),
        ];
        folder.write(&drawn, None)?;
    }
    println!("level                loss  lambda  runs that end there");
    for level in &levels {
        let dead = o.features - level.corners - level.on;
        let lambda = toy_model_polygon(level.corners, o.features, dead).map(|c| c.lambda.to_string());
        let runs = at.iter().flatten().filter(|other| *other == level).count();
        println!(
            "{:14}  {:9.6}  {:>6}  {runs:19}",
            level.name(),
            level.loss,
            lambda.unwrap_or_else(|_| "–".to_owned())
        );
    }
    println!("{:32}  {:19}", "no level", at.iter().filter(|level| level.is_none()).count());
    Ok(())
}
