use super::TokenLosses;
use super::autocorrelation::within_chain_time;
use crate::diagnostics::mean;
use crate::{ChainDiagnosis, ChainMean, DiagnosisInput, Doubt, NBeta, RecordedError};
use ndarray::{ArrayRef, Ix2};

/// The learning coefficient as devinterp 2.0.1 computes it.
///
/// It averages over all steps, burn-in included, and subtracts the mean loss of other rows than those of the chain. With one chain its
/// standard deviation is 0. [`PairedLlc`] corrects this.
#[derive(Clone, Debug, PartialEq)]
pub struct DevinterpLlc {
    /// The mean of the chains.
    pub mean: f64,
    /// The standard deviation of the chains, with the divisor of their number.
    pub standard_deviation: f64,
    /// The estimate of each chain.
    pub per_chain: Vec<f64>,
    /// The mean over all losses at once.
    pub scalar: f64,
}

/// The learning coefficient from losses that are paired with those of w* on the same rows, after the burn-in, with its error.
#[derive(Clone, Debug, PartialEq)]
pub struct PairedLlc {
    /// The mean of the chains.
    pub value: f64,
    /// The estimate of each chain.
    pub per_chain: Vec<f64>,
    /// The standard error from the spread of the chains, `sd/√chains`.
    pub error_by_chains: f64,
    /// The integrated autocorrelation time inside the chains, in draws; NaN if no chain varies.
    pub iact: f64,
    /// The standard error from the autocorrelation time, `sd/√(draws/τ)` over the draws of all chains.
    pub error_by_iact: f64,
    /// The change of the mean from the first to the last third of the draws, in standard errors.
    pub drift: f64,
    /// The convergence of the paired losses, and the reasons not to trust the estimate.
    pub diagnosis: ChainDiagnosis,
}

impl PairedLlc {
    /// Returns the larger of the two standard errors; NaN if neither is known.
    pub fn standard_error(&self) -> f64 {
        self.error_by_chains.max(self.error_by_iact)
    }
}

impl TokenLosses {
    /// Computes what devinterp 2.0.1 makes of the losses of its batches.
    ///
    /// ```text
    /// λ̂_c = nβ (mean_d L_cd − L_init),   the mean over all draws
    /// ```
    ///
    /// `initial` is its mean loss at w* over the first batches.
    ///
    /// # Errors
    /// [`RecordedError::NotANumber`] for an initial loss that is not finite.
    ///
    /// # Examples
    /// ```
    /// use collimate_slt::{NBeta, TokenLosses};
    /// let losses = ndarray::Array4::from_shape_fn((2, 4, 1, 1), |(chain, ..)| 1.0 + chain as f64);
    /// let found = TokenLosses::from_array(&losses)?.devinterp_llc(NBeta::new(10.0)?, 0.5)?;
    /// assert_eq!((found.mean, found.standard_deviation), (10.0, 5.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn devinterp_llc(&self, n_beta: NBeta, initial: f64) -> Result<DevinterpLlc, RecordedError> {
        if !initial.is_finite() {
            return Err(RecordedError::NotANumber { what: "the initial loss", value: initial });
        }
        let of = |loss: f64| n_beta.get() * (loss - initial);
        let means = self.draw_means();
        let per_chain: Vec<f64> =
            means.rows().into_iter().map(|chain| of(chain.sum() / chain.len() as f64)).collect();
        let centre = mean(&per_chain);
        let squares: Vec<f64> = per_chain.iter().map(|x| (x - centre) * (x - centre)).collect();
        let scalar = of(self.values().sum() / self.values().len() as f64);
        Ok(DevinterpLlc { mean: centre, standard_deviation: mean(&squares).sqrt(), per_chain, scalar })
    }

    /// Computes the learning coefficient with the loss at w* on the very rows of each step, without the burn-in.
    ///
    /// ```text
    /// λ̂_c = nβ mean_{d ≥ b} (L_cd − L*_cd)
    /// ```
    ///
    /// A chain that does not move has the value 0, which is not so for [`TokenLosses::devinterp_llc`].
    ///
    /// # Shapes
    /// `at_w_star` `[chains, draws]`: the mean loss at w* on the rows of each draw.
    ///
    /// # Errors
    /// [`RecordedError::Axis`] if the shapes differ, [`RecordedError::NotANumber`] for a loss at w* that is not finite,
    /// [`RecordedError::BurnIn`] if fewer than two draws remain, [`RecordedError::OneChain`] for a single chain.
    ///
    /// # Examples
    /// ```
    /// use collimate_slt::{NBeta, TokenLosses};
    /// use ndarray::{Array2, Array4};
    /// // The rows of draw d have the loss d at w*, and the chains stay above it by 1 and by 3.
    /// let losses = Array4::from_shape_fn((2, 6, 1, 1), |(c, d, ..)| d as f64 + 1.0 + 2.0 * c as f64);
    /// let at_w_star = Array2::from_shape_fn((2, 6), |(_, d)| d as f64);
    /// let found = TokenLosses::from_array(&losses)?.paired_llc(&at_w_star, NBeta::new(10.0)?, 2, 1.0)?;
    /// assert_eq!((found.value, found.error_by_chains), (20.0, 10.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn paired_llc(
        &self,
        at_w_star: &ArrayRef<f64, Ix2>,
        n_beta: NBeta,
        burn_in: usize,
        gamma: f64,
    ) -> Result<PairedLlc, RecordedError> {
        let (chains, draws) = (self.chains(), self.draws());
        for (axis, expected, given) in
            [("chains", chains, at_w_star.nrows()), ("draws", draws, at_w_star.ncols())]
        {
            if expected != given {
                let (what, other) = ("the array of losses at w*", "the losses");
                return Err(RecordedError::Axis { what, axis, other, expected, given });
            }
        }
        if let Some(&value) = at_w_star.iter().find(|loss| !loss.is_finite()) {
            return Err(RecordedError::NotANumber { what: "a loss at w*", value });
        }
        if chains < 2 {
            return Err(RecordedError::OneChain);
        }
        if burn_in.saturating_add(2) > draws {
            return Err(RecordedError::BurnIn { burn_in, draws });
        }
        let means = self.draw_means();
        let chain = |c: usize| (burn_in..draws).map(|d| means[[c, d]] - at_w_star[[c, d]]).collect();
        let losses: Vec<Vec<f64>> = (0..chains).map(chain).collect();
        Ok(of_differences(&losses, n_beta.get(), gamma))
    }
}

/// Computes the estimate from the differences of the losses, chain by chain.
fn of_differences(differences: &[Vec<f64>], n_beta: f64, gamma: f64) -> PairedLlc {
    let scaled: Vec<Vec<f64>> =
        differences.iter().map(|chain| chain.iter().map(|x| n_beta * x).collect()).collect();
    let per_chain: Vec<f64> = scaled.iter().map(|chain| mean(chain)).collect();
    let value = mean(&per_chain);
    let deviation = |x: &mut dyn Iterator<Item = f64>, count: usize| {
        (x.map(|x| (x - value) * (x - value)).sum::<f64>() / (count as f64 - 1.0)).sqrt()
    };
    let count = scaled.len() * scaled[0].len();
    let iact = within_chain_time(&scaled);
    let spread = deviation(&mut scaled.iter().flatten().copied(), count);
    let error_by_chains =
        deviation(&mut per_chain.iter().copied(), per_chain.len()) / (per_chain.len() as f64).sqrt();
    let drift = drift(&scaled);
    let input = DiagnosisInput { n_beta, gamma, losses: differences.to_vec(), ..DiagnosisInput::default() };
    let mut diagnosis = ChainDiagnosis::of(&input).expect("the chains have equal lengths");
    if drift.abs() > 3.0 {
        diagnosis.doubts.push(Doubt::Drifting { z: drift });
    }
    let error_by_iact = spread * (iact / count as f64).sqrt();
    PairedLlc { value, per_chain, error_by_chains, iact, error_by_iact, drift, diagnosis }
}

/// Returns the change of the mean from the first to the last third of the draws, in standard errors; NaN if they are unknown.
fn drift(chains: &[Vec<f64>]) -> f64 {
    let of = |last: bool| {
        let part = |chain: &Vec<f64>| {
            let third = (chain.len() / 3).max(1);
            if last { chain[chain.len() - third..].to_vec() } else { chain[..third].to_vec() }
        };
        let parts: Vec<Vec<f64>> = chains.iter().map(part).collect();
        ChainMean::of(&parts).expect("the parts have equal lengths")
    };
    let (first, last) = (of(false), of(true));
    (last.value - first.value) / first.standard_error.hypot(last.standard_error)
}
