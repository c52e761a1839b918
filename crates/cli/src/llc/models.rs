//! The built-in models, at their population losses.

use super::options::ModelName;
use anyhow::{Context, Result, bail};
use collimate_grad::Objective;
use collimate_slt::{
    CrossingLoss, CrossingOracle, DeepLinear, IntervalOracle, LearningCoefficient, NBeta, NormalCrossing,
    Polynomial, PolynomialLoss, ReducedRank, ReducedRankConfig, ReducedRankOracle, learning_coefficient,
};
use collimate_superposition::{CriticalPolygon, UnusedFeatures};
use ndarray::Array2;

/// The source of the exact tempered value.
enum Oracle {
    Crossing(CrossingOracle),
    Interval(IntervalOracle),
    ReducedRank(ReducedRankConfig),
    None,
}

/// A model, with the point at which its coefficient is estimated.
pub(super) struct Model {
    /// The description of the model.
    pub(super) name: String,
    /// The population loss.
    pub(super) objective: Box<dyn Objective<f64>>,
    /// The point w* of the estimate.
    pub(super) centre: Vec<f64>,
    /// Half the side of the box, for a model on a box.
    pub(super) half_width: Option<f64>,
    /// The exact λ and multiplicity, where they are known.
    pub(super) lambda: Option<LearningCoefficient>,
    oracle: Oracle,
}

impl Model {
    /// Builds a model from its name and sizes.
    pub(super) fn named(name: ModelName, given: &[String], rank: usize) -> Result<Self> {
        let sizes = || -> Result<Vec<usize>> {
            given
                .iter()
                .map(|text| {
                    text.parse().with_context(|| format!("a size must be a whole number, but is {text:?}"))
                })
                .collect()
        };
        if rank > 0 && !matches!(name, ModelName::ReducedRank | ModelName::DeepLinear) {
            bail!("--rank is for reduced-rank and deep-linear");
        }
        match name {
            ModelName::ReducedRank => reduced_rank(&affordable(sizes()?)?, rank),
            ModelName::DeepLinear => deep_linear(&affordable(sizes()?)?, rank),
            ModelName::ToyModel => toy_model(&sizes()?),
            ModelName::Crossing => crossing(&sizes()?),
            ModelName::Polynomial => polynomial(given),
            ModelName::Trace => bail!("a trace has no model"),
        }
    }

    /// Returns the exact tempered expectation at these settings, if an oracle for them exists.
    pub(super) fn tempered(&self, n_beta: NBeta, gamma: f64) -> Result<Option<f64>> {
        Ok(match &self.oracle {
            Oracle::Crossing(oracle) if gamma == 0.0 => Some(oracle.tempered_llc(n_beta.get().ln())),
            Oracle::Interval(oracle) if gamma == 0.0 => Some(oracle.tempered_llc(n_beta, 0.0)),
            Oracle::ReducedRank(config) if gamma > 0.0 => {
                ReducedRankOracle::new(*config, gamma).ok().map(|oracle| oracle.tempered_llc(n_beta))
            }
            _ => None,
        })
    }
}

/// The largest number of parameters. More are refused before anything is allocated.
const PARAMETERS: usize = 1_000_000;

/// Returns the widths of a linear network if it is small enough to sample.
fn affordable(widths: Vec<usize>) -> Result<Vec<usize>> {
    let pairs = widths.windows(2).map(|pair| pair[0].saturating_mul(pair[1]));
    let parameters = pairs.fold(0usize, usize::saturating_add);
    let widest = widths.iter().map(|width| width.saturating_mul(*width)).max().unwrap_or(0);
    if parameters.max(widest) > PARAMETERS {
        bail!(
            "a linear network of widths {widths:?} is too large to sample here (limit: {PARAMETERS} parameters, widths up to 1000); \
             `collimate rlct` gives its exact λ"
        );
    }
    Ok(widths)
}

fn crossing(sizes: &[usize]) -> Result<Model> {
    let powers = crate::rlct::powers(sizes)?;
    let exact = NormalCrossing::flat(&powers)?;
    Ok(Model {
        name: format!("normal crossing {powers:?} on [-1, 1]^{}", powers.len()),
        objective: Box::new(CrossingLoss::new(&powers)),
        centre: vec![0.0; powers.len()],
        half_width: Some(1.0),
        lambda: Some(exact.learning_coefficient()),
        oracle: Oracle::Crossing(CrossingOracle::new(&exact)),
    })
}

fn polynomial(given: &[String]) -> Result<Model> {
    let [text] = given else {
        bail!("polynomial takes one polynomial, in quotes, but {} were given", given.len())
    };
    let k: Polynomial = text.parse().with_context(|| format!("in {text:?}"))?;
    // A function that is not a loss is refused here, with the reason.
    let exact = learning_coefficient(&k).map_err(|error| {
        let squared = error.is_about_negative_values();
        let context =
            if squared { "refused; its square in the form \"(…)^2\" is a loss" } else { "refused" };
        anyhow::Error::from(error).context(context)
    })?;
    let loss = PolynomialLoss::new(&k);
    let oracle = match k.variables().len() {
        1 => Oracle::Interval(IntervalOracle::new(&loss, -1.0, 1.0)?),
        _ => Oracle::None,
    };
    Ok(Model {
        name: format!("{text} on [-1, 1]^{}", k.variables().len()),
        objective: Box::new(loss),
        centre: vec![0.0; k.variables().len()],
        half_width: Some(1.0),
        lambda: exact.certified().then_some(exact.coefficient),
        oracle,
    })
}

/// Returns matrices with ones at the first `rank` places of the diagonal. Their product has that rank.
fn diagonal(widths: &[usize], rank: usize) -> Vec<f64> {
    let ones = |pair: &[usize]| {
        let columns = pair[0];
        (0..pair[0] * pair[1])
            .map(move |i| f64::from(u8::from(i / columns == i % columns && i / columns < rank)))
    };
    widths.windows(2).flat_map(ones).collect()
}

fn reduced_rank(sizes: &[usize], rank: usize) -> Result<Model> {
    let &[inputs, hidden, outputs] = sizes else {
        bail!("reduced-rank takes three sizes, M H N, but {} were given", sizes.len())
    };
    let config = ReducedRankConfig { inputs, hidden, outputs, noise: 1.0 };
    let lambda = config.learning_coefficient(rank)?;
    // One sample on each input axis, so that E[x xᵀ] = I. The outputs carry no noise.
    let root = (inputs as f64).sqrt();
    let x = Array2::from_shape_fn((inputs, inputs), |(i, j)| if i == j { root } else { 0.0 });
    let y = Array2::from_shape_fn((inputs, outputs), |(i, j)| if i == j && i < rank { root } else { 0.0 });
    Ok(Model {
        name: format!("reduced rank {inputs}-{hidden}-{outputs} at rank {rank}"),
        objective: Box::new(ReducedRank::new(config, &x, &y)?),
        centre: diagonal(sizes, rank),
        half_width: None,
        lambda: Some(lambda),
        oracle: if rank == 0 { Oracle::ReducedRank(config) } else { Oracle::None },
    })
}

fn deep_linear(widths: &[usize], rank: usize) -> Result<Model> {
    let lambda = collimate_slt::deep_linear(widths, rank)?;
    let centre = diagonal(widths, rank);
    Ok(Model {
        name: format!("deep linear {widths:?} at rank {rank}"),
        objective: Box::new(DeepLinear::population(widths, 1.0, &centre)?),
        centre,
        half_width: None,
        lambda: Some(lambda),
        oracle: Oracle::None,
    })
}

fn toy_model(sizes: &[usize]) -> Result<Model> {
    let &[corners, features] = sizes else {
        bail!("toy-model takes two sizes, corners and features, but {} were given", sizes.len())
    };
    if features > PARAMETERS / 3 {
        bail!("a toy model of {features} features is too large to sample here (limit: {})", PARAMETERS / 3);
    }
    let (model, mut centre) =
        CriticalPolygon::new(corners)?.parameters(features, UnusedFeatures { on: 0 })?;
    // An unused feature that is off gets a negative bias, since the loss has a kink at 0.
    for i in corners..features {
        centre[2 * features + i] = -0.5;
    }
    Ok(Model {
        name: format!("toy model of superposition: {corners}-gon of {features} features"),
        objective: Box::new(model),
        centre,
        half_width: None,
        lambda: collimate_slt::toy_model_polygon(corners, features, features.saturating_sub(corners)).ok(),
        oracle: Oracle::None,
    })
}
