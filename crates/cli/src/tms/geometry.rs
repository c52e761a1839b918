//! `collimate tms geometry`.

use anyhow::Context;
use collimate_superposition::geometry::rank;
use collimate_superposition::large::LargeGeometry;
use collimate_superposition::recognition::{Recognition, recognise};
use std::path::PathBuf;

/// The options of `collimate tms geometry`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// A matrix, one column a feature.
    file: PathBuf,
    /// How far a cosine may be off; at most 0.5.
    #[arg(long, default_value_t = 0.05, value_parser = tolerance, allow_negative_numbers = true)]
    tolerance: f64,
    /// One row a feature, as in decoders of dictionaries.
    #[arg(long)]
    rows: bool,
}

/// Beyond this many features no polytopes are looked for.
const NAMED: usize = 512;

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let matrix = super::matrix(&options.file)?;
    let directions = if options.rows { matrix } else { matrix.reversed_axes() };
    let all = LargeGeometry::of(&directions)
        .with_context(|| format!("cannot measure {}", options.file.display()))?;
    let (n, d) = directions.dim();
    let mut shares = all.dimensionality.to_vec();
    shares.sort_by(f64::total_cmp);
    println!("{n} features in {d} dimensions");
    println!("sum of dimensionalities  {:.4}", shares.iter().sum::<f64>());
    println!("median dimensionality    {:.4}", shares[n / 2]);
    println!("largest |cosine|         {:.4}", all.coherence);
    // Each direction with itself gives 1; those of length 0 have none.
    let present = all.norms.iter().filter(|norm| **norm > 0.0).count() as f64;
    let least = present.max(present * present / d as f64);
    println!("frame potential          {:.4}  (at least {least:.4})", all.frame_potential);
    if n <= NAMED {
        let columns = directions.reversed_axes();
        println!("rank                     {}", rank(&columns)?);
        println!("arrangement              {}", words(&recognise(&columns, options.tolerance)?));
    }
    Ok(())
}

/// A number above 0 and at most 1/2.
fn tolerance(text: &str) -> Result<f64, String> {
    super::positive(text)
        .ok()
        .filter(|&x| x <= 0.5)
        .ok_or_else(|| "a number above 0 and at most 0.5 is needed".to_owned())
}

/// An arrangement in one line: factors joined by `+`, alternatives by `or`, names of several factors in brackets.
pub(super) fn words(found: &Recognition) -> String {
    let factor = |f: &collimate_superposition::recognition::Factor| {
        let names: Vec<String> = f.candidates.iter().map(|(shape, _)| shape.to_string()).collect();
        match names.len() {
            0 => format!("{} features in {} dimensions", f.features.len(), f.dimensions),
            _ => names.join(" or "),
        }
    };
    let mut text = match found.factors.is_empty() {
        true => "none".to_owned(),
        false => found.factors.iter().map(factor).collect::<Vec<_>>().join(" + "),
    };
    for (shape, factors) in found.merged_readings() {
        text += &format!(" [{} of these: {shape}]", factors.len());
    }
    if !found.absent.is_empty() {
        text += &format!("; {} absent", found.absent.len());
    }
    text
}
