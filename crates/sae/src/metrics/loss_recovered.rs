use crate::WithNull;
use crate::metrics::null::SHUFFLED;
use collimate_measure::{Fingerprint, Measurement, Quantity, Unit};
use std::fmt;

macro_rules! quantities {
    ($($constant:ident $name:literal $definition:literal $unit:expr;)*) => {$(
        const $constant: Quantity = Quantity { name: $name, definition: $definition, unit: $unit };
    )*};
}
quantities! {
    CE_CLEAN "cross-entropy (clean)" "mean −log p of the next token, the model as it is" Unit::Nats;
    CE_SPLICED "cross-entropy (reconstructed)" "the same with reconstructions in place of the activation" Unit::Nats;
    CE_ZERO "cross-entropy (zero ablation)" "the same with zeros in place of the activation" Unit::Nats;
    CE_MEAN "cross-entropy (mean ablation)" "the same with the mean activation in its place" Unit::Nats;
    AGAINST_ZERO "loss recovered (against zero)" "(CE zero − CE reconstructed)/(CE zero − CE clean), not clamped" Unit::Fraction;
    AGAINST_MEAN "loss recovered (against the mean)" "(CE mean − CE reconstructed)/(CE mean − CE clean), not clamped" Unit::Fraction;
    KL_ZERO "KL recovered (against zero)" "1 − KL(clean ‖ reconstructed)/KL(clean ‖ zero ablation), not clamped" Unit::Fraction;
    KL_SPLICED "KL (reconstructed)" "mean KL(clean ‖ reconstructed) of the next token" Unit::Nats;
    KL_OF_ZERO "KL (zero ablation)" "mean KL(clean ‖ zero ablation) of the next token" Unit::Nats;
    KL_OF_MEAN "KL (mean ablation)" "mean KL(clean ‖ mean ablation) of the next token" Unit::Nats;
    KL_MEAN "KL recovered (against the mean)" "1 − KL(clean ‖ reconstructed)/KL(clean ‖ mean ablation), not clamped" Unit::Fraction;
}

/// The share of a model's loss that a reconstruction keeps, with every cross-entropy behind it.
///
/// ```text
/// loss recovered = (CE_ablated − CE_reconstructed)/(CE_ablated − CE_clean)
/// ```
/// One: the model predicts as well as with its own activations. Zero: as badly as without them. The ratio is not clamped:
/// values above one and below zero are possible and have a meaning. What "without them" is (zeros, or the mean) changes the
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
    /// Returns the share against ablation by zeros; NaN if the ablation changes no loss.
    pub fn against_zero(&self) -> f64 {
        recovered(self.clean, self.reconstructed, self.zero_ablated)
    }

    /// Returns the share against ablation by the mean; NaN if the ablation changes no loss.
    pub fn against_mean(&self) -> f64 {
        recovered(self.clean, self.reconstructed, self.mean_ablated)
    }

    /// Returns every measurement with that of the null model ([`Dictionary::null`](crate::Dictionary::null)), spliced in the same place for
    /// the same `n` predictions. The null of a cross-entropy without the dictionary is that cross-entropy.
    pub fn with_null(&self, null: &LossRecovered, n: u64, object: Fingerprint) -> Vec<WithNull> {
        WithNull::pairs(self.measurements(n, object), null.measurements(n, object), SHUFFLED)
    }

    /// Returns both ratios and the four cross-entropies behind them, from `n` predictions.
    pub fn measurements(&self, n: u64, object: Fingerprint) -> Vec<Measurement> {
        [
            (&AGAINST_ZERO, self.against_zero()),
            (&AGAINST_MEAN, self.against_mean()),
            (&CE_CLEAN, self.clean),
            (&CE_SPLICED, self.reconstructed),
            (&CE_ZERO, self.zero_ablated),
            (&CE_MEAN, self.mean_ablated),
        ]
        .into_iter()
        .map(|(quantity, value)| Measurement { n, ..Measurement::exact(quantity, value, object) })
        .collect()
    }
}

/// The share of a model's predictions that a reconstruction keeps, by the divergence from those of the unchanged model.
///
/// ```text
/// KL recovered = 1 − KL_reconstructed/KL_ablated        KL_x = mean over positions of KL(p_clean ‖ p_x)
/// ```
/// Not clamped: a reconstruction that is worse than none is below zero.
///
/// # Examples
/// ```
/// use collimate_sae::KlRecovered;
/// let kl = KlRecovered { reconstructed: 0.5, zero_ablated: 10.0, mean_ablated: 4.0 };
/// assert_eq!((kl.against_zero(), kl.against_mean()), (0.95, 0.875));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KlRecovered {
    /// With the reconstruction in place of the activation, in nats.
    pub reconstructed: f64,
    /// With zeros in its place.
    pub zero_ablated: f64,
    /// With the mean activation in its place.
    pub mean_ablated: f64,
}

impl KlRecovered {
    /// Returns the share against ablation by zeros; NaN if the ablation changes nothing.
    pub fn against_zero(&self) -> f64 {
        kept(self.reconstructed, self.zero_ablated)
    }

    /// Returns the share against ablation by the mean; NaN if the ablation changes nothing.
    pub fn against_mean(&self) -> f64 {
        kept(self.reconstructed, self.mean_ablated)
    }

    /// Returns every measurement with that of the null model ([`Dictionary::null`](crate::Dictionary::null)) on the same `n` positions.
    pub fn with_null(&self, null: &KlRecovered, n: u64, object: Fingerprint) -> Vec<WithNull> {
        WithNull::pairs(self.measurements(n, object), null.measurements(n, object), SHUFFLED)
    }

    /// Returns both ratios and the three divergences behind them, from `n` positions.
    pub fn measurements(&self, n: u64, object: Fingerprint) -> Vec<Measurement> {
        [
            (&KL_ZERO, self.against_zero()),
            (&KL_MEAN, self.against_mean()),
            (&KL_SPLICED, self.reconstructed),
            (&KL_OF_ZERO, self.zero_ablated),
            (&KL_OF_MEAN, self.mean_ablated),
        ]
        .into_iter()
        .map(|(quantity, value)| Measurement { n, ..Measurement::exact(quantity, value, object) })
        .collect()
    }
}

fn recovered(clean: f64, reconstructed: f64, ablated: f64) -> f64 {
    if ablated == clean {
        return f64::NAN;
    }
    (ablated - reconstructed) / (ablated - clean)
}

fn kept(reconstructed: f64, ablated: f64) -> f64 {
    if ablated == 0.0 { f64::NAN } else { 1.0 - reconstructed / ablated }
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

    #[test]
    fn an_ablation_that_changes_nothing_leaves_no_share() {
        let losses = LossRecovered { clean: 3.0, reconstructed: 3.1, zero_ablated: 3.0, mean_ablated: 4.0 };
        assert!(losses.against_zero().is_nan() && (losses.against_mean() - 0.9).abs() < 1e-12);
        let kl = KlRecovered { reconstructed: 0.1, zero_ablated: 0.0, mean_ablated: 0.0 };
        assert!(kl.against_zero().is_nan() && kl.against_mean().is_nan());
        let line = losses.measurements(7, Fingerprint::of(b""))[0].to_string();
        assert!(line.starts_with("loss recovered (against zero) = undefined (n = 7;"), "{line}");
    }
}
