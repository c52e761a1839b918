use super::mapped::Mapped;
use super::problem::{Problem, Reach};
use super::{Denominator, FeatureMap, Pass, Setting};
use crate::{AttentionError, Precision};
use ndarray::ArrayRef3;

/// Runs causal linear attention, with or without its normaliser.
///
/// ```text
/// S ← S + φ(kₜ) vₜᵀ,   z ← z + φ(kₜ)
/// outₜ = scale · Sᵀ φ(qₜ) / (scale · zᵀ φ(qₜ) + ε),   or the numerator alone
/// ```
/// The paper has φ(x) = elu(x) + 1, scale 1 and the denominator; ONNX has neither φ nor denominator and the scale 1/√d.
///
/// # Shapes
/// `q [h, t, d]`, `k [g, t, d]`, `v [g, t, e]`; the state `[g, d, e]`, or `[g, d, e + 1]` with z as its last column under
/// [`Denominator::SumOfWeights`].
///
/// # Errors
/// [`AttentionError::Shape`], [`AttentionError::Heads`]; [`AttentionError::OutOfRange`] for numbers that are not finite,
/// a chunk of no tokens or ε < 0; [`AttentionError::Undefined`] for a denominator over the identity map, whose weights
/// can sum to zero; [`AttentionError::Overflow`] if finite inputs give a non-finite state. A sum of weights that is zero
/// because features underflow gives a row of zeros.
///
/// # Determinism
/// The bits are the same on any number of threads.
///
/// # Examples
/// ```
/// use collimate_attention::linear::{Denominator, FeatureMap, Form, Setting, linear_attention};
/// use collimate_attention::{HeadMap, Scale};
/// use ndarray::Array3;
/// let setting = Setting { scale: Scale::Fixed(1.0), heads: HeadMap::MultiHead, form: Form::Recurrent };
/// let (q, k) = (Array3::<f64>::zeros((1, 3, 2)), Array3::zeros((1, 3, 2)));
/// let v = Array3::from_shape_fn((1, 3, 1), |(_, t, _)| t as f64);
/// let weighted = Denominator::SumOfWeights { epsilon: 0.0 };
/// let pass = linear_attention(&setting, FeatureMap::EluPlusOne, weighted, &q, &k, &v, None)?;
/// assert_eq!(pass.out[[0, 2, 0]], 1.0); // equal weights: the mean of 0, 1, 2
/// assert_eq!(pass.state[[0, 0, 1]], 3.0); // three keys, each with the feature 1
/// let chunked = Setting { form: Form::Chunked { size: 2 }, ..setting };
/// let again = linear_attention(&chunked, FeatureMap::EluPlusOne, weighted, &q, &k, &v, None)?;
/// assert_eq!(again.out, pass.out);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Katharopoulos et al. (2020), "Transformers are RNNs", equations 8 to 12 and 16 to 20.
pub fn linear_attention<F: Precision>(
    setting: &Setting,
    features: FeatureMap,
    denominator: Denominator,
    q: &ArrayRef3<F>,
    k: &ArrayRef3<F>,
    v: &ArrayRef3<F>,
    initial: Option<&ArrayRef3<F>>,
) -> Result<Pass<F>, AttentionError> {
    over(Reach::Past, setting, (features, denominator), [q, k, v], initial)
}

/// Runs linear attention without a mask: every query reads the state of all keys. The keys may be another sequence.
///
/// ```text
/// S = Σⱼ φ(kⱼ) vⱼᵀ,   z = Σⱼ φ(kⱼ)
/// outₜ = scale · Sᵀ φ(qₜ) / (scale · zᵀ φ(qₜ) + ε),   or the numerator alone
/// ```
/// Only the additive members have this form: a decay and the delta rule need an order of the keys. Keys in the initial
/// state are read like all other keys, so the keys may be given in parts.
///
/// # Shapes
/// `q [h, t, d]`, `k [g, s, d]`, `v [g, s, e]`; the state as in [`linear_attention`].
///
/// # Errors
/// Like [`linear_attention`].
///
/// # Determinism
/// The bits are the same on any number of threads.
///
/// # Examples
/// ```
/// use collimate_attention::linear::{
///     Denominator, FeatureMap, Form, Setting, bidirectional_linear_attention,
/// };
/// use collimate_attention::{HeadMap, Scale};
/// use ndarray::Array3;
/// let setting = Setting { scale: Scale::Fixed(1.0), heads: HeadMap::MultiHead, form: Form::Parallel };
/// let (q, k) = (Array3::<f64>::zeros((1, 1, 2)), Array3::zeros((1, 3, 2)));
/// let v = Array3::from_shape_fn((1, 3, 1), |(_, s, _)| s as f64);
/// let weighted = Denominator::SumOfWeights { epsilon: 0.0 };
/// let pass =
///     bidirectional_linear_attention(&setting, FeatureMap::EluPlusOne, weighted, &q, &k, &v, None)?;
/// assert_eq!(pass.out[[0, 0, 0]], 1.0); // the mean of all three values
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Katharopoulos et al. (2020), "Transformers are RNNs", equations 4 to 6.
pub fn bidirectional_linear_attention<F: Precision>(
    setting: &Setting,
    features: FeatureMap,
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
    (features, denominator): (FeatureMap, Denominator),
    [q, k, v]: [&ArrayRef3<F>; 3],
    initial: Option<&ArrayRef3<F>>,
) -> Result<Pass<F>, AttentionError> {
    let epsilon = denominator.epsilon()?;
    if epsilon.is_some() && features == FeatureMap::Identity {
        return Err(AttentionError::Undefined {
            quantity: "the denominator of linear attention",
            reason: "with the identity as feature map the weights can sum to zero; use a positive map or no denominator",
        });
    }
    // The checks run on the given rows, so that the errors describe them.
    let mut problem = Problem::new(setting, reach, q, k, v)?;
    problem.q = features.apply(q);
    problem.k = features.apply(k);
    Pass::run_mapped(problem, Mapped::By(features, q.to_owned(), k.to_owned()), epsilon, initial)
}
