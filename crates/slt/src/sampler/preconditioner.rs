use super::scalar::SamplerScalar;
use crate::SltError;
use crate::error::positive;
use collimate_measure::ensure;

/// The settings of a preconditioner from the gradient, like that of RMSprop.
///
/// ```text
/// v ← α v + (1 − α) g²,   G = 1/(floor + √v)       g the gradient of the batch's mean loss
/// w ← w − (ε/2) {G [nβ g + γ (w − w*)] − Γ} + √(εG) · N(0, I)
/// Γ_i = ∂G_i/∂w_i = −g_i H_ii / (√v_i (floor + √v_i)²)
/// ```
///
/// A diffusion whose noise depends on the position needs the divergence Γ of its G. Without Γ the stationary density on a
/// line is `p(w)/G(w)` and not `p(w)`. `H_ii` needs one more gradient: Hutchinson's estimate `s_i (H s)_i` with random signs
/// `s` is unbiased.
///
/// The formula assumes that `v` has reached `g²`, as it does for ε → 0 at fixed α. Another formula has the factor (1 − α),
/// from the derivative of one update of `v` at fixed history. That formula tends to zero for α → 1, but the error that it
/// should cancel does not.
///
/// # References
/// Li, Chen, Carlson & Carin (2016), algorithm 1; Ma, Chen & Fox (2015), eq. 3, for Γ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preconditioner {
    /// The decay α, in [0, 1).
    pub decay: f64,
    /// The number added to √v.
    pub floor: f64,
    /// True if the divergence Γ is included.
    pub divergence: Divergence,
}

/// The use of the divergence of the preconditioner in the drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divergence {
    /// The divergence is included. A step takes two gradients.
    Included,
    /// The divergence is omitted, as in most software. The stationary law of the chain is not the target.
    Omitted,
}

/// The state of a preconditioner.
pub(super) struct Adaptive<F> {
    pub(super) settings: Preconditioner,
    /// The running mean v of the squared gradient.
    pub(super) v: Vec<F>,
    /// The preconditioner G.
    pub(super) scale: Vec<F>,
    /// The random signs of Hutchinson's estimate.
    pub(super) signs: Vec<F>,
    /// The position of the second gradient.
    pub(super) shifted: Vec<F>,
    /// The second gradient, and then the divergence Γ.
    pub(super) second: Vec<F>,
    /// True if a step was made.
    pub(super) started: bool,
}

impl<F: SamplerScalar> Adaptive<F> {
    /// Checks the settings and creates the state before the first step.
    pub(super) fn new(settings: Preconditioner, dimensions: usize) -> Result<Self, SltError> {
        let Preconditioner { decay, floor, .. } = settings;
        ensure((0.0..1.0).contains(&decay), "decay", "in [0, 1)", decay)?;
        positive("floor", floor)?;
        let zeros = vec![F::zero(); dimensions];
        Ok(Self {
            settings,
            v: zeros.clone(),
            scale: zeros.clone(),
            signs: zeros.clone(),
            shifted: zeros.clone(),
            second: zeros,
            started: false,
        })
    }
}
