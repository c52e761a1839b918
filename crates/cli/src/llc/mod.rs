//! `collimate llc`.

mod models;
mod outside;

use anyhow::{Context, Result, bail};
use collimate_slt::{
    BatchSampling, Beta, Boundary, Llc, LlcEstimate, Method, NBeta, Region, Sampling, StepBias, StepSize,
    Sweep,
};
use collimate_stream::RngStream;
use models::Model;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The options of `collimate llc`.
#[derive(clap::Args)]
#[command(after_help = r#"
Models (at the population loss: no noise, inputs with unit covariance):
  reduced-rank M H N   reduced-rank regression, x in R^M to R^H to R^N, at a true map of --rank
  deep-linear H0 H1 …  a deep linear network of these widths, at a true map of --rank
  toy-model K C        the K-gon of C features in the toy model of superposition
  polynomial "x^2 …"   a polynomial that is least, and 0, at the origin, on the box [-1, 1]^d
  crossing K1 K2 …     the product of w_i^(2 K_i) on the box [-1, 1]^d
  trace FILE           no model: the diagnosis of losses from elsewhere (CSV or npy), with --n-beta and --baseline

Your own model: implement `Objective` in Rust; the example `own_model` of collimate-slt shows how.

Examples:
  collimate llc reduced-rank 5 3 5
  collimate llc crossing 1 1 --n 10000
  collimate llc polynomial "x^2*y^4 + x^4*y^2"
  collimate llc toy-model 5 6 --gamma 10 --method sgld --sweep sweep.svg"#)]
pub(crate) struct Options {
    /// The model, or `trace`.
    model: String,
    /// Its sizes, or the file of the trace.
    #[arg(value_name = "SIZE|FILE", allow_negative_numbers = true)]
    sizes: Vec<String>,
    /// The rank of the true map of a linear network.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    rank: usize,
    /// The number of samples n that the temperature speaks of; β = 1/log n.
    #[arg(long, default_value_t = 1000, allow_negative_numbers = true)]
    n: usize,
    /// nβ, instead of n/log n.
    #[arg(long, value_name = "NBETA", allow_negative_numbers = true)]
    n_beta: Option<f64>,
    /// The localisation γ; 1 by default, and 0 on a box.
    #[arg(long, allow_negative_numbers = true)]
    gamma: Option<f64>,
    /// hmc, mala or sgld.
    #[arg(long, default_value = "hmc")]
    method: String,
    /// The step size; by default the one at which 80 % (HMC), 57 % (MALA) or, of the MALA steps at the ε of SGLD, 95 % are
    /// accepted.
    #[arg(long, allow_negative_numbers = true)]
    epsilon: Option<f64>,
    /// With sgld: run at ε/2 too, and print what of the estimate is the bias of the step.
    #[arg(long)]
    halve: bool,
    /// Chains.
    #[arg(long, default_value_t = 4, allow_negative_numbers = true)]
    chains: usize,
    /// Draws of each chain.
    #[arg(long, default_value_t = 2000, allow_negative_numbers = true)]
    draws: usize,
    /// Steps of each chain before its first draw; of a trace, draws to leave out.
    #[arg(long, allow_negative_numbers = true)]
    burn_in: Option<usize>,
    /// The baseline L(w*) of a trace.
    #[arg(long, allow_negative_numbers = true)]
    baseline: Option<f64>,
    /// The seed.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    /// Also estimate over a grid of ε, nβ and γ around these settings by SGLD, and write the figure to this file.
    #[arg(long, value_name = "SVG")]
    sweep: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints an estimate with its error, its diagnosis and what is known exactly.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.model == "trace" {
        return outside::run(options);
    }
    let model = Model::named(&options.model, &options.sizes, options.rank)?;
    if let Some(folder) = options.sweep.as_deref().and_then(Path::parent)
        && !folder.as_os_str().is_empty()
        && !folder.is_dir()
    {
        bail!("--sweep: {} is no folder; make it first", folder.display());
    }
    let mut stream = RngStream::named(options.seed, "collimate llc");
    let llc = settings(options, &model)?;
    let n_beta = llc.beta.n_beta(llc.n)?;
    let (found, bias) = if options.halve {
        if llc.sampling.method.is_corrected() {
            bail!("--halve is for --method sgld: the chains of mala and hmc have no bias of the step");
        }
        let bias = llc.step_bias(&*model.objective, &model.centre, &mut stream)?;
        (bias.whole.clone(), Some(bias))
    } else {
        (llc.estimate(&*model.objective, &model.centre, &mut stream)?, None)
    };
    let found = found.beside(model.tempered(n_beta, llc.localisation)?, model.lambda);
    if options.json {
        println!("{:#}", to_json(&model, &found, bias.as_ref()));
    } else {
        println!("{}\n{found}\n{}", model.name, found.diagnosis());
        bias.iter().for_each(|bias| println!("{bias}"));
    }
    if let Some(path) = &options.sweep {
        std::fs::write(path, sweep(&llc, &found, &model, &mut stream)?.svg())
            .with_context(|| format!("writing {}", path.display()))?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

fn settings(options: &Options, model: &Model) -> Result<Llc> {
    let (method, share) = match options.method.as_str() {
        "hmc" => (Method::Hmc { leapfrogs: 16 }, 0.8),
        "mala" => (Method::Mala, 0.57),
        "sgld" => (Method::Sgld(BatchSampling::Full), 0.95),
        other => bail!("{other:?} is no method: expected hmc, mala or sgld"),
    };
    let sampling = Sampling {
        method,
        step_size: options.epsilon.map_or(StepSize::ByAcceptance(share), StepSize::Fixed),
        chains: options.chains,
        burn_in: options.burn_in.unwrap_or(if options.method == "hmc" { 500 } else { 5000 }),
        draws: options.draws,
        // A draw should be worth about as much whatever the method.
        thin: if options.method == "hmc" { 1 } else { 10 },
    };
    let region = match model.half_width {
        Some(half) => Some(Region::cube(model.centre.len(), -half, half, Boundary::Reflect)?),
        None => None,
    };
    let beta = match options.n_beta {
        Some(n_beta) => Beta::of_n_beta(NBeta::new(n_beta)?, options.n),
        None => Beta::InverseLogN,
    };
    let localisation = options.gamma.unwrap_or(if region.is_some() { 0.0 } else { 1.0 });
    Ok(Llc { localisation, region, sampling, ..Llc::at(options.n, beta) })
}

fn sweep(llc: &Llc, found: &LlcEstimate, model: &Model, stream: &mut RngStream) -> Result<Sweep> {
    let n_beta = found.n_beta;
    let mut base = llc.clone();
    base.sampling = Sampling { thin: 5, ..Sampling::sgld(BatchSampling::Full) };
    let around = |centre: f64| [0.3, 1.0, 3.0].map(|factor| (centre * factor * 1e4).round() / 1e4);
    let epsilons = [0.003, 0.01, 0.03, 0.1, 0.3].map(|share| share / n_beta);
    let gammas = match llc.localisation {
        0.0 => vec![0.0, 1.0, 10.0],
        gamma => around(gamma).to_vec(),
    };
    let axes: [&[f64]; 3] = [&epsilons, &around(n_beta), &gammas];
    Ok(Sweep::run(&base, &*model.objective, &model.centre, axes, stream)?)
}

fn to_json(model: &Model, found: &LlcEstimate, bias: Option<&StepBias>) -> Value {
    let diagnosis = found.diagnosis();
    let mut value = json!({
        "model": model.name,
        "estimate": found.value,
        "standard_error": found.standard_error,
        "estimand": found.measurement().estimand,
        "ess": found.ess,
        "r_hat": diagnosis.r_hat,
        "bulk_ess": diagnosis.bulk_ess,
        "tail_ess": diagnosis.tail_ess,
        "step_size": found.run.step_size,
        "n": found.settings.n,
        "n_beta": found.n_beta,
        "gamma": found.settings.localisation,
        "exact": found.exact(),
        "lambda": model.lambda.map(|exact| exact.lambda.to_string()),
        "multiplicity": model.lambda.map(|exact| exact.multiplicity),
        "trusted": diagnosis.trusted(),
        "doubts": diagnosis.doubts.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    if let Some(bias) = bias {
        let pair = |(value, error): (f64, f64)| json!({ "value": value, "standard_error": error });
        value["step_bias"] = pair(bias.bias());
        value["extrapolated"] = pair(bias.extrapolated());
    }
    value
}
