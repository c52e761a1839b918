//! `collimate tms geometry`.

use super::arrangement::words;
use super::files::matrix;
use super::numbers::tolerance;
use anyhow::Context;
use collimate_superposition::{DirectionGeometry, rank, recognise_polytopes};
use std::path::PathBuf;

/// The options of `collimate tms geometry`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate tms geometry matrix.npy
  collimate tms geometry decoder.npy --rows --tolerance 0.1")]
pub(super) struct Options {
    /// The npy file of a matrix with one column for each feature.
    file: PathBuf,
    /// The largest deviation of a cosine from that of a named shape; at most 0.5.
    #[arg(long, default_value_t = 0.05, value_parser = tolerance, allow_negative_numbers = true)]
    tolerance: f64,
    /// Read one row for each feature, as in the decoder of a dictionary.
    #[arg(long)]
    rows: bool,
}

/// The largest number of features for which polytopes are searched.
const NAMED: usize = 512;

/// Prints the geometry of the features.
pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let matrix = matrix(&options.file)?;
    let directions = if options.rows { matrix.reversed_axes() } else { matrix };
    let all = DirectionGeometry::of(&directions)
        .with_context(|| format!("cannot measure {}", options.file.display()))?;
    let (d, n) = directions.dim();
    let mut shares = all.dimensionality.to_vec();
    shares.sort_by(f64::total_cmp);
    println!("{n} features in {d} dimensions");
    println!("sum of dimensionalities  {:.4}", shares.iter().sum::<f64>());
    println!("median dimensionality    {:.4}", shares[n / 2]);
    println!("largest |cosine|         {:.4}", all.coherence);
    // Each direction adds 1 with itself. Features of length 0 have no direction.
    let present = all.norms.iter().filter(|norm| **norm > 0.0).count() as f64;
    let least = present.max(present * present / d as f64);
    println!("frame potential          {:.4}  (at least {least:.4})", all.frame_potential);
    if n <= NAMED {
        println!("rank                     {}", rank(&directions)?);
        println!("arrangement              {}", words(&recognise_polytopes(&directions, options.tolerance)?));
    }
    Ok(())
}
