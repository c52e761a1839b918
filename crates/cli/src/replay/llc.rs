//! `collimate llc replay`.

use super::traces::Traces;
use anyhow::Result;
use collimate_slt::{DevinterpLlc, NBeta, PairedLlc};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The options of `collimate llc replay`.
#[derive(clap::Args)]
#[command(after_help = "\
The number of devinterp averages over all steps and subtracts the loss at w* on other rows. The corrected number leaves out the
burn-in, subtracts the loss at w* on the very rows of each step, and has an error: the larger one of the spread of the chains and of the
autocorrelation inside them.

Examples:
  collimate llc replay traces.safetensors --losses full.sampling_loss_micro --initial init_loss --paired baseline_micro --n-beta 30
  collimate llc replay traces.safetensors --losses l0h1.losses --initial init_loss --paired baseline --n-beta 30 --burn-in 10 --json")]
pub(crate) struct Options {
    /// The .safetensors file of the recording.
    traces: PathBuf,
    /// The tensor with the losses of the batches, [chains, draws, rows, tokens].
    #[arg(long, value_name = "NAME")]
    losses: String,
    /// The tensor with the losses at w* from which devinterp takes its baseline; their mean counts.
    #[arg(long, value_name = "NAME")]
    initial: String,
    /// The tensor with the mean loss at w* on the rows of each step, [chains, draws].
    #[arg(long, value_name = "NAME")]
    paired: String,
    /// The factor nβ of the mean loss.
    #[arg(long, value_name = "NBETA", allow_negative_numbers = true)]
    n_beta: f64,
    /// The number of draws of each chain that the corrected number leaves out.
    #[arg(long, value_name = "N", default_value_t = 0)]
    burn_in: usize,
    /// The localisation γ of the run. Without one, the integral of the posterior can be infinite.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    gamma: f64,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints the number of devinterp and the corrected one.
pub(crate) fn run(options: &Options) -> Result<()> {
    let traces = Traces::open(&options.traces)?;
    let losses = traces.losses(&options.losses)?;
    let initial = traces.initial(&options.initial)?;
    let n_beta = NBeta::new(options.n_beta)?;
    let devinterp = losses.devinterp_llc(n_beta, initial)?;
    let paired =
        losses.paired_llc(&traces.by_draw(&options.paired)?, n_beta, options.burn_in, options.gamma)?;
    if options.json {
        println!("{:#}", to_json(&devinterp, initial, &paired, options.burn_in));
        return Ok(());
    }
    println!("{} chains of {} draws, {} of them burn-in", losses.chains(), losses.draws(), options.burn_in);
    println!(
        "devinterp 2.0.1: {:.4}, standard deviation of the chains {:.4}",
        devinterp.mean, devinterp.standard_deviation
    );
    println!(
        "corrected: {:.4} ± {:.4} (by chains {:.4}, by autocorrelation {:.4})",
        paired.value,
        paired.standard_error(),
        paired.error_by_chains,
        paired.error_by_iact
    );
    println!("{}", paired.diagnosis);
    Ok(())
}

fn to_json(devinterp: &DevinterpLlc, initial: f64, paired: &PairedLlc, burn_in: usize) -> Value {
    json!({
        "devinterp": {
            "llc_mean": devinterp.mean,
            "llc_std": devinterp.standard_deviation,
            "llc_per_chain": devinterp.per_chain,
            "llc_scalar": devinterp.scalar,
            "init_loss": initial,
        },
        "corrected": {
            "llc": paired.value,
            "standard_error": paired.standard_error(),
            "per_chain": paired.per_chain,
            "se_chains": paired.error_by_chains,
            "iact": paired.iact,
            "se_iact": paired.error_by_iact,
            "drift": paired.drift,
            "burn_in": burn_in,
            "r_hat": paired.diagnosis.r_hat,
            "bulk_ess": paired.diagnosis.bulk_ess,
            "tail_ess": paired.diagnosis.tail_ess,
            "trusted": paired.diagnosis.trusted(),
            "doubts": paired.diagnosis.doubts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        },
    })
}
