use crate::AttentionError;
use collimate_measure::ensure;
use std::f64::consts::TAU;

/// The scaling of the angles for sequences longer than the sequences of training.
///
/// ```text
/// linear    θ / factor
/// Llama 3   θ where the wavelength 2π/θ < L/high,   θ / factor where it is > L/low,   between them a blend, linear in L / wavelength
/// YaRN      γ θ + (1 − γ) θ / factor,   γ falling from 1 to 0 between the pairs that turn β_fast and β_slow times within L;
///           rows are multiplied by an amplitude, so logits by its square
/// ```
/// with L the length of training.
///
/// # Examples
/// ```
/// use collimate_attention::{Rotary, RotaryScaling};
/// let llama = RotaryScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original_length: 8192.0 };
/// let rotary = Rotary::half_split(128, 500_000.0).scaling(llama);
/// let plain = Rotary::half_split(128, 500_000.0);
/// assert_eq!(rotary.frequencies()[0], 1.0);
/// assert!((rotary.frequencies()[63] * 8.0 / plain.frequencies()[63] - 1.0).abs() < 1e-12);
/// ```
///
/// # References
/// Chen et al. (2023), "Position Interpolation"; Grattafiori et al. (2024), "The Llama 3 Herd of Models", section 3.4, and the released code; Peng
/// et al. (2023), "YaRN", equations 13–15.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RotaryScaling {
    /// Unscaled angles.
    None,
    /// All angles divided by one factor.
    Linear {
        /// The factor; above 1 it allows longer sequences.
        factor: f64,
    },
    /// Slow angles divided, fast ones kept, a blend between.
    Llama3 {
        /// The factor for slow angles.
        factor: f64,
        /// The bound of slow angles: their wavelengths are above L/low.
        low: f64,
        /// The bound of fast angles: their wavelengths are below L/high.
        high: f64,
        /// The length of training, L.
        original_length: f64,
    },
    /// Slow angles divided, fast ones kept, a ramp over the pairs between, and an amplitude.
    Yarn {
        /// The factor for slow angles.
        factor: f64,
        /// The number of turns within L from which pairs are kept; 32 in the paper.
        beta_fast: f64,
        /// The number of turns within L up to which pairs are divided; 1 in the paper.
        beta_slow: f64,
        /// The length of training, L.
        original_length: f64,
        /// The rounding of the ends of the ramp.
        ramp: YarnRamp,
        /// The factor on the rows.
        amplitude: YarnAmplitude,
    },
}

/// The rounding of the ends of YaRN's ramp, outwards to whole pairs or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum YarnRamp {
    /// Rounded: the released code, Hugging Face by default.
    WholePairs,
    /// Not rounded: `truncate = false` in Hugging Face, for example gpt-oss.
    Exact,
}

/// The factor on rotated rows under YaRN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum YarnAmplitude {
    /// 0.1 ln(factor) + 1.
    Paper,
    /// A number, for example the ratio of two such terms in DeepSeek's models.
    Fixed(f64),
}

impl RotaryScaling {
    /// Returns the factor on rotated rows.
    pub fn amplitude(&self) -> f64 {
        match *self {
            Self::Yarn { amplitude: YarnAmplitude::Fixed(amplitude), .. } => amplitude,
            Self::Yarn { factor, amplitude: YarnAmplitude::Paper, .. } if factor > 1.0 => {
                0.1 * factor.ln() + 1.0
            }
            _ => 1.0,
        }
    }

    pub(crate) fn check(&self, base: f64) -> Result<(), AttentionError> {
        let positive = |name, x: f64| ensure(x > 0.0 && x.is_finite(), name, "positive and finite", x);
        match *self {
            Self::None => {}
            Self::Linear { factor } => positive("the rotary factor", factor)?,
            Self::Llama3 { factor, low, high, original_length } => {
                positive("the rotary factor", factor)?;
                positive("the low rotary bound", low)?;
                positive("the rotary length of training", original_length)?;
                let holds = high > low && high.is_finite();
                ensure(holds, "the high rotary bound", "above the low bound and finite", high)?;
            }
            Self::Yarn { factor, beta_fast, beta_slow, original_length, .. } => {
                positive("the rotary factor", factor)?;
                positive("β_slow", beta_slow)?;
                let holds = beta_fast > beta_slow && beta_fast.is_finite();
                ensure(holds, "β_fast", "above β_slow and finite", beta_fast)?;
                ensure(base > 1.0, "the rotary base", "above 1 for YaRN: pairs must differ in speed", base)?;
                positive("the rotary length of training", original_length)?;
                positive("the amplitude of YaRN", self.amplitude())?;
            }
        }
        Ok(())
    }

    /// Returns the angle of one step of pair `pair`, from its unscaled angle.
    pub(crate) fn apply(&self, width: usize, base: f64, pair: usize, angle: f64) -> f64 {
        match *self {
            Self::None => angle,
            Self::Linear { factor } => angle / factor,
            Self::Llama3 { factor, low, high, original_length } => {
                let turns = original_length * angle / TAU;
                let keep = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                (1.0 - keep) * angle / factor + keep * angle
            }
            Self::Yarn { factor, beta_fast, beta_slow, original_length, ramp, .. } => {
                let width = width as f64;
                // The pair that makes this number of turns within the length of training.
                let pair_of = |turns: f64| width * (original_length / (turns * TAU)).ln() / (2.0 * base.ln());
                let (mut first, mut last) = (pair_of(beta_fast), pair_of(beta_slow));
                if ramp == YarnRamp::WholePairs {
                    (first, last) = (first.floor(), last.ceil());
                }
                (first, last) = (first.max(0.0), last.min(width - 1.0));
                // A ramp of length zero gets a small length, as in the released code.
                let length = if first == last { 0.001 } else { last - first };
                let divided = ((pair as f64 - first) / length).clamp(0.0, 1.0);
                angle / factor * divided + angle * (1.0 - divided)
            }
        }
    }
}
