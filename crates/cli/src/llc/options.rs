//! The options of `collimate llc`.

use crate::replay;
use std::path::PathBuf;

/// The options of `collimate llc`.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = r#"
The models stand at their population loss: no noise, and inputs with unit covariance.
For your own model implement `Objective` in Rust; the example `own_model` of collimate-slt shows how.

Examples:
  collimate llc reduced-rank 5 3 5
  collimate llc crossing 1 1 --n 10000
  collimate llc polynomial "x^2*y^4 + x^4*y^2"
  collimate llc toy-model 5 6 --gamma 10 --method sgld --sweep sweep.svg
  collimate llc trace losses.csv --n-beta 145 --baseline 0.02
  collimate llc replay --help"#
)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    /// The model.
    #[arg(value_enum, required = true)]
    pub(super) model: Option<ModelName>,
    /// The sizes of the model, its polynomial, or the files of the trace, whose chains are joined.
    #[arg(value_name = "SIZE|POLYNOMIAL|FILE", allow_negative_numbers = true)]
    pub(super) sizes: Vec<String>,
    /// The rank of the true map of a linear network; by default 0.
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub(super) rank: Option<usize>,
    /// The number of samples n in the inverse temperature β = 1/log n; by default 1000.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) n: Option<usize>,
    /// The factor nβ of the mean loss; by default n/log n.
    #[arg(long, value_name = "NBETA", allow_negative_numbers = true)]
    pub(super) n_beta: Option<f64>,
    /// The localisation γ; by default 1, and 0 for a model on a box.
    #[arg(long, allow_negative_numbers = true)]
    pub(super) gamma: Option<f64>,
    /// The sampler; by default hmc.
    #[arg(long, value_enum)]
    pub(super) method: Option<MethodName>,
    /// The step size. By default it is chosen by the share of accepted steps: 80 % for HMC, 57 % for MALA; SGLD takes the step size
    /// at which MALA accepts 95 %.
    #[arg(long, allow_negative_numbers = true)]
    pub(super) epsilon: Option<f64>,
    /// With sgld: print the part of the estimate that is the bias of the step size, and the value extrapolated to ε = 0.
    #[arg(long)]
    pub(super) halve: bool,
    /// The number of chains; by default 4.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) chains: Option<usize>,
    /// The number of draws of each chain; by default 2000.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) draws: Option<usize>,
    /// The number of steps of each chain before its first draw; for a trace, the number of draws to leave out.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) burn_in: Option<usize>,
    /// The baseline L(w*) of a trace.
    #[arg(long, value_name = "LOSS", allow_negative_numbers = true)]
    pub(super) baseline: Option<f64>,
    /// The seed of the chains; by default 0.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) seed: Option<u64>,
    /// Also estimate with SGLD over a grid of ε, nβ and γ around these settings, and write the figure to this file. An existing file
    /// is replaced with --force only.
    #[arg(long, value_name = "SVG")]
    pub(super) sweep: Option<PathBuf>,
    /// Replace an existing figure.
    #[arg(long, requires = "sweep")]
    pub(super) force: bool,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// The commands beside the estimate of a model.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Estimate the coefficient from token losses that devinterp recorded: its own number, and a corrected one with an error.
    Replay(replay::LlcOptions),
}

/// The models, and `trace` for losses of another sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ModelName {
    /// Sizes M H N: reduced-rank regression from R^M through R^H to R^N; the true map has the rank --rank.
    ReducedRank,
    /// Sizes H0 H1 …: a deep linear network of these widths; the true map has the rank --rank.
    DeepLinear,
    /// Sizes K C: the polygon with K corners of C features in the toy model of superposition.
    ToyModel,
    /// A polynomial in quotes, on the box [-1, 1]^d; its minimum must be 0, at the origin.
    Polynomial,
    /// Powers K1 K2 …: the product of w_i^(2 K_i) on the box [-1, 1]^d.
    Crossing,
    /// Files of losses of another sampler; needs --n-beta and --baseline. Tables of R, pandas, ArviZ, Stan and Weights & Biases, text
    /// of numpy's savetxt, and npy arrays [chains, draws] are read.
    Trace,
}

impl Options {
    /// Returns true if the command prints JSON.
    pub(crate) fn prints_json(&self) -> bool {
        match &self.command {
            Some(Command::Replay(options)) => options.json,
            None => self.json,
        }
    }

    /// Returns the options that were given although they do not apply to this model.
    pub(super) fn idle(&self) -> Vec<&'static str> {
        let trace = self.model == Some(ModelName::Trace);
        let given = [
            ("--rank", trace && self.rank.is_some()),
            ("--n", trace && self.n.is_some()),
            ("--method", trace && self.method.is_some()),
            ("--epsilon", trace && self.epsilon.is_some()),
            ("--halve", trace && self.halve),
            ("--chains", trace && self.chains.is_some()),
            ("--draws", trace && self.draws.is_some()),
            ("--seed", trace && self.seed.is_some()),
            ("--sweep", trace && self.sweep.is_some()),
            ("--baseline", !trace && self.baseline.is_some()),
        ];
        given.into_iter().filter(|(_, idle)| *idle).map(|(name, _)| name).collect()
    }
}

/// The samplers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum MethodName {
    /// Hamiltonian Monte Carlo with 16 leapfrog steps.
    Hmc,
    /// Metropolis-adjusted Langevin dynamics.
    Mala,
    /// Stochastic gradient Langevin dynamics on the whole batch, without a correction.
    Sgld,
}
