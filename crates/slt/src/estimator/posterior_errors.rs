use super::SampleLosses;
use crate::error::positive;
use crate::{ChainMean, SltError};
use collimate_measure::{Fingerprint, Measurement, Quantity, Unit};

/// The training errors of the posterior at inverse temperature β, and the criteria that use their fluctuation.
///
/// ```text
/// Gibbs training error     E_w[L_n(w)]
/// Bayes training error     T_n = −(1/n) Σ_i log E_w[e^{−ℓ_i(w)}]
/// functional variance      V_n = Σ_i Var_w[ℓ_i(w)]
/// singular fluctuation     ν   = (β/2) V_n
/// WAIC                     T_n + (β/n) V_n
/// cross validation   C_n = −(1/n) Σ_i log E_w[e^{−ℓ_i} | without i] = (1/n) Σ_i log (E_w[e^{βℓ_i}] / E_w[e^{(β−1)ℓ_i}])
/// ```
///
/// Their means over data sets are, to leading order, with λ, ν and the loss `L₀` of the truth (Watanabe's equations of
/// state):
///
/// ```text
/// Bayes generalisation  L₀ + ((λ − ν)/β + ν)/n      Bayes training  L₀ + ((λ − ν)/β − ν)/n
/// Gibbs generalisation  L₀ + (λ/β + ν)/n            Gibbs training  L₀ + (λ/β − ν)/n
/// ```
///
/// On each data set, not only on average, `G_gibbs + T_gibbs = 2λ/(βn)` and, at β = 1, `G_bayes + C_n = 2λ/n`. All errors are
/// taken above the loss of the truth on the same samples, and terms of higher order are left out.
///
/// All losses are in nats per sample. WAIC on the deviance scale is this value times 2n.
///
/// # References
/// Watanabe (2009), section 6.3; Watanabe (2010), definition 2 and theorems 1 and 2; Gelfand, Dey & Chang (1992) for
/// leaving one out by importance weights.
#[derive(Clone, Debug, PartialEq)]
pub struct PosteriorErrors {
    /// The Gibbs training error `E_w[L_n(w)]`.
    pub gibbs_training: Measurement,
    /// The Bayes training error `T_n`.
    pub bayes_training: Measurement,
    /// The functional variance `V_n`.
    pub functional_variance: Measurement,
    /// The singular fluctuation `ν` of this data set.
    pub singular_fluctuation: Measurement,
    /// The criterion `T_n + (β/n) V_n`.
    pub waic: Measurement,
    /// The leave-one-out loss `C_n` by importance weights. Its error grows if single samples determine the posterior.
    pub cross_validation: Measurement,
}

const GIBBS: Quantity =
    Quantity { name: "Gibbs error", definition: "E_w of the mean loss over the samples", unit: Unit::Nats };
const BAYES: Quantity = Quantity {
    name: "Bayes error",
    definition: "mean over the samples of −log E_w[e^{−ℓ}]",
    unit: Unit::Nats,
};
const VARIANCE: Quantity =
    Quantity { name: "functional variance", definition: "Σ_i Var_w[ℓ_i]", unit: Unit::One };
const FLUCTUATION: Quantity =
    Quantity { name: "singular fluctuation", definition: "(β/2) Σ_i Var_w[ℓ_i]", unit: Unit::One };
const WAIC: Quantity = Quantity {
    name: "WAIC",
    definition: "Bayes training error + (β/n) functional variance, per sample",
    unit: Unit::Nats,
};
const CROSS_VALIDATION: Quantity = Quantity {
    name: "leave-one-out cross validation",
    definition: "mean over the samples of −log E_w[e^{−ℓ}] under the posterior without the sample",
    unit: Unit::Nats,
};

impl SampleLosses {
    /// Computes the errors on the data of the posterior.
    ///
    /// The standard errors are Monte-Carlo errors at fixed data, by the delta method. The derivative of each quantity along
    /// the draws is a trace with an effective sample size.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] unless β is positive and finite.
    pub fn posterior_errors(&self, beta: f64, object: Fingerprint) -> Result<PosteriorErrors, SltError> {
        positive("beta", beta)?;
        let n = self.samples() as f64;
        let means = self.means();
        let squares =
            |row: &[f64]| -> f64 { row.iter().zip(&means).map(|(x, mean)| (x - mean) * (x - mean)).sum() };
        let variance = ChainMean::of(&self.trace(squares))?;
        let log_predictive = self.log_predictive();
        let bayes = -log_predictive.iter().sum::<f64>() / n;
        let weights = |row: &[f64]| -> f64 {
            -row.iter().zip(&log_predictive).map(|(x, log)| (-x - log).exp()).sum::<f64>() / n
        };
        let bayes_error =
            ChainMean::of(&self.trace(weights)).expect("the chains of a run have equal lengths");
        let both = ChainMean::of(&self.trace(|row| weights(row) + beta / n * squares(row)))?;
        let estimand = "the posterior's own value at fixed data and prior";
        let make = |quantity: &Quantity, value: f64, spread: ChainMean, factor: f64| {
            let error = factor * spread.standard_error;
            Measurement::estimate(quantity, value, error, spread.ess as u64, object).estimating(estimand)
        };
        Ok(PosteriorErrors {
            gibbs_training: self.gibbs(object),
            bayes_training: make(&BAYES, bayes, bayes_error, 1.0),
            functional_variance: make(&VARIANCE, variance.value, variance, 1.0),
            singular_fluctuation: make(&FLUCTUATION, 0.5 * beta * variance.value, variance, 0.5 * beta),
            waic: make(&WAIC, bayes + beta / n * variance.value, both, 1.0),
            cross_validation: self.cross_validation(beta, object),
        })
    }

    /// Computes `C_n`. The posterior without sample i is this posterior weighted by `e^{βℓ_i}`.
    fn cross_validation(&self, beta: f64, object: Fingerprint) -> Measurement {
        let n = self.samples() as f64;
        let (without, predicted) = (self.log_mean_exp(beta), self.log_mean_exp(beta - 1.0));
        let value = without.iter().zip(&predicted).map(|(a, b)| a - b).sum::<f64>() / n;
        // The derivative of each logarithm along the draws.
        let weights = |row: &[f64]| -> f64 {
            let logs = row.iter().zip(&without).zip(&predicted);
            logs.map(|((x, a), b)| (beta * x - a).exp() - ((beta - 1.0) * x - b).exp()).sum::<f64>() / n
        };
        let found = ChainMean::of(&self.trace(weights)).expect("the chains of a run have equal lengths");
        Measurement::estimate(&CROSS_VALIDATION, value, found.standard_error, found.ess as u64, object)
            .estimating("leaving each sample out of this posterior in turn")
    }

    /// Returns `E_w` of the mean loss over these samples: the Gibbs training error, or on test data the generalisation error.
    pub fn gibbs(&self, object: Fingerprint) -> Measurement {
        let n = self.samples() as f64;
        let found = ChainMean::of(&self.trace(|row| row.iter().sum::<f64>() / n))
            .expect("the chains of a run have equal lengths");
        Measurement::estimate(&GIBBS, found.value, found.standard_error, found.ess as u64, object)
            .estimating("the posterior's own value on these samples")
    }

    /// Returns the mean of `−log E_w[e^{−ℓ}]` over these samples: the Bayes training error, or on test data the
    /// generalisation error.
    pub fn bayes(&self, object: Fingerprint) -> Measurement {
        let n = self.samples() as f64;
        let log_predictive = self.log_predictive();
        let value = -log_predictive.iter().sum::<f64>() / n;
        let weights = |row: &[f64]| -> f64 {
            -row.iter().zip(&log_predictive).map(|(x, log)| (-x - log).exp()).sum::<f64>() / n
        };
        let found = ChainMean::of(&self.trace(weights)).expect("the chains of a run have equal lengths");
        Measurement::estimate(&BAYES, value, found.standard_error, found.ess as u64, object)
            .estimating("the posterior's own value on these samples")
    }
}
