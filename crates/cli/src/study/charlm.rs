//! `collimate study charlm`.

use super::random::Random;
use crate::model::Precision;
use crate::session::{Interrupted, Session, Steps, on_interrupt};
use collimate_studies::development::{CharacterConfig, CharacterTraining};
use serde_json::json;
use std::sync::atomic::Ordering;

/// The options of `collimate study charlm`.
#[derive(clap::Args)]
#[command(after_help = "\
The first 90 % of the bytes are for training. The schedule of the learning rate has 2,000 steps, whatever --until says. With --json each
step is a line: step, the loss and grad_norm before it, and the learning rate. The loss of the first 512 rows of held-out text is a line of
its own at steps 0, 50, 100 and 250, then every 250 steps, and at the end.

Examples:
  collimate study charlm --until 2000 --json > charlm.jsonl
  collimate study charlm --width 32 --layers 2 --heads 2 --context 16 --batch 4 --seed 3 --until 60 --precision f64 --random splitmix")]
pub(super) struct Options {
    /// The width of the residual stream.
    #[arg(long, default_value_t = 128)]
    width: usize,
    /// The number of layers.
    #[arg(long, default_value_t = 4)]
    layers: usize,
    /// The number of heads of each layer.
    #[arg(long, default_value_t = 4)]
    heads: usize,
    /// The number of bytes in a row that predict the next one.
    #[arg(long, default_value_t = 64)]
    context: usize,
    /// The number of rows of a batch.
    #[arg(long, default_value_t = 12)]
    batch: usize,
    /// The seed of weights and batches.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The number of steps.
    #[arg(long, value_name = "STEPS", default_value_t = 2000)]
    until: u64,
    /// The precision of the computation.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// The generator of weights and batches.
    #[arg(long, value_enum, default_value = "chacha")]
    random: Random,
    /// Print JSON lines.
    #[arg(long)]
    pub(super) json: bool,
}

/// Trains the model.
pub(super) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    match options.precision {
        Precision::F32 => train::<f32>(options, session),
        Precision::F64 => train::<f64>(options, session),
    }
}

fn train<F: collimate_transformer::Precision>(options: &Options, session: &Session) -> anyhow::Result<()> {
    let &Options { width, layers, heads, context, batch, seed, .. } = options;
    let numbers = options.random.into();
    let config = CharacterConfig { width, layers, heads, context, batch, seed, numbers };
    let mut training = CharacterTraining::<F>::new(&config)?;
    let stop = on_interrupt("ending after this step; nothing is stored");
    let mut bar = Steps::new(session, "steps", options.until);
    loop {
        let step = training.steps();
        if step % 250 == 0 || [50, 100, options.until].contains(&step) {
            let loss = training.held_out_loss()?;
            match options.json {
                true => println!("{}", json!({ "step": step, "held_out_loss": loss })),
                false => println!("step {step}: held-out loss {loss:.4}"),
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
            let (loss, norm, rate) = (report.loss, report.gradient_norm, report.rate);
            println!("{}", json!({ "step": step, "loss": loss, "grad_norm": norm, "rate": rate }));
        }
        bar.at(report.step, &format!("loss {:.4}", report.loss));
    }
    bar.finish();
    Ok(())
}
