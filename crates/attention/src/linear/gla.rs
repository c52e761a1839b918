use super::problem::{Problem, Reach};
use super::{LogDecay, Pass, Setting};
use crate::{AttentionError, Precision};
use ndarray::ArrayRef3;

/// Runs gated linear attention, in which every channel of the key has its own decay.
///
/// ```text
/// S ← diag(e^{gₜ}) S + kₜ vₜᵀ,   outₜ = scale · Sᵀ qₜ
/// ```
/// Products of many decays underflow, and their quotients overflow. The chunked form uses products only, never quotients.
///
/// # Shapes
/// `q [h, t, d]`, `k [g, t, d]`, `v [g, t, e]`, `log_decay [g, t, d]`; the state `[g, d, e]`.
///
/// # Errors
/// Like [`retention`](super::retention).
///
/// # Determinism
/// The bits are the same on any number of threads.
///
/// # Examples
/// ```
/// use collimate_attention::linear::{Form, Setting, gla};
/// use collimate_attention::{HeadMap, Scale};
/// use ndarray::Array3;
/// let setting = Setting { scale: Scale::Fixed(1.0), heads: HeadMap::MultiHead, form: Form::Parallel };
/// let one = Array3::<f64>::ones((1, 2, 2));
/// // The first channel keeps everything, the second forgets everything.
/// let log_decay = Array3::from_shape_fn((1, 2, 2), |(_, _, c)| [0.0, f64::NEG_INFINITY][c]);
/// let pass = gla(&setting, &one, &one, &one, &log_decay, None)?;
/// assert_eq!(pass.out[[0, 1, 0]], 3.0);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Yang et al. (2024), "Gated Linear Attention Transformers", equation 3 and section 4.
pub fn gla<F: Precision>(
    setting: &Setting,
    q: &ArrayRef3<F>,
    k: &ArrayRef3<F>,
    v: &ArrayRef3<F>,
    log_decay: &ArrayRef3<F>,
    initial: Option<&ArrayRef3<F>>,
) -> Result<Pass<F>, AttentionError> {
    let problem = Problem::new(setting, Reach::Past, q, k, v)?.decaying(LogDecay::PerChannel(log_decay))?;
    Pass::run(problem.starting(initial)?)
}
