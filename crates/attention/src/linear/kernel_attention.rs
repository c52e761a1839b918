use super::pass::Mapped;
use super::problem::{Problem, Reach};
use super::{Denominator, FeatureMap, Pass, Setting};
use crate::{AttentionError, Element};
use collimate_tensor::Scalar;
use ndarray::{Array2, Array3, ArrayRef3, Axis, Zip, s};

/// Causal linear attention, with or without its normaliser.
///
/// ```text
/// S ← S + φ(kₜ) vₜᵀ,   z ← z + φ(kₜ)
/// outₜ = scale · Sᵀ φ(qₜ) / (scale · zᵀ φ(qₜ) + ε),   or the numerator alone
/// ```
/// The paper has φ(x) = elu(x) + 1, scale 1 and the denominator; ONNX has neither φ nor denominator and the scale 1/√d.
///
/// # Shapes
/// `q (h, t, d)`, `k (g, t, d)`, `v (g, t, e)`; the state (g, d, e), or (g, d, e + 1) with z as its last column under
/// [`Denominator::SumOfWeights`].
///
/// # Errors
/// [`AttentionError::Shape`], [`AttentionError::Heads`]; [`AttentionError::OutOfRange`] for numbers that are not finite,
/// a chunk of no tokens or ε < 0; [`AttentionError::Undefined`] for a denominator over the identity map, whose weights
/// can sum to zero; [`AttentionError::StateOverflow`] when finite inputs give a state that is not. A sum of weights that
/// is zero all the same (features that underflow) gives a row of zeros.
///
/// # Determinism
/// The same bits on any number of threads.
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
pub fn linear_attention<F: Element>(
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

/// Linear attention without a mask: every query reads the state of all keys, which may be a sequence of its own.
///
/// ```text
/// S = Σⱼ φ(kⱼ) vⱼᵀ,   z = Σⱼ φ(kⱼ)
/// outₜ = scale · Sᵀ φ(qₜ) / (scale · zᵀ φ(qₜ) + ε),   or the numerator alone
/// ```
/// Only the additive members have this form: a decay and the delta rule need an order of the keys. Keys in the initial
/// state are read like any others, so the keys may come in parts.
///
/// # Shapes
/// `q (h, t, d)`, `k (g, s, d)`, `v (g, s, e)`; the state as in [`linear_attention`].
///
/// # Errors
/// As [`linear_attention`].
///
/// # Determinism
/// The same bits on any number of threads.
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
pub fn bidirectional_linear_attention<F: Element>(
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

fn over<F: Element>(
    reach: Reach,
    setting: &Setting,
    (features, denominator): (FeatureMap, Denominator),
    [q, k, v]: [&ArrayRef3<F>; 3],
    initial: Option<&ArrayRef3<F>>,
) -> Result<Pass<F>, AttentionError> {
    let epsilon = epsilon_of(denominator)?;
    if epsilon.is_some() && features == FeatureMap::Identity {
        return Err(AttentionError::Undefined {
            quantity: "the denominator of linear attention",
            reason: "with the identity as feature map the weights can sum to zero; use a positive map or no denominator",
        });
    }
    // The shapes and numbers are checked on what was given, so that errors speak of it.
    let mut problem = Problem::new(setting, reach, q, k, v)?;
    problem.q = features.apply(q);
    problem.k = features.apply(k);
    mapped(problem, Mapped::By(features, q.to_owned(), k.to_owned()), epsilon, initial)
}

/// ε of a denominator, if there is one.
pub(super) fn epsilon_of<F: Scalar>(denominator: Denominator) -> Result<Option<F>, AttentionError> {
    match denominator {
        Denominator::One => Ok(None),
        Denominator::SumOfWeights { epsilon } if epsilon >= 0.0 && epsilon.is_finite() => {
            Ok(Some(F::from_f64(epsilon)))
        }
        Denominator::SumOfWeights { epsilon } => {
            let expected = "a finite number, at least 0";
            Err(AttentionError::OutOfRange { name: "epsilon", expected, given: epsilon })
        }
    }
}

/// Runs a problem whose q and k are features; a column of ones beside the values makes the state carry Σ φ(k).
pub(super) fn mapped<F: Element>(
    mut problem: Problem<F>,
    map: Mapped<F>,
    epsilon: Option<F>,
    initial: Option<&ArrayRef3<F>>,
) -> Result<Pass<F>, AttentionError> {
    let (g, t, e) = problem.v.dim();
    if epsilon.is_some() {
        let mut v = Array3::ones((g, t, e + 1));
        v.slice_mut(s![.., .., ..e]).assign(&problem.v);
        problem.v = v;
    }
    problem.initial = Array3::zeros((g, problem.k.dim().2, problem.v.dim().2));
    Pass::run_mapped(problem.starting(initial)?, map, epsilon)
}

/// The denominators of a pass.
#[derive(Clone, Debug)]
pub(super) struct Divided<F> {
    /// (h, t); 0 where nothing was divided.
    by: Array2<F>,
}

impl<F: Scalar> Divided<F> {
    /// From numerators with the sums of weights as last column.
    pub(super) fn new(undivided: &ArrayRef3<F>, epsilon: F) -> Self {
        Self { by: undivided.slice(s![.., .., -1]).mapv(|sum| sum + epsilon) }
    }

    pub(super) fn out(&self, undivided: &ArrayRef3<F>) -> Array3<F> {
        let mut out = undivided.slice(s![.., .., ..-1]).to_owned();
        for (mut row, &by) in out.lanes_mut(Axis(2)).into_iter().zip(&self.by) {
            row.mapv_inplace(|x| if by == F::zero() { F::zero() } else { x / by });
        }
        out
    }

    /// The gradient by numerators and sum, from that by the quotients `out`.
    pub(super) fn backward(&self, out: &Array3<F>, d_out: &ArrayRef3<F>) -> Array3<F> {
        let (h, t, e) = out.dim();
        let mut d = Array3::zeros((h, t, e + 1));
        let rows = Zip::from(d.lanes_mut(Axis(2))).and(out.lanes(Axis(2))).and(d_out.lanes(Axis(2)));
        rows.and(&self.by).for_each(|mut d, out, d_out, &by| {
            if by != F::zero() {
                d.slice_mut(s![..e]).assign(&d_out.mapv(|x| x / by));
                d[e] = -out.iter().zip(&d_out).map(|(&a, &b)| a * b).sum::<F>() / by;
            }
        });
        d
    }

    /// The direction of the quotients `out`, from that of numerators and sum.
    pub(super) fn jvp(&self, out: &Array3<F>, undivided: &Array3<F>) -> Array3<F> {
        let mut along = undivided.slice(s![.., .., ..-1]).to_owned();
        let sums = undivided.slice(s![.., .., -1]);
        let rows = Zip::from(along.lanes_mut(Axis(2))).and(out.lanes(Axis(2)));
        rows.and(&sums).and(&self.by).for_each(|mut along, out, &sum, &by| {
            if by == F::zero() {
                along.fill(F::zero());
            } else {
                along.zip_mut_with(&out, |d, &out| *d = (*d - out * sum) / by);
            }
        });
        along
    }
}
