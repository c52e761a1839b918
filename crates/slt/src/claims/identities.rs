//! Claims about relations between the errors of one posterior on each data set: own data, new data, and leaving one out.

use crate::{
    NBeta, QuadraticLoss, ReducedRank, ReducedRankConfig, SampleLosses, Sampling, SltError, StepSize, Target,
};
use collimate_claims::{Claim, Context, Meta, Outcome, Study, Subject, Tier, smaller};
use collimate_grad::{Batch, Objective, Scratch};
use collimate_measure::Fingerprint;
use collimate_stream::RngStream;
use ndarray::Array2;

type Data = Box<dyn Objective<f64>>;

/// A model with a known truth.
#[derive(Clone, Copy, Debug)]
enum Model {
    /// A Gaussian mean in two dimensions, a regular model with λ = 1.
    Mean,
    /// Reduced rank 2-2-2 at the truth 0, a singular model with eight parameters, λ = 3/2, m = 1.
    Matrix,
}

const MODELS: [Model; 2] = [Model::Mean, Model::Matrix];

impl Model {
    fn lambda(self) -> f64 {
        match self {
            Model::Mean => 1.0,
            Model::Matrix => 1.5,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Model::Mean => "Gaussian mean",
            Model::Matrix => "reduced rank 2-2-2",
        }
    }

    /// Draws `4·quarters` samples, and creates a test set whose first three moments are those of the truth.
    ///
    /// The errors are needed to leading order, which depends on these moments only. So the test set represents all new data.
    fn data(self, quarters: usize, stream: &mut RngStream) -> Result<(Data, Data), SltError> {
        let root = 2f64.sqrt();
        let corners = [[root, 0.0], [0.0, root], [-root, 0.0], [0.0, -root]];
        let n = 4 * quarters;
        let mut noise = || [stream.normal(), stream.normal()];
        match self {
            Model::Mean => Ok((
                Box::new(QuadraticLoss::of_samples(&[1.0; 2], (0..n).map(|_| noise().to_vec()).collect())),
                Box::new(QuadraticLoss::of_samples(&[1.0; 2], corners.iter().map(|x| x.to_vec()).collect())),
            )),
            Model::Matrix => {
                let config = ReducedRankConfig { inputs: 2, hidden: 2, outputs: 2, noise: 1.0 };
                let x = Array2::from_shape_fn((n, 2), |(i, j)| corners[i % 4][j]);
                let mut y = Array2::zeros((n, 2));
                y.rows_mut().into_iter().for_each(|mut row| {
                    let [a, b] = noise();
                    (row[0], row[1]) = (a, b);
                });
                let all = |(i, j): (usize, usize), which: usize| {
                    if which == 0 { corners[i / 4][j] } else { corners[i % 4][j] }
                };
                let (inputs, outputs) = (
                    Array2::from_shape_fn((16, 2), |at| all(at, 0)),
                    Array2::from_shape_fn((16, 2), |at| all(at, 1)),
                );
                Ok((
                    Box::new(ReducedRank::new(config, &x, &y)?),
                    Box::new(ReducedRank::new(config, &inputs, &outputs)?),
                ))
            }
        }
    }
}

/// The errors above the loss of the truth on the same samples, times n.
struct Errors {
    gibbs_new: f64,
    gibbs_own: f64,
    bayes_new: f64,
    bayes_own: f64,
    left_out: f64,
    waic: f64,
}

/// Computes the errors on one data set of `4·quarters` samples.
fn errors(model: Model, quarters: usize, beta: f64, stream: &mut RngStream) -> Result<Errors, SltError> {
    let n = 4.0 * quarters as f64;
    let (own, new) = model.data(quarters, stream)?;
    let truth = vec![0.0; own.n_parameters()];
    let mut target = Target::new(&*own, &truth, NBeta::new(beta * n)?)?.localised(1.0)?;
    if own.sufficient_statistics().is_some() {
        target = target.by_statistics()?;
    }
    // The widest directions of the matrix posterior are those of the prior.
    let (leapfrogs, thin, size) = match model {
        Model::Mean => (6, 1, 0.5),
        Model::Matrix => (12, 4, 0.3),
    };
    let sampling = Sampling { chains: 2, burn_in: 100, draws: 250, thin, ..Sampling::hmc(leapfrogs) };
    let sampling = Sampling { step_size: StepSize::PerNBeta(size), ..sampling };
    let recorded = SampleLosses::record(&sampling, &target, &[&*own, &*new], stream)?;
    let object = Fingerprint::of(model.name().as_bytes());
    let found = recorded.losses[0].posterior_errors(beta, object)?;
    let at_truth = |data: &dyn Objective<f64>| data.loss(&truth, Batch::All, &mut Scratch::new());
    let (own_truth, new_truth) = (at_truth(&*own), at_truth(&*new));
    Ok(Errors {
        gibbs_new: n * (recorded.losses[1].gibbs(object).value - new_truth),
        gibbs_own: n * (found.gibbs_training.value - own_truth),
        bayes_new: n * (recorded.losses[1].bayes(object).value - new_truth),
        bayes_own: n * (found.bayes_training.value - own_truth),
        left_out: n * (found.cross_validation.value - own_truth),
        waic: n * (found.waic.value - own_truth),
    })
}

/// A sum of errors, one of its parts, and its expected mean. The spread of the sum must be smaller than that of the part.
struct Sum {
    value: fn(&Errors) -> f64,
    part: fn(&Errors) -> f64,
    mean: f64,
}

/// Returns the mean, its standard error and the standard deviation.
fn mean_and_spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let values: Vec<f64> = values.collect();
    let count = values.len() as f64;
    let (mean, error) = super::estimates::paired(values.into_iter());
    (mean, error, error * count.sqrt())
}

/// The share of the mean that terms of the next order may have.
const NEXT_ORDER: f64 = 0.08;
/// The share of the spread of its part that a sum may have.
const KEPT: f64 = 0.5;

/// Computes the errors on 200 data sets.
fn data_sets(context: &mut Context, model: Model, beta: f64) -> Result<Vec<Errors>, SltError> {
    let name = format!("{} at β = {beta}", model.name());
    let all = context.map(&name, 200, |_, stream| errors(model, 100, beta, stream));
    all.into_iter().collect()
}

/// Judges a sum on one model at one temperature.
fn judge(sets: &[Errors], sum: &Sum, what: &str, outcome: &mut (f64, Vec<String>)) {
    let (mean, error, spread) = mean_and_spread(sets.iter().map(sum.value));
    let (_, _, parts) = mean_and_spread(sets.iter().map(sum.part));
    let near = 4.0 * error + NEXT_ORDER * sum.mean.max(1.0) - (mean - sum.mean).abs();
    outcome.0 = [near, KEPT * parts - spread].into_iter().fold(outcome.0, smaller);
    outcome.1.push(format!(
        "{what}: {mean:.3} ± {error:.3}, expected {:.3}; spread {spread:.3}, of the error itself {parts:.3}",
        sum.mean
    ));
}

/// Judges a sum on every model at every β.
fn judge_all(context: &mut Context, betas: &[f64], sum: impl Fn(Model, f64) -> Sum) -> Outcome {
    let mut found = (f64::INFINITY, Vec::new());
    for (model, &beta) in MODELS.into_iter().flat_map(|model| betas.iter().map(move |beta| (model, beta))) {
        match data_sets(context, model, beta) {
            Ok(sets) => judge(&sets, &sum(model, beta), &format!("{}, β = {beta}", model.name()), &mut found),
            Err(error) => return super::corrected::outcome(Err(error)),
        }
    }
    let (margin, notes) = found;
    notes.into_iter().fold(Outcome::of_margin(margin), Outcome::note)
}

pub(super) fn cross_validation_sum() -> impl Claim {
    let meta = Meta::empirical(
        "slt/bayes-error-plus-cross-validation",
        Subject::Slt,
        "on each data set the Bayes generalisation error and the leave-one-out loss add up to 2λ/n: where one is large by chance, \
         the other is small",
        "a Gaussian mean in two dimensions (λ = 1) and reduced rank 2-2-2 at the truth 0 (λ = 3/2, eight parameters), n = 400, β = 1, \
         200 data sets; n times the sum has the mean 2λ within four standard errors and 8 %, and at most half the spread of n times \
         the error",
    )
    .source("Watanabe (2010), theorem 1 and equation 30: the sum is asymptotically constant")
    .tier(Tier::Standard);
    Study::new(meta).run(|context| {
        judge_all(context, &[1.0], |model, _| Sum {
            value: |e| e.bayes_new + e.left_out,
            part: |e| e.bayes_new,
            mean: 2.0 * model.lambda(),
        })
    })
}

pub(super) fn gibbs_sum() -> impl Claim {
    let meta = Meta::empirical(
        "slt/gibbs-errors-add-up",
        Subject::Slt,
        "on each data set the Gibbs generalisation and training errors add up to 2λ/(βn)",
        "as slt/bayes-error-plus-cross-validation, at β = 1 and 2",
    )
    .source("Watanabe (2010), theorem 1; by parts in the size of K")
    .tier(Tier::Standard);
    Study::new(meta).run(|context| {
        judge_all(context, &[1.0, 2.0], |model, beta| Sum {
            value: |e| e.gibbs_new + e.gibbs_own,
            part: |e| e.gibbs_new,
            mean: 2.0 * model.lambda() / beta,
        })
    })
}

pub(super) fn waic_is_cross_validation() -> impl Claim {
    let meta = Meta::empirical(
        "slt/waic-is-cross-validation",
        Subject::Slt,
        "WAIC and leave-one-out cross validation agree on each data set to an order below their distance from the Bayes error",
        "as slt/bayes-error-plus-cross-validation, with n (C − WAIC) of mean 0 within 0.08",
    )
    .source("Watanabe (2010), theorem 1: they differ by O_p(n^{−3/2}) at most")
    .tier(Tier::Standard);
    Study::new(meta).run(|context| {
        judge_all(context, &[1.0], |_, _| Sum {
            value: |e| e.left_out - e.waic,
            part: |e| e.left_out - e.bayes_new,
            mean: 0.0,
        })
    })
}

pub(super) fn mirrored() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/training-error-mirrors-the-bayes-error",
        Subject::Slt,
        "averaged over data sets, the Bayes training error lies as far below the loss of the truth as the generalisation error lies \
         above: λ/n each",
    )
    .source("it lies (2ν − λ)/n below: as far only where ν = λ, as in regular models")
    .protocol("reduced rank 2-2-2 at the truth 0, n = 400, β = 1, 200 data sets; within six standard errors and 8 % of λ")
    .tier(Tier::Standard);
    Study::new(meta).run(|context| {
        let sets = match data_sets(context, Model::Matrix, 1.0) {
            Ok(sets) => sets,
            Err(error) => return super::corrected::outcome(Err(error)),
        };
        let lambda = Model::Matrix.lambda();
        let (mean, error, _) = mean_and_spread(sets.iter().map(|e| e.bayes_new + e.bayes_own));
        let (own, new) = (sets.iter().map(|e| e.bayes_own), sets.iter().map(|e| e.bayes_new));
        Outcome::of_margin(6.0 * error + NEXT_ORDER * lambda - mean.abs()).counterexample(format!(
            "n (T − L₀) = {:.3}, n (G − L₀) = {:.3}, their sum {mean:.3} ± {error:.3}",
            mean_and_spread(own).0,
            mean_and_spread(new).0
        ))
    })
}
