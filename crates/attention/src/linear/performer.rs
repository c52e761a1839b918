use super::mapped::Mapped;
use super::problem::{Problem, Reach};
use super::{Denominator, Pass, RandomFeatures, Setting, Stabiliser};
use crate::{AttentionError, Precision};
use ndarray::ArrayRef3;

/// Estimates causal softmax attention by random features: linear attention with φ of [`RandomFeatures`].
///
/// ```text
/// outₜ = Σ_{j ≤ t} ⟨φ(qₜ), φ(kⱼ)⟩ vⱼ / (Σ_{j ≤ t} ⟨φ(qₜ), φ(kⱼ)⟩ + ε),   E ⟨φ(q), φ(k)⟩ = exp(scale · q·k)
/// ```
/// The scale of the setting is the scale of the softmax. The weights are unbiased, but their quotient is biased.
///
/// # Shapes
/// `q [h, t, d]`, `k [g, t, d]`, `v [g, t, e]`, features of width d; the state is `[g, m, e + 1]` under
/// [`Denominator::SumOfWeights`], else `[g, m, e]`.
///
/// # Errors
/// Like [`linear_attention`](super::linear_attention); [`AttentionError::Undefined`] for an initial state under
/// [`Stabiliser::Maxima`], since its keys were measured against another maximum.
///
/// # Determinism
/// The bits are the same on any number of threads.
///
/// # Examples
/// ```
/// use collimate_attention::linear::{
///     Denominator, Directions, Form, RandomFeatures, Setting, Stabiliser, performer,
/// };
/// use collimate_attention::{Attention, HeadMap, Mask, Offset, Scale};
/// use collimate_stream::RngStream;
/// use ndarray::Array3;
/// let mut stream = RngStream::new(1, 0);
/// let features =
///     RandomFeatures::draw(Directions::Orthogonal, 4096, 2, Stabiliser::Maxima, 0.0, &mut stream)?;
/// let mut rows = || Array3::<f64>::from_shape_simple_fn((1, 4, 2), || stream.normal());
/// let (q, k, v) = (rows(), rows(), rows());
/// let setting = Setting { scale: Scale::InverseSqrtDim, heads: HeadMap::MultiHead, form: Form::Parallel };
/// let pass =
///     performer(&setting, &features, Denominator::SumOfWeights { epsilon: 0.0 }, &q, &k, &v, None)?;
/// let (exact, _) =
///     Attention::scaled_dot_product().mask(Mask::causal(Offset::zero())).forward(&q, &k, &v)?;
/// assert!((pass.out - exact).iter().all(|x| x.abs() < 0.1));
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Choromanski et al. (2021), "Rethinking Attention with Performers", section 2.
pub fn performer<F: Precision>(
    setting: &Setting,
    features: &RandomFeatures<F>,
    denominator: Denominator,
    q: &ArrayRef3<F>,
    k: &ArrayRef3<F>,
    v: &ArrayRef3<F>,
    initial: Option<&ArrayRef3<F>>,
) -> Result<Pass<F>, AttentionError> {
    over(Reach::Past, setting, (features, denominator), [q, k, v], initial)
}

/// Estimates softmax attention without a mask by random features: every query reads all keys. The keys may be another sequence.
///
/// ```text
/// outₜ = Σⱼ ⟨φ(qₜ), φ(kⱼ)⟩ vⱼ / (Σⱼ ⟨φ(qₜ), φ(kⱼ)⟩ + ε)
/// ```
///
/// # Shapes
/// `q [h, t, d]`, `k [g, s, d]`, `v [g, s, e]`; the state as in [`performer`].
///
/// # Errors
/// Like [`performer`].
///
/// # Determinism
/// The bits are the same on any number of threads.
///
/// # References
/// Choromanski et al. (2021), "Rethinking Attention with Performers", equation 4.
pub fn bidirectional_performer<F: Precision>(
    setting: &Setting,
    features: &RandomFeatures<F>,
    denominator: Denominator,
    q: &ArrayRef3<F>,
    k: &ArrayRef3<F>,
    v: &ArrayRef3<F>,
    initial: Option<&ArrayRef3<F>>,
) -> Result<Pass<F>, AttentionError> {
    over(Reach::All, setting, (features, denominator), [q, k, v], initial)
}

fn over<F: Precision>(
    reach: Reach,
    setting: &Setting,
    (features, denominator): (&RandomFeatures<F>, Denominator),
    [q, k, v]: [&ArrayRef3<F>; 3],
    initial: Option<&ArrayRef3<F>>,
) -> Result<Pass<F>, AttentionError> {
    let epsilon = denominator.epsilon()?;
    if initial.is_some() && features.stabiliser() == Stabiliser::Maxima {
        return Err(AttentionError::Undefined {
            quantity: "an initial state of random features",
            reason: "its keys were stabilised with the maximum of other keys; use `Stabiliser::None`",
        });
    }
    let mut problem = Problem::new(setting, reach, q, k, v)?;
    let scale = setting.scale.value(q.dim().2);
    let (q, k, drawn) = features.of_both(q, k, scale)?;
    (problem.q, problem.k) = (q, k);
    // The scale is inside the features.
    problem.scale = F::one();
    Pass::run_mapped(problem, Mapped::Random(Box::new(drawn)), epsilon, initial)
}
