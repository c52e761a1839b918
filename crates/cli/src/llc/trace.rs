//! The diagnosis of losses that another sampler recorded.

use super::options::Options;
use anyhow::{Context, Result, bail};
use collimate_slt::{ChainMean, ExternalTrace, NBeta, read_csv};
use collimate_tensor::files::read_npy;
use serde_json::json;

/// Prints the estimate and the diagnosis of a trace.
pub(super) fn run(options: &Options) -> Result<()> {
    let [path] = &options.sizes[..] else {
        bail!("trace takes one file (.csv or .npy), but {} were given", options.sizes.len())
    };
    let (Some(n_beta), Some(baseline)) = (options.n_beta, options.baseline) else {
        bail!("a trace needs --n-beta (the factor of its mean loss) and --baseline (the loss at w*)");
    };
    if !baseline.is_finite() {
        bail!("--baseline must be a finite number, but is {baseline}");
    }
    let trace = if path.ends_with(".npy") {
        ExternalTrace::from_any(&*read_npy(path)?.to_f64()).with_context(|| format!("in {path}"))?
    } else {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
        read_csv(&text).with_context(|| format!("in {path}"))?
    };
    let trace = trace.without_burn_in(options.burn_in.unwrap_or(0))?;
    let gamma = options.gamma.unwrap_or(0.0);
    let diagnosis = trace.diagnose(NBeta::new(n_beta)?, gamma, baseline);
    let mean = ChainMean::of(trace.losses());
    let (value, error) = (n_beta * (mean.value - baseline), n_beta * mean.standard_error);
    if options.json {
        println!(
            "{:#}",
            json!({
                "estimate": value,
                "standard_error": error,
                "ess": mean.ess,
                "r_hat": diagnosis.r_hat,
                "trusted": diagnosis.trusted(),
                "doubts": diagnosis.doubts.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        );
    } else {
        println!("{} chains of {} draws", trace.losses().len(), trace.losses()[0].len());
        println!("tempered estimate {value:.4} ± {error:.4} (ESS {:.0})\n{diagnosis}", mean.ess);
    }
    Ok(())
}
