use super::TokenLosses;
use crate::{NBeta, RecordedError};
use ndarray::{Array2, Array3, Axis, Zip};

/// The losses of one run on the rows that the chains sample, with those of the run of all weights.
///
/// # Shapes
/// Both recordings are `[chains, draws, rows, tokens]`. They can differ in the number of draws.
#[derive(Clone, Copy, Debug)]
pub struct RecordedRun<'a> {
    /// The losses of the run whose weights are restricted to a component.
    pub restricted: &'a TokenLosses,
    /// The losses of the run in which all weights move.
    pub full: &'a TokenLosses,
}

/// The responses of the losses of a run to a change of its data towards single tokens.
///
/// `φ` is the mean loss on the reference rows, `ℓ_x` the loss of a token, `ℓ_r` the mean loss on the reference rows, and `C` the run
/// restricted to a component.
///
/// # Shapes
/// Each array is `[rows, tokens]`, for the rows of the probe.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedSusceptibility {
    /// The value of devinterp 2.0.1, which is the sum of `pooled_covariance` and `shift`.
    ///
    /// ```text
    /// E_C[φ ℓ_r] − E_C[φ ℓ_x] − E_C[φ] (E_full[ℓ_r] − E_full[ℓ_x])
    /// ```
    pub devinterp: Array2<f64>,
    /// The covariance `Cov_C(φ, ℓ_r − ℓ_x)` over the draws of all chains together, with the divisor of their number.
    pub pooled_covariance: Array2<f64>,
    /// The part `E_C[φ] (E_C − E_full)[ℓ_r − ℓ_x]`, which is no response: it depends on the initial loss.
    pub shift: Array2<f64>,
    /// The covariance with each chain centred at its own mean, with the divisor `chains (draws − 1)`.
    pub covariance: Array2<f64>,
    /// The standard error of `covariance` from the spread of the chains.
    pub error_by_chains: Array2<f64>,
}

impl RecordedSusceptibility {
    /// Computes the responses to the tokens of a probe.
    ///
    /// `initial` is the loss that devinterp subtracts from φ; only `devinterp` and `shift` depend on it.
    ///
    /// # Errors
    /// [`RecordedError::Axis`] if the probe and the reference of a run differ in chains or draws, or the two probes in rows or tokens.
    /// [`RecordedError::OneChain`] for one chain. [`RecordedError::BurnIn`] for fewer than two draws. [`RecordedError::NotANumber`]
    /// for an initial loss that is not finite.
    ///
    /// # Examples
    /// ```
    /// use collimate_slt::{RecordedRun, RecordedSusceptibility, TokenLosses};
    /// use ndarray::Array4;
    /// // φ = ±1 in turns, and the token has the loss 3 φ. So Cov(φ, φ − 3 φ) = −2 Var φ.
    /// let sign = |d: usize| if d % 2 == 0 { 1.0 } else { -1.0 };
    /// let reference = TokenLosses::from_array(&Array4::from_shape_fn((2, 100, 1, 1), |(_, d, ..)| sign(d)))?;
    /// let probe = TokenLosses::from_array(&Array4::from_shape_fn((2, 100, 1, 1), |(_, d, ..)| 3.0 * sign(d)))?;
    /// let [reference, probe] = [&reference, &probe].map(|x| RecordedRun { restricted: x, full: x });
    /// let found = RecordedSusceptibility::of(reference, probe, 0.0)?;
    /// assert_eq!((found.devinterp[[0, 0]], found.shift[[0, 0]]), (-2.0, 0.0));
    /// # Ok::<(), collimate_slt::RecordedError>(())
    /// ```
    ///
    /// # References
    /// Baker et al. (2025), arXiv 2504.18274.
    pub fn of(
        reference: RecordedRun<'_>,
        probe: RecordedRun<'_>,
        initial: f64,
    ) -> Result<Self, RecordedError> {
        probe.restricted.same_draws(
            reference.restricted,
            "the probe of a restricted run",
            "its reference",
        )?;
        probe.full.same_draws(reference.full, "the probe of the full run", "its reference")?;
        for axis in [2, 3] {
            probe.full.same_axis(
                axis,
                probe.restricted,
                "the probe of the full run",
                "that of the restricted run",
            )?;
        }
        let (chains, draws) = (probe.restricted.chains(), probe.restricted.draws());
        if chains < 2 {
            return Err(RecordedError::OneChain);
        }
        if draws < 2 {
            return Err(RecordedError::BurnIn { burn_in: 0, draws });
        }
        if !initial.is_finite() {
            return Err(RecordedError::NotANumber { what: "the initial loss", value: initial });
        }
        let loss = reference.restricted.draw_means();
        let by_chain = covariances(&loss, probe.restricted);
        // The covariance over all draws together, from the parts inside and between the chains.
        let count = (chains * draws) as f64;
        let within = by_chain.sum_axis(Axis(0)) * ((draws - 1) as f64 / count);
        let means = chain_means(probe.restricted);
        let own = loss.mean_axis(Axis(1)).expect("a draw");
        let grand = own.mean().expect("a chain");
        let centre = means.mean_axis(Axis(0)).expect("a chain");
        let mut between = Array2::<f64>::zeros(centre.dim());
        for (mean, own) in means.outer_iter().zip(&own) {
            let away = own - grand;
            Zip::from(&mut between)
                .and(&mean)
                .and(&centre)
                .for_each(|sum, x, centre| *sum += away * (away - (x - centre)) / chains as f64);
        }
        let pooled_covariance = within + between;
        let full = chain_means(probe.full).mean_axis(Axis(0)).expect("a chain");
        let change = reference.full.draw_means().mean().expect("a draw") - full;
        let shift = ((grand - centre) - change) * (grand - initial);
        let covariance = by_chain.mean_axis(Axis(0)).expect("a chain");
        let error_by_chains = by_chain.std_axis(Axis(0), 1.0) / (chains as f64).sqrt();
        let devinterp = &pooled_covariance + &shift;
        Ok(Self { devinterp, pooled_covariance, shift, covariance, error_by_chains })
    }

    /// Returns the response `nβ Cov_C(φ, ℓ_r − ℓ_x)`, the derivative of `−E_C[φ]` by the share of the token in the loss.
    ///
    /// # Shapes
    /// `[rows, tokens]`.
    pub fn response(&self, n_beta: NBeta) -> Array2<f64> {
        &self.covariance * n_beta.get()
    }
}

/// Returns the mean loss of each token along each chain, `[chains, rows, tokens]`.
fn chain_means(losses: &TokenLosses) -> Array3<f64> {
    losses.values().mean_axis(Axis(1)).expect("a draw")
}

/// Returns `Cov(φ, φ − ℓ_x)` in each chain, with the divisor `draws − 1`: `[chains, rows, tokens]`. `phi` is `[chains, draws]`.
fn covariances(phi: &Array2<f64>, probe: &TokenLosses) -> Array3<f64> {
    let mut out = chain_means(probe);
    for ((mut out, phi), losses) in
        out.outer_iter_mut().zip(phi.outer_iter()).zip(probe.values().outer_iter())
    {
        let centre = phi.mean().expect("a draw");
        let means = out.to_owned();
        out.fill(0.0);
        for (phi, losses) in phi.iter().zip(losses.outer_iter()) {
            let away = phi - centre;
            Zip::from(&mut out)
                .and(&losses)
                .and(&means)
                .for_each(|sum, loss, mean| *sum += away * (away - (loss - mean)));
        }
        out /= phi.len() as f64 - 1.0;
    }
    out
}
