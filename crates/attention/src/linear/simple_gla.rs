use super::problem::{Problem, Reach};
use super::{LogDecay, Pass, Setting};
use crate::{AttentionError, Precision};
use ndarray::{ArrayRef2, ArrayRef3};

/// Runs linear attention whose state decays by a data-dependent number for each token. It is also the core of Mamba-2.
///
/// ```text
/// S ← e^{gₜ} S + kₜ vₜᵀ,   outₜ = scale · Sᵀ qₜ
/// ```
///
/// # Shapes
/// `q [h, t, d]`, `k [g, t, d]`, `v [g, t, e]`, `log_decay [g, t]`; the state `[g, d, e]`.
///
/// # Errors
/// Like [`retention`](super::retention).
///
/// # Determinism
/// The bits are the same on any number of threads.
///
/// # Examples
/// ```
/// use collimate_attention::linear::{Form, Setting, simple_gla};
/// use collimate_attention::{HeadMap, Scale};
/// use ndarray::{Array3, array};
/// let setting = Setting { scale: Scale::Fixed(1.0), heads: HeadMap::MultiHead, form: Form::Chunked { size: 2 } };
/// let one = Array3::<f64>::ones((1, 3, 1));
/// let forgets_at_two = array![[0.0, 0.0, f64::NEG_INFINITY]];
/// let pass = simple_gla(&setting, &one, &one, &one, &forgets_at_two, None)?;
/// assert_eq!(pass.out.as_slice().unwrap(), [1.0, 2.0, 1.0]);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Yang et al. (2024), "Gated Linear Attention", section 4.1; Dao and Gu (2024), "Transformers are SSMs", section 3.
pub fn simple_gla<F: Precision>(
    setting: &Setting,
    q: &ArrayRef3<F>,
    k: &ArrayRef3<F>,
    v: &ArrayRef3<F>,
    log_decay: &ArrayRef2<F>,
    initial: Option<&ArrayRef3<F>>,
) -> Result<Pass<F>, AttentionError> {
    let problem = Problem::new(setting, Reach::Past, q, k, v)?.decaying(LogDecay::PerToken(log_decay))?;
    Pass::run(problem.starting(initial)?)
}
