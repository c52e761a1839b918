//! `collimate llc`.

mod models;
mod options;
mod trace;

pub(crate) use options::Options;

use crate::replay;
use crate::session::{check_file, existing, say};
use anyhow::{Context, Result, bail};
use collimate_output::write;
use collimate_slt::{
    BatchSampling, Beta, Boundary, Llc, LlcEstimate, Method, NBeta, Region, Sampling, StepBias, StepSize,
    Sweep,
};
use collimate_stream::RngStream;
use models::Model;
use options::{Command, MethodName, ModelName};
use serde_json::{Value, json};

/// Prints an estimate with its error and its diagnosis, beside the exact value where one is known.
pub(crate) fn run(options: &Options) -> Result<()> {
    if let Some(Command::Replay(options)) = &options.command {
        return replay::run_llc(options);
    }
    let named = options.model.context("no model is given; `collimate llc --help` lists the models")?;
    let idle = options.idle();
    if !idle.is_empty() {
        let what = match named {
            ModelName::Trace => "a trace, whose draws another program made",
            _ => "a model, whose loss at w* is computed",
        };
        bail!("no effect on {what}: {}; leave it out", idle.join(", "));
    }
    let model = match named {
        ModelName::Trace => return trace::run(options),
        name => Model::named(name, &options.sizes, options.rank.unwrap_or(0))?,
    };
    if let Some(path) = &options.sweep {
        check_file(path, options.force)?;
    }
    let mut stream = RngStream::named(options.seed.unwrap_or(0), "collimate llc");
    let llc = settings(options, &model)?;
    let n_beta = llc.beta.n_beta(llc.n)?;
    let (found, bias) = if options.halve {
        if llc.sampling.method.is_corrected() {
            bail!("--halve is for --method sgld; the step size causes no bias in the chains of mala and hmc");
        }
        let bias = llc.step_bias(&*model.objective, &model.centre, &mut stream)?;
        (bias.whole.clone(), Some(bias))
    } else {
        (llc.estimate(&*model.objective, &model.centre, &mut stream)?, None)
    };
    let found = found.with_exact_values(model.tempered(n_beta, llc.localisation)?, model.lambda);
    // The text comes last, because a reader that has ended (`| head`) ends the program.
    if let Some(path) = &options.sweep {
        let svg = sweep(&llc, &found, &model, &mut stream)?.svg();
        write(path, existing(options.force), |out| out.write_all(svg.as_bytes()))?;
        say(&format!("wrote {}", path.display()));
    }
    if options.json {
        println!("{:#}", to_json(&model, &found, bias.as_ref()));
    } else {
        println!("{}\n{found}\n{}", model.name, found.diagnosis());
        bias.iter().for_each(|bias| println!("{bias}"));
    }
    Ok(())
}

fn settings(options: &Options, model: &Model) -> Result<Llc> {
    let (method, share, burn_in, thin) = match options.method.unwrap_or(MethodName::Hmc) {
        MethodName::Hmc => (Method::Hmc { leapfrogs: 16 }, 0.8, 500, 1),
        // A draw is worth about as much as one of HMC after ten steps.
        MethodName::Mala => (Method::Mala, 0.57, 5000, 10),
        MethodName::Sgld => (Method::Sgld(BatchSampling::Full), 0.95, 5000, 10),
    };
    let sampling = Sampling {
        method,
        step_size: options.epsilon.map_or(StepSize::ByAcceptance(share), StepSize::Fixed),
        chains: options.chains.unwrap_or(4),
        burn_in: options.burn_in.unwrap_or(burn_in),
        draws: options.draws.unwrap_or(2000),
        thin,
    };
    let n = options.n.unwrap_or(1000);
    let region = match model.half_width {
        Some(half) => Some(Region::cube(model.centre.len(), -half, half, Boundary::Reflect)?),
        None => None,
    };
    let beta = match options.n_beta {
        Some(n_beta) => Beta::of_n_beta(NBeta::new(n_beta)?, n),
        None => Beta::InverseLogN,
    };
    let localisation = options.gamma.unwrap_or(if region.is_some() { 0.0 } else { 1.0 });
    Ok(Llc { localisation, region, sampling, ..Llc::at(n, beta) })
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
    let pair = |(value, error): (f64, f64)| json!({ "value": value, "standard_error": error });
    if let Some(bias) = found.step_bias {
        value["step_bias"] = pair((bias.value, bias.standard_error));
    }
    if let Some(bias) = bias {
        value["extrapolated"] = pair(bias.extrapolated());
    }
    value
}
