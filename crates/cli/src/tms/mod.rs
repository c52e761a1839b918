//! `collimate tms`: toy models of superposition.

mod diagnose;
mod geometry;
mod phase;
mod staircase;
mod train;

use anyhow::{Context, bail};
use clap::builder::RangedU64ValueParser;
use collimate_claims::Figure;
use collimate_tensor::files::{read_npy, write_atomically};
use ndarray::{Array2, Ix2};
use std::io::Write;
use std::path::Path;

/// The options of `collimate tms`.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Train many toy models at once, each on features of another sparsity; print their geometry.
    Train(train::Options),
    /// Phase diagrams of two features in one dimension: by candidates, at the optimum, as trained.
    Phase(phase::Options),
    /// Train on one active feature in two dimensions; print at which exact levels the loss comes to rest, each a polygon.
    Staircase(staircase::Options),
    /// Say what arrangement the columns of a matrix in an npy file form, with every reading that fits.
    Geometry(geometry::Options),
    /// Say which explanations of polysemantic neurons activations and labels allow, with the evidence; or that they cannot tell.
    Diagnose(diagnose::Options),
}

/// Runs one of them.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match &options.what {
        What::Train(options) => train::run(options),
        What::Phase(options) => phase::run(options),
        What::Staircase(options) => staircase::run(options),
        What::Geometry(options) => geometry::run(options),
        What::Diagnose(options) => diagnose::run(options),
    }
}

/// A count of at least one and not absurdly many.
fn count(most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=most)
}

/// More numbers than this (1.6 GB as `f64`) are refused before anything is allocated.
const NUMBERS: usize = 200_000_000;

/// Refuses what would take more memory than any machine this is meant for has.
fn affordable(what: &str, sizes: &[usize]) -> anyhow::Result<()> {
    let numbers = sizes.iter().fold(1, |product: usize, &size| product.saturating_mul(size));
    if numbers > NUMBERS {
        let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
        bail!("{what}: {} numbers are too many to hold here; the limit is 2·10⁸", sizes.join(" × "));
    }
    Ok(())
}

/// A matrix of finite or other numbers from an npy file.
fn matrix(file: &Path) -> anyhow::Result<Array2<f64>> {
    let array = read_npy(file)?.to_f64();
    let shape = array.shape().to_vec();
    match array.into_dimensionality::<Ix2>() {
        Ok(matrix) if matrix.is_empty() => {
            bail!("{} holds no number: its shape is {shape:?}", file.display())
        }
        Ok(matrix) => Ok(matrix),
        Err(_) => bail!("{} has shape {shape:?}; a matrix, with two axes, is needed", file.display()),
    }
}

/// A number above 0.
fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x > 0.0 && x.is_finite() => Ok(x),
        _ => Err("a positive number is needed".to_owned()),
    }
}

/// A number above 0 and at most 1.
fn probability(text: &str) -> Result<f64, String> {
    positive(text)
        .ok()
        .filter(|&x| x <= 1.0)
        .ok_or_else(|| "a number above 0 and at most 1 is needed".to_owned())
}

/// Makes the folder for figures, before any work is done that they would show.
fn make_folder(folder: Option<&Path>) -> anyhow::Result<()> {
    folder.map_or(Ok(()), |folder| {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))
    })
}

/// Writes figures into a folder that is there.
fn write_figures(folder: &Path, figures: &[(&str, Figure)]) -> anyhow::Result<()> {
    for (name, figure) in figures {
        let path = folder.join(format!("{name}.svg"));
        write_atomically(&path, |file| file.write_all(figure.svg.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
