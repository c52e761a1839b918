use super::problem::{Problem, Reach};
use super::{LogDecay, Pass, Setting};
use crate::{AttentionError, Precision};
use ndarray::{ArrayRef1, ArrayRef3};

/// Runs retention, in which the state decays by one fixed factor for each head.
///
/// ```text
/// S ← γ S + kₜ vₜᵀ,   outₜ = scale · Sᵀ qₜ = scale · Σ_{j ≤ t} γ^{t−j} ⟨qₜ, kⱼ⟩ vⱼ
/// ```
/// This is the core of RetNet. RetNet rotates q and k before it (rotary positions with xPos). Its norm over each head after it
/// cancels the row scalings of its parallel form.
///
/// # Shapes
/// `q [h, t, d]`, `k [g, t, d]`, `v [g, t, e]`, `log_decay [g]` (log(1 − 2^(−5−head)) in RetNet); the state `[g, d, e]`.
///
/// # Errors
/// [`AttentionError::Shape`], [`AttentionError::Heads`]; [`AttentionError::OutOfRange`] for non-finite numbers
/// or a chunk of no tokens; [`AttentionError::Overflow`] if finite inputs give a non-finite state.
///
/// # Determinism
/// The bits are the same on any number of threads.
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
pub fn retention<F: Precision>(
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
