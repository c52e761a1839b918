use super::problem::{Problem, Reach};
use super::{LogDecay, Pass, Setting};
use crate::{AttentionError, Element};
use ndarray::{Array1, ArrayRef1, ArrayRef3};

/// Retention: the state fades by one fixed factor a head.
///
/// ```text
/// S ← γ S + kₜ vₜᵀ,   outₜ = scale · Sᵀ qₜ = scale · Σ_{j ≤ t} γ^{t−j} ⟨qₜ, kⱼ⟩ vⱼ
/// ```
/// This is the core: RetNet turns q and k before it (rotary positions with xPos), and its norm over each head after it
/// makes the row scalings of its parallel form disappear.
///
/// # Shapes
/// `q (h, t, d)`, `k (g, t, d)`, `v (g, t, e)`, `log_decay (g)`: see [`retention_log_decay`]; the state (g, d, e).
///
/// # Errors
/// [`AttentionError::Shape`], [`AttentionError::Heads`]; [`AttentionError::OutOfRange`] for numbers that are not finite
/// or a chunk of no tokens; [`AttentionError::StateOverflow`] when finite inputs give a state that is not.
///
/// # Determinism
/// The same bits on any number of threads.
///
/// # Examples
/// ```
/// use collimate_attention::linear::{Form, Setting, retention};
/// use collimate_attention::{HeadMap, Scale};
/// use ndarray::{Array1, Array3};
/// let setting = Setting { scale: Scale::Fixed(1.0), heads: HeadMap::MultiHead, form: Form::Parallel };
/// let one = Array3::<f64>::ones((1, 3, 1));
/// let half = Array1::from_elem(1, 0.5_f64.ln());
/// let pass = retention(&setting, &one, &one, &one, &half, None)?;
/// assert!((pass.out[[0, 2, 0]] - 1.75).abs() < 1e-15); // 1 + 1/2 + 1/4
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Sun et al. (2023), "Retentive Network", equations 5 to 7.
pub fn retention<F: Element>(
    setting: &Setting,
    q: &ArrayRef3<F>,
    k: &ArrayRef3<F>,
    v: &ArrayRef3<F>,
    log_decay: &ArrayRef1<F>,
    initial: Option<&ArrayRef3<F>>,
) -> Result<Pass<F>, AttentionError> {
    let problem = Problem::new(setting, Reach::Past, q, k, v)?.decaying(LogDecay::PerHead(log_decay))?;
    Pass::run(problem.starting(initial)?)
}

/// The log-decays log(1 − 2^(−5−head)) of RetNet.
///
/// # Examples
/// ```
/// let log_decay = collimate_attention::linear::retention_log_decay::<f64>(2);
/// assert_eq!(log_decay[1], (63.0_f64 / 64.0).ln());
/// ```
///
/// # References
/// Sun et al. (2023), equation 8.
pub fn retention_log_decay<F: Element>(heads: usize) -> Array1<F> {
    Array1::from_shape_fn(heads, |head| F::from_f64((-(-5.0 - head as f64).exp2()).ln_1p()))
}
