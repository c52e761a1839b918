//! `collimate study grokking`.

use super::random::Random;
use crate::model::Precision;
use crate::session::{Interrupted, Session, Steps, on_interrupt};
use collimate_studies::development::{
    AdditionConfig, AdditionMeasures, AdditionModel, AdditionTraining, PairSplit,
};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

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
    /// The share of the pairs that train.
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
    let stop = on_interrupt("ending after this step; nothing is stored");
    let mut bar = Steps::new(session, "steps", options.until);
    loop {
        let step = training.steps();
        if step == 0 || step == options.until || options.every.is_some_and(|every| step % every == 0) {
            let measures = training.measures()?;
            match options.json {
                true => println!("{}", to_json(step, &measures)),
                false => println!("step {step}: {}", to_text(&measures)),
            }
        }
        if step >= options.until {
            break;
        }
        if stop.load(Ordering::SeqCst) {
            return Err(Interrupted(format!("interrupted at step {step}")).into());
        }
        let report = training.step()?;
        if options.json {
            let (loss, accuracy, norm) = (report.loss, report.accuracy, report.gradient_norm);
            println!("{}", json!({ "step": step, "loss": loss, "accuracy": accuracy, "grad_norm": norm }));
        }
        bar.at(step + 1, &format!("loss {:.4}", report.loss));
    }
    bar.finish();
    Ok(())
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

fn to_json(step: u64, measures: &AdditionMeasures) -> Value {
    let fourier = &measures.fourier;
    json!({
        "step": step,
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
