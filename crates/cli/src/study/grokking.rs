//! `collimate study grokking`.

use super::random::Random;
use super::steps::{Shown, take_steps};
use crate::model::Precision;
use crate::session::Session;
use collimate_studies::development::{
    AdditionConfig, AdditionMeasures, AdditionModel, AdditionTraining, PairSplit,
};
use serde_json::{Value, json};

/// The options of `collimate study grokking`.
#[derive(clap::Args)]
#[command(after_help = "\
Each step takes all training pairs. With --json each step is a line: step, the loss, accuracy and grad_norm before it. With --every N the
losses and accuracies on both sides, the sum of the squared weights and the concentration of the embedding on few frequencies are a
line of their own at every N-th step. The first line says how many test pairs (a, b) have their mirror (b, a) in training.

Examples:
  collimate study grokking --model quadratic --prime 59 --width 256 --train-fraction 0.4 --learning-rate 5e-3 --until 600 --every 30
  collimate study grokking --model transformer --prime 113 --width 128 --train-fraction 0.3 --until 10000 --every 100 --json
  collimate study grokking --model relu --split unordered --until 5000 --every 50 --json")]
pub(super) struct Options {
    /// The network.
    #[arg(long, value_enum, default_value = "transformer")]
    model: Network,
    /// The modulus p of the addition; a prime, by custom.
    #[arg(long, value_name = "P", default_value_t = 59)]
    prime: usize,
    /// The number of hidden units, or the width of the stream of the transformer.
    #[arg(long, default_value_t = 128)]
    width: usize,
    /// The share of the pairs that are trained on.
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, allow_negative_numbers = true)]
    train_fraction: f64,
    /// The division of the pairs.
    #[arg(long, value_enum, default_value = "ordered")]
    split: Split,
    /// The learning rate of AdamW.
    #[arg(long, default_value_t = 1e-3, allow_negative_numbers = true)]
    learning_rate: f64,
    /// The decoupled weight decay of all tensors.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    weight_decay: f64,
    /// The seed of weights and pairs.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The number of steps.
    #[arg(long, value_name = "STEPS", default_value_t = 1000)]
    until: u64,
    /// The number of steps between two measurements on all pairs; by default only the first and the last step are measured.
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..))]
    every: Option<u64>,
    /// The precision of the computation.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// The generator of weights and pairs.
    #[arg(long, value_enum, default_value = "chacha")]
    random: Random,
    /// Print JSON lines.
    #[arg(long)]
    pub(super) json: bool,
}

/// The networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Network {
    /// Two layers, with the squares of the hidden units.
    Quadratic,
    /// Two layers of ReLU units.
    Relu,
    /// One layer of a transformer with 4 heads and an MLP, read at the last of the tokens a, b and "=".
    Transformer,
}

/// The divisions of the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Split {
    /// The pairs (a, b) and (b, a) are divided separately: then many test pairs have their mirror in training.
    Ordered,
    /// The pairs (a, b) and (b, a) are on one side.
    Unordered,
}

/// Trains the network.
pub(super) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    match options.precision {
        Precision::F32 => train::<f32>(options, session),
        Precision::F64 => train::<f64>(options, session),
    }
}

fn train<F: collimate_transformer::Precision>(options: &Options, session: &Session) -> anyhow::Result<()> {
    let mut training = AdditionTraining::<F>::new(&config(options))?;
    let mirrored = training.task().mirrored_share();
    match options.json {
        true => {
            println!("{}", json!({ "mirrored_share": mirrored, "pairs": training.task().training().len() }))
        }
        false => println!("{:.1} % of the test pairs have their mirror in training", 100.0 * mirrored),
    }
    let due = |step: u64| step == 0 || options.every.is_some_and(|every| step.is_multiple_of(every));
    take_steps(&mut training, options.until, options.json, due, session)
}

impl<F: collimate_transformer::Precision> Shown for AdditionTraining<F> {
    fn done(&self) -> u64 {
        self.steps()
    }

    fn measure(&mut self) -> anyhow::Result<(Value, String)> {
        let measures = self.measures()?;
        Ok((to_json(&measures), to_text(&measures)))
    }

    fn step(&mut self) -> anyhow::Result<(Value, f64)> {
        let report = AdditionTraining::step(self)?;
        let (loss, accuracy, norm) = (report.loss, report.accuracy, report.gradient_norm);
        Ok((json!({ "loss": loss, "accuracy": accuracy, "grad_norm": norm }), loss))
    }
}

fn config(options: &Options) -> AdditionConfig {
    AdditionConfig {
        model: match options.model {
            Network::Quadratic => AdditionModel::Quadratic,
            Network::Relu => AdditionModel::Relu,
            Network::Transformer => AdditionModel::Transformer,
        },
        modulus: options.prime,
        width: options.width,
        share: options.train_fraction,
        split: match options.split {
            Split::Ordered => PairSplit::Ordered,
            Split::Unordered => PairSplit::Unordered,
        },
        learning_rate: options.learning_rate,
        weight_decay: options.weight_decay,
        seed: options.seed,
        numbers: options.random.into(),
    }
}

fn to_json(measures: &AdditionMeasures) -> Value {
    let fourier = &measures.fourier;
    json!({
        "train_loss": measures.training_loss,
        "test_loss": measures.test_loss,
        "train_accuracy": measures.training_accuracy,
        "test_accuracy": measures.test_accuracy,
        "squared_weights": measures.squared_weights,
        "fourier": { "top5": fourier.top5, "gini": fourier.gini, "participation": fourier.participation },
    })
}

fn to_text(measures: &AdditionMeasures) -> String {
    format!(
        "loss {:.4} on training and {:.4} on test pairs, right {:.1} % and {:.1} %, Σw² {:.1}, {:.1} frequencies",
        measures.training_loss,
        measures.test_loss,
        100.0 * measures.training_accuracy,
        100.0 * measures.test_accuracy,
        measures.squared_weights,
        measures.fourier.participation
    )
}
