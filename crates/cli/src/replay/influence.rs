//! `collimate influence`.

use super::traces::{Traces, distinct, in_f64};
use crate::session::check_file;
use anyhow::{Context, Result};
use clap::Subcommand;
use collimate_output::check_inputs;
use collimate_slt::{Association, Chains, Influence, TokenLosses};
use collimate_tensor::files::{FileArray, write_safetensors};
use std::ops::Range;
use std::path::PathBuf;

/// The options of `collimate influence`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate influence replay traces.safetensors --run full --observables prose,train --output bif.safetensors")]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compute Bayesian influence functions from recorded losses, in the conventions of devinterp 2.0.1 and corrected.
    Replay(Replay),
}

/// The options of `collimate influence replay`.
#[derive(clap::Args)]
#[command(after_help = "\
The recording holds RUN.loss_OBSERVABLE [chains, draws, rows, tokens]; the rows of all observables are joined in order. The output holds:
  bif.sequence             the correlation of the mean losses of rows, over the draws of all chains together (devinterp: stack)
  bif.sequence.f64         the same numbers
  bif.sequence.cov         the covariance instead of the correlation
  bif.sequence.chainmean   the correlation after the chains are averaged (devinterp: mean)
  bif.sequence.within_chain_f64, bif.sequence.within_chain_se
                           the correlation with each chain centred at its own mean, and its standard error from the spread of the chains
  bif.token.avg, bif.token.avg.f64, bif.token.avg.cov
                           the mean correlation or covariance over the pairs of tokens of two rows
  bif.token                [left, right, tokens, tokens]: the correlation of each pair of tokens, for the rows of --tokens
A row that does not vary has no correlation; its numbers are NaN.

Examples:
  collimate influence replay traces.safetensors --run full --observables prose,train --output bif.safetensors
  collimate influence replay traces.safetensors --run full --observables prose --tokens 0..2,2..4 --output bif.safetensors")]
struct Replay {
    /// The .safetensors file of the recording.
    traces: PathBuf,
    /// The run whose losses are compared.
    #[arg(long, value_name = "NAME")]
    run: String,
    /// The observables whose rows are compared.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    observables: Vec<String>,
    /// The rows whose tokens are compared, and the rows that they are compared with. By default 0..4,8..12, as far as there are such rows.
    #[arg(long, value_name = "RANGE,RANGE", value_parser = two_ranges)]
    tokens: Option<(Range<usize>, Range<usize>)>,
    /// The .safetensors file to write. It must not exist, unless --force is given.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Replace an existing output.
    #[arg(long)]
    force: bool,
}

/// Reads two ranges of rows, as in `0..4,8..12`.
fn two_ranges(text: &str) -> Result<(Range<usize>, Range<usize>)> {
    let range = |text: &str| -> Option<Range<usize>> {
        let (start, end) = text.split_once("..")?;
        Some(start.trim().parse().ok()?..end.trim().parse().ok()?).filter(|range| !range.is_empty())
    };
    let both = text.split_once(',').and_then(|(left, right)| Some((range(left)?, range(right)?)));
    both.with_context(|| format!("'{text}' is no pair of ranges of rows; expected one as in 0..4,8..12"))
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<()> {
    match &options.command {
        Command::Replay(options) => replay(options),
    }
}

fn replay(options: &Replay) -> Result<()> {
    check_inputs(&options.output, [options.traces.as_path()])?;
    check_file(&options.output, options.force)?;
    distinct("--observables", &options.observables)?;
    let traces = Traces::open(&options.traces)?;
    let parts: Vec<TokenLosses> = (options.observables.iter())
        .map(|observable| traces.observable(&options.run, observable))
        .collect::<Result<_>>()?;
    let losses = TokenLosses::joined_rows(&parts.iter().collect::<Vec<_>>())
        .context("the observables do not fit each other")?;
    let devinterp = Influence::DEVINTERP;
    let covariance = Influence { association: Association::Covariance, ..devinterp };
    let averaged = Influence { chains: Chains::Averaged, ..devinterp };
    let (rows, tokens) = (devinterp.of_rows(&losses), devinterp.of_token_averages(&losses));
    let mut tensors: Vec<(&str, FileArray)> = vec![
        ("bif.sequence", in_f64(&rows)?),
        ("bif.sequence.f64", in_f64(&rows)?),
        ("bif.sequence.cov", in_f64(&covariance.of_rows(&losses))?),
        ("bif.sequence.chainmean", in_f64(&averaged.of_rows(&losses))?),
        ("bif.sequence.within_chain_f64", in_f64(&Influence::CORRECTED.of_rows(&losses))?),
        ("bif.sequence.within_chain_se", in_f64(&Influence::CORRECTED.error_of_rows(&losses)?)?),
        ("bif.token.avg", in_f64(&tokens)?),
        ("bif.token.avg.f64", in_f64(&tokens)?),
        ("bif.token.avg.cov", in_f64(&covariance.of_token_averages(&losses))?),
    ];
    let count = losses.rows();
    let (left, right) = options.tokens.clone().unwrap_or((0..count.min(4), count.min(8)..count.min(12)));
    if options.tokens.is_some() || !right.is_empty() {
        let table = devinterp.of_tokens(&losses, left, right).context("--tokens")?;
        tensors.push(("bif.token", in_f64(&table)?));
    }
    write_safetensors(&options.output, &tensors, &[])?;
    println!("{}: {count} rows of {} tokens", options.output.display(), losses.tokens());
    Ok(())
}
