//! `collimate tms diagnose`.

use anyhow::Context;
use collimate_superposition::diagnosis::diagnose;
use collimate_tensor::files::read_npy;
use ndarray::{Array2, Ix2};
use std::path::{Path, PathBuf};

/// The options of `collimate tms diagnose`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// A matrix of activations, states × neurons, as npy.
    activations: PathBuf,
    /// The true features of each state, states × features, as npy. Without labels nothing can be told.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let activations = matrix(&options.activations)?;
    let labels = options.labels.as_deref().map(matrix).transpose()?;
    let found = diagnose(&activations, labels.as_deref())?;
    match found.answer() {
        Some(explanation) => println!("explanation  {explanation:?}"),
        None => {
            let open: Vec<String> = found.consistent.iter().map(|e| format!("{e:?}")).collect();
            println!("explanation  cannot be told; consistent with the data: {}", open.join(", "));
        }
    }
    for evidence in &found.evidence {
        println!("{:50} {:>10.4}   (bound {})", evidence.quantity, evidence.value, evidence.bound);
    }
    if labels.is_none() {
        println!("no labels were given: --labels FILE with the features of each state");
    }
    Ok(())
}

fn matrix(file: &Path) -> anyhow::Result<Array2<f64>> {
    let array = read_npy(file)?.to_f64();
    let shape = array.shape().to_vec();
    array
        .into_dimensionality::<Ix2>()
        .with_context(|| format!("{} has shape {shape:?}; a matrix is needed", file.display()))
}
