use super::problem::{Problem, Reach};
use super::{Pass, Setting};
use crate::{AttentionError, Precision};
use ndarray::{ArrayRef2, ArrayRef3};

/// Runs the delta rule, which corrects the contents of the state under a key towards the value instead of adding the value.
///
/// ```text
/// S ← S + βₜ kₜ (vₜ − Sᵀ kₜ)ᵀ,   outₜ = scale · Sᵀ qₜ
/// ```
/// It is one step of gradient descent on ½|Sᵀk − v|² with the rate β. With |k| = 1 and 0 ≤ β ≤ 1 the state stays bounded. The keys
/// are not normalised here, so normalise them before. With β|k|² > 2 the state grows without bound.
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
/// use collimate_attention::linear::{Form, Setting, delta_net};
/// use collimate_attention::{HeadMap, Scale};
/// use ndarray::{Array2, Array3, array};
/// let setting = Setting { scale: Scale::Fixed(1.0), heads: HeadMap::MultiHead, form: Form::Parallel };
/// let k = array![[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]]; // the first key comes back
/// let v = array![[[5.0_f64], [6.0], [7.0]]];
/// let pass = delta_net(&setting, &k, &k, &v, &Array2::ones((1, 3)), None)?;
/// assert_eq!(pass.state, array![[[7.0], [6.0]]]); // overwritten; linear attention would give 12
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Schlag, Irie and Schmidhuber (2021), equation 24; Yang et al. (2024), "Parallelizing Linear Transformers with the Delta
/// Rule", section 3.
pub fn delta_net<F: Precision>(
    setting: &Setting,
    q: &ArrayRef3<F>,
    k: &ArrayRef3<F>,
    v: &ArrayRef3<F>,
    beta: &ArrayRef2<F>,
    initial: Option<&ArrayRef3<F>>,
) -> Result<Pass<F>, AttentionError> {
    let problem = Problem::new(setting, Reach::Past, q, k, v)?.correcting(beta)?;
    Pass::run(problem.starting(initial)?)
}
