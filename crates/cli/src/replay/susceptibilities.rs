//! `collimate susceptibilities`.

use super::traces::{Traces, distinct, in_f64};
use crate::session::check_file;
use anyhow::{Context, Result};
use clap::Subcommand;
use collimate_output::check_inputs;
use collimate_slt::{NBeta, RecordedRun, RecordedSusceptibility, TokenLosses};
use collimate_tensor::files::{FileArray, FileData, write_safetensors};
use ndarray::Array2;
use std::path::PathBuf;

/// The options of `collimate susceptibilities`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate susceptibilities replay traces.safetensors --runs l0h1,l1 --full full --reference train --initial init_loss \
--observables prose,train --output sus.safetensors")]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compute susceptibilities of single tokens from recorded losses, as devinterp 2.0.1 does and corrected.
    Replay(Replay),
}

/// The options of `collimate susceptibilities replay`.
#[derive(clap::Args)]
#[command(after_help = "\
The recording holds RUN.loss_OBSERVABLE [chains, draws, rows, tokens] for each run and each observable. The output holds, for each token
in the order of observables, rows and tokens, and for each run:
  sus                       the number of devinterp 2.0.1
  sus.pooled_cov_f64        its part that is a covariance, over the draws of all chains together
  sus.shift                 its other part, which depends on the initial loss
  sus.within_chain_cov_f64  the covariance with each chain centred at its own mean
  sus.within_chain_se       the standard error of it, from the spread of the chains
  sus.response              n-beta times it, if --n-beta is given
  sus.dataset_id, sus.batch, sus.target_position  the observable, the row and the position of each token

Examples:
  collimate susceptibilities replay traces.safetensors --runs l0h1,l1 --full full --reference train --initial init_loss \
--observables prose,train --output sus.safetensors")]
struct Replay {
    /// The .safetensors file of the recording.
    traces: PathBuf,
    /// The runs that are restricted to a component.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    runs: Vec<String>,
    /// The run in which all weights move.
    #[arg(long, value_name = "NAME")]
    full: String,
    /// The observable whose rows are those of the data.
    #[arg(long, value_name = "NAME")]
    reference: String,
    /// The tensor with the losses at w* from which devinterp takes its baseline; their mean counts.
    #[arg(long, value_name = "NAME")]
    initial: String,
    /// The observables whose tokens are measured.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    observables: Vec<String>,
    /// The factor nβ of the mean loss; with it, the responses are written too.
    #[arg(long, value_name = "NBETA", allow_negative_numbers = true)]
    n_beta: Option<f64>,
    /// The .safetensors file to write. It must not exist, unless --force is given.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Replace an existing output.
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<()> {
    match &options.command {
        Command::Replay(options) => replay(options),
    }
}

/// The columns of one kind of result, one for each run.
type Columns = Vec<Vec<f64>>;

fn replay(options: &Replay) -> Result<()> {
    check_inputs(&options.output, [options.traces.as_path()])?;
    check_file(&options.output, options.force)?;
    distinct("--runs", &options.runs)?;
    distinct("--observables", &options.observables)?;
    let n_beta = options.n_beta.map(NBeta::new).transpose()?;
    let traces = Traces::open(&options.traces)?;
    let initial = traces.initial(&options.initial)?;
    let full_reference = traces.observable(&options.full, &options.reference)?;
    let full: Vec<TokenLosses> = (options.observables.iter())
        .map(|observable| traces.observable(&options.full, observable))
        .collect::<Result<_>>()?;
    let mut kinds: Vec<(&str, Columns)> = vec![
        ("sus", Vec::new()),
        ("sus.pooled_cov_f64", Vec::new()),
        ("sus.shift", Vec::new()),
        ("sus.within_chain_cov_f64", Vec::new()),
        ("sus.within_chain_se", Vec::new()),
    ];
    if n_beta.is_some() {
        kinds.push(("sus.response", Vec::new()));
    }
    for run in &options.runs {
        let reference = traces.observable(run, &options.reference)?;
        let reference = RecordedRun { restricted: &reference, full: &full_reference };
        kinds.iter_mut().for_each(|(_, columns)| columns.push(Vec::new()));
        for (observable, full) in options.observables.iter().zip(&full) {
            let restricted = traces.observable(run, observable)?;
            let probe = RecordedRun { restricted: &restricted, full };
            let found = RecordedSusceptibility::of(reference, probe, initial)
                .with_context(|| format!("the run '{run}' on the observable '{observable}'"))?;
            let response = n_beta.map(|n_beta| found.response(n_beta));
            let parts = [
                Some(found.devinterp),
                Some(found.pooled_covariance),
                Some(found.shift),
                Some(found.covariance),
                Some(found.error_by_chains),
                response,
            ];
            for ((_, columns), part) in kinds.iter_mut().zip(parts.into_iter().flatten()) {
                columns.last_mut().expect("a column for this run").extend(part);
            }
        }
    }
    let mut tensors = places(&full)?;
    for (name, columns) in kinds {
        let rows = columns[0].len();
        let table = Array2::from_shape_fn((rows, columns.len()), |(row, column)| columns[column][row]);
        tensors.push((name, in_f64(&table)?));
    }
    write_safetensors(&options.output, &tensors, &[])?;
    let count: usize = full.iter().map(|x| x.rows() * x.tokens()).sum();
    println!("{}: {count} tokens of {} runs", options.output.display(), options.runs.len());
    Ok(())
}

/// Returns the observable, the row and the position of each token. A token is at the position of the target in its row.
fn places(observables: &[TokenLosses]) -> Result<Vec<(&'static str, FileArray)>> {
    let mut places = [const { Vec::new() }; 3];
    for (number, losses) in observables.iter().enumerate() {
        for row in 0..losses.rows() {
            for token in 0..losses.tokens() {
                places[0].push(number as i64);
                places[1].push(row as i64);
                places[2].push(token as i64 + 1);
            }
        }
    }
    let names = ["sus.dataset_id", "sus.batch", "sus.target_position"];
    let array = |(name, values): (&'static str, Vec<i64>)| {
        Ok((name, FileArray::new(vec![values.len()], FileData::I64(values))?))
    };
    names.into_iter().zip(places).map(array).collect()
}
