//! Scaling laws of the loss in parameters and data, and their consequences for the compute of training and inference.

use crate::SltError;
use crate::error::all_finite;
use collimate_measure::{Interval, ensure};
use collimate_tensor::small::solve_positive_definite;
use ndarray::{Array2, arr2};

/// The loss as a function of the number of parameters N and of training tokens D.
///
/// ```text
/// L(N, D) = E + A N^{−α} + B D^{−β}
/// ```
///
/// # References
/// Hoffmann et al. (2022), equation 2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScalingLaw {
    /// The irreducible loss E.
    pub irreducible: f64,
    /// The factor A.
    pub parameter_scale: f64,
    /// The exponent α.
    pub parameter_exponent: f64,
    /// The factor B.
    pub data_scale: f64,
    /// The exponent β.
    pub data_exponent: f64,
}

impl ScalingLaw {
    /// Returns the loss L(N, D).
    pub fn loss(&self, parameters: f64, tokens: f64) -> f64 {
        self.irreducible
            + self.parameter_scale * parameters.powf(-self.parameter_exponent)
            + self.data_scale * tokens.powf(-self.data_exponent)
    }

    /// Returns the N and D that give the lowest loss for `C = 6 N D` floating-point operations of training.
    ///
    /// ```text
    /// N = G (C/6)^{β/(α+β)},   D = C/(6N),   G = (αA/βB)^{1/(α+β)}
    /// ```
    ///
    /// # Examples
    /// ```
    /// use collimate_slt::ScalingLaw;
    /// let law = ScalingLaw {
    ///     irreducible: 1.69, parameter_scale: 406.4, parameter_exponent: 0.34, data_scale: 410.7, data_exponent: 0.28,
    /// };
    /// let best = law.compute_optimal(1e21);
    /// assert!((best.training_flops() / 1e21 - 1.0).abs() < 1e-12);
    /// assert!(law.loss(best.parameters, best.tokens) < law.loss(1.1 * best.parameters, best.tokens / 1.1));
    /// ```
    pub fn compute_optimal(&self, training_flops: f64) -> ComputeBudget {
        let (a, b) = (self.parameter_exponent, self.data_exponent);
        let g = (a * self.parameter_scale / (b * self.data_scale)).powf(1.0 / (a + b));
        let parameters = g * (training_flops / 6.0).powf(b / (a + b));
        ComputeBudget { parameters, tokens: training_flops / (6.0 * parameters) }
    }
}

/// A dense model of N parameters trained on D tokens, with the usual counts of operations.
///
/// ```text
/// training 6 N D,   inference 2 N per token,   so the compute of training is that of 3 D tokens of inference
/// ```
///
/// The cost of attention over long contexts is not counted.
///
/// # Examples
/// ```
/// use collimate_slt::ComputeBudget;
/// let model = ComputeBudget { parameters: 7e10, tokens: 1.4e12 };
/// // After a training of 90 days, the same machines can run this number of copies at 10 tokens per second.
/// let copies = model.concurrent_instances(90.0 * 86_400.0, 10.0);
/// assert!((copies - 54_012.3).abs() < 0.1);
/// // A model ten times larger on the same data needs ten times the machines, and the number of copies is the same.
/// let larger = ComputeBudget { parameters: 7e11, ..model };
/// assert!((larger.concurrent_instances(90.0 * 86_400.0, 10.0) / copies - 1.0).abs() < 1e-12);
/// ```
///
/// # References
/// Kaplan et al. (2020), section 2.1, for the counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComputeBudget {
    /// The number of parameters N.
    pub parameters: f64,
    /// The number of training tokens D.
    pub tokens: f64,
}

impl ComputeBudget {
    /// Returns `6 N D`.
    pub fn training_flops(&self) -> f64 {
        6.0 * self.parameters * self.tokens
    }

    /// Returns `2 N`.
    pub fn inference_flops_per_token(&self) -> f64 {
        2.0 * self.parameters
    }

    /// Returns the number of tokens of inference that cost as much compute as the training.
    pub fn training_to_inference(&self) -> f64 {
        self.training_flops() / self.inference_flops_per_token()
    }

    /// Returns the number of copies, at `tokens_per_second` each, on the machines that trained the model for `seconds`.
    pub fn concurrent_instances(&self, seconds: f64, tokens_per_second: f64) -> f64 {
        self.training_to_inference() / seconds / tokens_per_second
    }
}

/// The loss of one trained model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// The number of parameters N.
    pub parameters: f64,
    /// The number of training tokens D.
    pub tokens: f64,
    /// The loss L.
    pub loss: f64,
}

/// A fitted law with an interval for each of its five numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScalingFit {
    /// The law with the least sum of squared relative errors.
    pub law: ScalingLaw,
    /// The intervals for E, A, α, B and β. The intervals of E, A and B are not symmetric, because the fit uses logarithms.
    pub intervals: [Interval; 5],
    /// The standard deviation of the relative error.
    pub residual: f64,
}

/// Fits E, A, α, B and β to observed losses by least squares of relative errors.
///
/// For given exponents the other three numbers are linear. So a grid of exponents gives the start, and damped Gauss–Newton
/// steps follow. The intervals are Student's, from the curvature at the minimum. They cover noise in the losses, but not a
/// law of another form.
///
/// # Errors
/// [`SltError::OutOfRange`] for fewer than seven observations, numbers that are not positive or a confidence outside (0, 1);
/// [`SltError::NonFinite`] for NaN or infinity; [`SltError::Undetermined`] if the observations do not determine all five
/// numbers (one size, one amount of data, or an exponent at the end of its range).
///
/// # Examples
/// ```
/// use collimate_slt::{Observation, ScalingLaw, fit_scaling_law};
/// let law = ScalingLaw {
///     irreducible: 1.69, parameter_scale: 406.4, parameter_exponent: 0.34, data_scale: 410.7, data_exponent: 0.28,
/// };
/// let mut seen = Vec::new();
/// for (i, parameters) in [1e7, 1e8, 1e9, 1e10].into_iter().enumerate() {
///     for (j, tokens) in [1e9, 1e10, 1e11, 1e12].into_iter().enumerate() {
///         let noise = 1.0 + 1e-4 * ((7 * i + 3 * j) % 5) as f64;
///         seen.push(Observation { parameters, tokens, loss: noise * law.loss(parameters, tokens) });
///     }
/// }
/// let fit = fit_scaling_law(&seen, 0.95)?;
/// assert!(fit.intervals[2].low < 0.34 && 0.34 < fit.intervals[2].high && (fit.law.data_exponent - 0.28).abs() < 0.01);
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
pub fn fit_scaling_law(observations: &[Observation], confidence: f64) -> Result<ScalingFit, SltError> {
    check(observations, confidence)?;
    let undetermined = SltError::Undetermined { what: "the numbers of the scaling law" };
    let mut point = start(observations).ok_or(undetermined.clone())?;
    let mut damping = 1e-3;
    let mut error = squares(observations, &point);
    for _ in 0..500 {
        let (mut normal, gradient) = normal_equations(observations, &point);
        (0..5).for_each(|i| normal[i][i] *= 1.0 + damping);
        let Some(step) = solve(&normal, &gradient) else { return Err(undetermined) };
        let next: [f64; 5] = std::array::from_fn(|i| point[i] - step[i]);
        let there = squares(observations, &next);
        if there <= error {
            let settled = error - there <= 1e-14 * error;
            (point, error, damping) = (next, there, (damping * 0.3).max(1e-12));
            if settled {
                break;
            }
        } else {
            damping *= 4.0;
            if damping > 1e12 {
                break;
            }
        }
    }
    let (normal, _) = normal_equations(observations, &point);
    let freedom = observations.len() - 5;
    let variance = error / freedom as f64;
    let inverse = solve_positive_definite(&arr2(&normal), &Array2::eye(5)).ok_or(undetermined.clone())?;
    let mut intervals = Vec::new();
    for i in 0..5 {
        let deviation = (variance * inverse[[i, i]]).sqrt();
        // With a larger deviation the number is not determined.
        let large = if i == 2 || i == 4 { point[i].abs() } else { 20.0 };
        if deviation.is_nan() || deviation > large {
            return Err(undetermined);
        }
        let interval = Interval::student(point[i], deviation, freedom as u64 + 1, confidence)
            .expect("the confidence lies between 0 and 1");
        // The fit uses the logarithms of E, A and B.
        intervals.push(if i == 2 || i == 4 {
            interval
        } else {
            Interval { low: interval.low.exp(), high: interval.high.exp(), confidence }
        });
    }
    let intervals = intervals.try_into().expect("five numbers");
    Ok(ScalingFit { law: law(&point), intervals, residual: variance.sqrt() })
}

/// Returns an error unless there are seven positive observations and a possible confidence.
fn check(observations: &[Observation], confidence: f64) -> Result<(), SltError> {
    ensure(observations.len() >= 7, "the number of observations", "at least 7", observations.len() as f64)?;
    ensure(confidence > 0.0 && confidence < 1.0, "confidence", "between 0 and 1", confidence)?;
    for (name, of) in [
        ("parameters", (|o| o.parameters) as fn(&Observation) -> f64),
        ("tokens", |o| o.tokens),
        ("loss", |o| o.loss),
    ] {
        let values: Vec<f64> = observations.iter().map(of).collect();
        all_finite(name, &values)?;
        for value in values {
            ensure(value > 0.0, name, "positive", value)?;
        }
    }
    Ok(())
}

/// Returns the law at a point of the fit: log E, log A, α, log B, β.
fn law(point: &[f64; 5]) -> ScalingLaw {
    ScalingLaw {
        irreducible: point[0].exp(),
        parameter_scale: point[1].exp(),
        parameter_exponent: point[2],
        data_scale: point[3].exp(),
        data_exponent: point[4],
    }
}

/// Returns the sum of squared relative errors.
fn squares(observations: &[Observation], point: &[f64; 5]) -> f64 {
    let law = law(point);
    let total: f64 =
        observations.iter().map(|o| (law.loss(o.parameters, o.tokens) / o.loss - 1.0).powi(2)).sum();
    if total.is_nan() { f64::INFINITY } else { total }
}

/// Returns JᵀJ and Jᵀr of the relative errors.
fn normal_equations(observations: &[Observation], point: &[f64; 5]) -> ([[f64; 5]; 5], [f64; 5]) {
    let law = law(point);
    let (mut normal, mut gradient) = ([[0.0; 5]; 5], [0.0; 5]);
    for o in observations {
        let a = law.parameter_scale * o.parameters.powf(-law.parameter_exponent) / o.loss;
        let b = law.data_scale * o.tokens.powf(-law.data_exponent) / o.loss;
        let e = law.irreducible / o.loss;
        let row = [e, a, -a * o.parameters.ln(), b, -b * o.tokens.ln()];
        let error = e + a + b - 1.0;
        for i in 0..5 {
            gradient[i] += row[i] * error;
            (0..5).for_each(|j| normal[i][j] += row[i] * row[j]);
        }
    }
    (normal, gradient)
}

/// Returns the best point on a grid of exponents. The other three numbers are those of least squares, and positive.
fn start(observations: &[Observation]) -> Option<[f64; 5]> {
    let mut best: Option<(f64, [f64; 5])> = None;
    for alpha in (1..=30).map(|k| 0.05 * f64::from(k)) {
        for beta in (1..=30).map(|k| 0.05 * f64::from(k)) {
            let (mut normal, mut right) = ([[0.0; 3]; 3], [0.0; 3]);
            for o in observations {
                let row = [1.0, o.parameters.powf(-alpha), o.tokens.powf(-beta)].map(|x| x / o.loss);
                for i in 0..3 {
                    right[i] += row[i];
                    (0..3).for_each(|j| normal[i][j] += row[i] * row[j]);
                }
            }
            let Some(scales) = solve(&normal, &right) else { continue };
            if scales.iter().all(|s| *s > 0.0) {
                let point = [scales[0].ln(), scales[1].ln(), alpha, scales[2].ln(), beta];
                let error = squares(observations, &point);
                if best.is_none_or(|(least, _)| error < least) {
                    best = Some((error, point));
                }
            }
        }
    }
    best.map(|(_, point)| point)
}

/// Solves normal equations. Returns `None` for a matrix that is singular to rounding.
fn solve<const N: usize>(matrix: &[[f64; N]; N], right: &[f64; N]) -> Option<[f64; N]> {
    let right = Array2::from_shape_fn((N, 1), |(i, _)| right[i]);
    let x = solve_positive_definite(&arr2(matrix), &right)?;
    Some(std::array::from_fn(|i| x[[i, 0]]))
}
