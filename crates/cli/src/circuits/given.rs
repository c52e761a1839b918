//! The parts that these commands share: a model, prompts as token ids, a metric, and the frame of a run.

use super::tensors::Tensors;
use crate::model::{Precision, open};
use crate::session::check_file;
use anyhow::Context;
use collimate_circuits::{Answer, Pair};
use collimate_output::check_inputs;
use collimate_transformer::Model;
use std::path::{Path, PathBuf};

/// The model, its precision, and the file for the results.
#[derive(clap::Args)]
pub(crate) struct Place {
    /// The model, a folder with config.json and safetensors files, or a GGUF file.
    #[arg(value_name = "MODEL", required = true)]
    place: Option<PathBuf>,
    /// The precision of the computation.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// The .safetensors file to write. It must not exist, unless --force is given.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace an existing output.
    #[arg(long)]
    force: bool,
}

impl Place {
    /// Returns the model. It is missing only where a command has subcommands and none was given a model.
    fn model(&self) -> anyhow::Result<&Path> {
        self.place.as_deref().context("a model is needed: a folder, or a GGUF file")
    }

    /// Opens the model.
    pub(super) fn open<F: collimate_transformer::Precision>(&self) -> anyhow::Result<Model<F>> {
        open(self.model()?, None, false)
    }

    /// Checks that the output can be written and is none of the inputs.
    fn check(&self, others: &[&Path]) -> anyhow::Result<()> {
        let Some(output) = &self.output else { return Ok(()) };
        check_inputs(output, [self.model()?].into_iter().chain(others.iter().copied()))?;
        check_file(output, self.force)
    }
}

/// The precisions of these commands, in models and in dictionaries.
pub(super) trait Float: collimate_transformer::Precision + collimate_sae::Precision {}

impl<F: collimate_transformer::Precision + collimate_sae::Precision> Float for F {}

/// A command that opens a model, prints, and may write tensors.
pub(super) trait Experiment {
    /// Returns the model, its precision and the output.
    fn place(&self) -> &Place;

    /// Returns the inputs beside the model.
    fn inputs(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// Computes and prints the results, and returns the tensors of the output.
    fn compute<F: Float>(&self) -> anyhow::Result<Tensors>;
}

/// Tries the output, computes in the chosen precision, and writes the tensors.
pub(super) fn run(experiment: &impl Experiment) -> anyhow::Result<()> {
    let place = experiment.place();
    place.check(&experiment.inputs())?;
    let tensors = match place.precision {
        Precision::F32 => experiment.compute::<f32>()?,
        Precision::F64 => experiment.compute::<f64>()?,
    };
    tensors.write(place.output.as_deref())
}

/// A clean and a corrupt prompt, with a right and a wrong answer.
#[derive(clap::Args)]
pub(crate) struct PairOptions {
    /// The token ids of the clean prompt.
    #[arg(long, value_name = "IDS", value_delimiter = ',', required = true)]
    clean: Vec<u32>,
    /// The token ids of the corrupt prompt, as many as those of the clean one.
    #[arg(long, value_name = "IDS", value_delimiter = ',', required = true)]
    corrupt: Vec<u32>,
    /// The id of the right token.
    #[arg(long, value_name = "ID")]
    answer: u32,
    /// The id of the wrong token. The metric is logit[answer] - logit[wrong] at the last position.
    #[arg(long, value_name = "ID")]
    wrong: u32,
}

impl PairOptions {
    pub(super) fn pair(&self) -> anyhow::Result<Pair> {
        Ok(Pair::new(self.clean.clone(), self.corrupt.clone())?)
    }

    pub(super) fn metric(&self) -> Answer {
        Answer::LogitDifference { answer: self.answer, wrong: self.wrong }
    }

    /// Prints the metric with its values in both runs, and returns them as the first tensors of the output.
    pub(super) fn report(&self, clean: f64, corrupt: f64) -> anyhow::Result<Tensors> {
        let Self { answer, wrong, .. } = self;
        println!("metric: logit[{answer}] - logit[{wrong}] at the last position, not normalised");
        println!("clean run {clean:.6}, corrupt run {corrupt:.6}");
        let mut out = Tensors::default();
        out.add_list("metric.clean", &[clean])?;
        out.add_list("metric.corrupt", &[corrupt])?;
        Ok(out)
    }
}

/// Returns the `count` entries of largest magnitude, the largest first.
pub(super) fn largest<T>(
    all: impl IntoIterator<Item = T>,
    count: usize,
    value: impl Fn(&T) -> f64,
) -> Vec<T> {
    let mut all: Vec<T> = all.into_iter().collect();
    all.sort_by(|a, b| value(b).abs().total_cmp(&value(a).abs()));
    all.truncate(count);
    all
}

/// The number of runs that are computed together.
pub(super) const BATCH: usize = 16;
