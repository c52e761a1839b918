use std::fmt;

/// How much of a model's loss a reconstruction keeps, with every cross-entropy it is made of.
///
/// ```text
/// loss recovered = (CE_ablated − CE_reconstructed)/(CE_ablated − CE_clean)
/// ```
/// One: the model predicts as well as with its own activations. Zero: as badly as without them. The ratio is not clamped:
/// above one and below zero both happen and mean something. What "without them" is (zeros, or the mean) changes the
/// number, so both are kept.
///
/// # Examples
/// ```
/// use collimate_sae::LossRecovered;
/// let losses = LossRecovered { clean: 2.5426, reconstructed: 3.1847, zero_ablated: 16.1549, mean_ablated: 9.0 };
/// assert!((losses.against_zero() - 0.9528).abs() < 1e-4);
/// ```
///
/// # References
/// Rajamanoharan et al. (2024), eq. 5 (against zero).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossRecovered {
    /// Cross-entropy of the model as it is, in nats per token.
    pub clean: f64,
    /// With the reconstruction in place of the activation.
    pub reconstructed: f64,
    /// With zeros in place of the activation.
    pub zero_ablated: f64,
    /// With the mean activation in its place.
    pub mean_ablated: f64,
}

impl LossRecovered {
    /// Against ablation by zeros.
    pub fn against_zero(&self) -> f64 {
        recovered(self.clean, self.reconstructed, self.zero_ablated)
    }

    /// Against ablation by the mean.
    pub fn against_mean(&self) -> f64 {
        recovered(self.clean, self.reconstructed, self.mean_ablated)
    }
}

fn recovered(clean: f64, reconstructed: f64, ablated: f64) -> f64 {
    (ablated - reconstructed) / (ablated - clean)
}

impl fmt::Display for LossRecovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "loss recovered {:.2} % against zero, {:.2} % against the mean (cross-entropy clean {:.4}, reconstructed \
             {:.4}, zero {:.4}, mean {:.4} nats)",
            100.0 * self.against_zero(),
            100.0 * self.against_mean(),
            self.clean,
            self.reconstructed,
            self.zero_ablated,
            self.mean_ablated
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_clamped() {
        let losses = LossRecovered { clean: 3.0, reconstructed: 2.9, zero_ablated: 3.5, mean_ablated: 2.8 };
        assert!((losses.against_zero() - 1.2).abs() < 1e-12);
        // An ablation that helps turns the ratio round; the four numbers say so.
        assert!((losses.against_mean() - 0.5).abs() < 1e-12);
        let worse = LossRecovered { reconstructed: 4.0, ..losses };
        assert!(worse.against_zero() < 0.0);
        assert!(worse.to_string().contains("clean 3.0000"));
    }
}
