//! `collimate tms diagnose`.

use collimate_superposition::diagnosis::diagnose;
use std::path::PathBuf;

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
    let activations = super::matrix(&options.activations)?;
    let labels = options.labels.as_deref().map(super::matrix).transpose()?;
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
