//! `collimate tms diagnose`.

use super::files::matrix;
use collimate_superposition::diagnose;
use std::path::PathBuf;

/// The options of `collimate tms diagnose`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate tms diagnose activations.npy --labels features.npy")]
pub(super) struct Options {
    /// The npy file of the activations, one row for each state and one column for each neuron.
    activations: PathBuf,
    /// The npy file of the true features, one row for each state. Without labels no explanation can be excluded.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

/// Prints the explanations that the data allow, and the evidence.
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
        println!("no labels were given; give the features of each state with --labels FILE");
    }
    Ok(())
}
