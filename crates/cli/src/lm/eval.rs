//! `collimate lm eval`.

use super::input::InputOptions;
use super::rows::Rows;
use crate::model::{Precision, open};
use collimate_transformer::Model;
use serde_json::json;
use std::path::PathBuf;

/// The options of `collimate lm eval`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate lm eval some-folder --tokens held-out.npy --context 64
  collimate lm eval some-folder --corpus texts --part held-out --context 64
  collimate lm eval model.gguf --batches batches.npy --precision f64 --json")]
pub(crate) struct Options {
    /// The model, a folder with config.json and safetensors files, or a GGUF file.
    #[arg(value_name = "MODEL")]
    place: PathBuf,
    #[command(flatten)]
    input: InputOptions,
    /// The precision of the computation.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Measures the mean loss over all rows.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match options.precision {
        Precision::F32 => run_in::<f32>(options),
        Precision::F64 => run_in::<f64>(options),
    }
}

fn run_in<F: collimate_transformer::Precision>(options: &Options) -> anyhow::Result<()> {
    options.input.check()?;
    let tokenizer = options.input.tokenizer(Some(&options.place))?;
    let rows = options.input.read(tokenizer.as_ref())?;
    let model: Model<F> = open(&options.place, None, false)?;
    rows.check(model.description().vocabulary)?;
    let (loss, targets) = mean_loss(&model, &rows)?;
    if options.json {
        println!("{}", json!({ "loss": loss, "perplexity": loss.exp(), "targets": targets }));
    } else {
        println!("loss {loss:.6} nats over {targets} tokens, perplexity {:.4}", loss.exp());
    }
    Ok(())
}

/// Computes the mean loss over all targets of the rows, and their number.
pub(super) fn mean_loss<F: collimate_transformer::Precision>(
    model: &Model<F>,
    rows: &Rows,
) -> anyhow::Result<(f64, usize)> {
    let (mut sum, mut targets) = (0.0, 0);
    rows.each(|batch| {
        let count = batch.nrows() * (batch.ncols() - 1);
        sum += count as f64 * model.loss_of_rows(&[batch])?;
        targets += count;
        Ok(())
    })?;
    Ok((sum / targets as f64, targets))
}
