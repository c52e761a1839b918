use super::problem::{Problem, Reach};
use super::{LogDecay, Pass, Setting};
use crate::{AttentionError, Precision};
use ndarray::{ArrayRef2, ArrayRef3};

/// Runs the delta rule on a state that decays first.
///
/// ```text
/// S ← diag(e^{gₜ}) S,   S ← S + βₜ kₜ (vₜ − Sᵀ kₜ)ᵀ,   outₜ = scale · Sᵀ qₜ
/// ```
/// The paper has one decay for each token. Kimi Linear has one for each channel and calls it KDA. ONNX takes both.
///
/// # Shapes
/// `q [h, t, d]`, `k [g, t, d]`, `v [g, t, e]`, `beta [g, t]`; the state `[g, d, e]`.
///
/// # Errors
/// Like [`retention`](super::retention).
///
/// # Determinism
/// The bits are the same on any number of threads.
///
/// # Examples
/// ```
/// use collimate_attention::linear::{Form, LogDecay, Setting, gated_delta_net};
/// use collimate_attention::{HeadMap, Scale};
/// use ndarray::{Array2, array};
/// let setting = Setting { scale: Scale::Fixed(1.0), heads: HeadMap::MultiHead, form: Form::Recurrent };
/// let k = array![[[1.0_f64, 0.0], [0.0, 1.0]]];
/// let log_decay = array![[0.0, 0.5_f64.ln()]];
/// let pass =
///     gated_delta_net(&setting, &k, &k, &k, LogDecay::PerToken(&log_decay), &Array2::ones((1, 2)), None)?;
/// assert_eq!(pass.state, array![[[0.5, 0.0], [0.0, 1.0]]]);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Yang, Kautz and Hatamizadeh (2024), "Gated Delta Networks", equation 10.
pub fn gated_delta_net<F: Precision>(
    setting: &Setting,
    q: &ArrayRef3<F>,
    k: &ArrayRef3<F>,
    v: &ArrayRef3<F>,
    log_decay: LogDecay<'_, F>,
    beta: &ArrayRef2<F>,
    initial: Option<&ArrayRef3<F>>,
) -> Result<Pass<F>, AttentionError> {
    let problem = Problem::new(setting, Reach::Past, q, k, v)?.decaying(log_decay)?.correcting(beta)?;
    Pass::run(problem.starting(initial)?)
}
