use crate::AttentionError;
use crate::tasks;
use collimate_tensor::Scalar;
use ndarray::{ArcArray, Array3, ArrayD, ArrayRef3, Ix3};
use std::collections::BTreeMap;

/// A learned array that a [`Variant`](super::Variant) may need besides q, k and v.
///
/// The crate page defines the axes. `h` counts query heads, `p` counts heads of the output (pairs in a differential variant).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Parameter {
    /// The gain of the norm of the query rows: `[d]`, or `[h, d]` for a norm over the full projection.
    QueryGain,
    /// The gain of the norm of the key rows: `[d]`, or `[g, d]` for a norm over the full projection.
    KeyGain,
    /// The factor on the logits of a head: `[h]`.
    Temperature,
    /// The numbers added to the logits, each axis of length 1 or full: `[h, t, s]`. −∞ masks a pair.
    Bias,
    /// The slopes of a learned ALiBi: `[h]`.
    Slopes,
    /// The biases of the relative-position buckets: `[buckets, h]`.
    Buckets,
    /// The logarithms of the forget gates at the key positions: `[h, s]`. −∞ forgets all earlier keys.
    LogForget,
    /// The matrix with which talking heads mix logits, row = head after, column = head before: `[h, h]`.
    MixLogits,
    /// The matrix with which talking heads mix patterns, row = head after, column = head before: `[h, h]`.
    MixPattern,
    /// The logit of the sink of a head: `[h]`.
    Sink,
    /// The bias in front of the sigmoid of a head: `[h]`.
    SigmoidBias,
    /// The first vector of λ of Differential V1, of any length.
    LambdaQuery1,
    /// The partner of the query vector before it, of the same length.
    LambdaKey1,
    /// The second vector of λ of Differential V1.
    LambdaQuery2,
    /// The partner of the query vector before it, of the same length.
    LambdaKey2,
    /// The logit of λ of Differential V2, for each pair and query: `[p, t]`.
    LambdaLogit,
    /// The gain of the norm of the output rows: `[e]`.
    HeadGain,
    /// The logits of the gate on the output: `[p, t, e]`, or `[p, t, 1]` if a head has one gate.
    Gate,
}

impl Parameter {
    /// Returns the name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueryGain => "QueryGain",
            Self::KeyGain => "KeyGain",
            Self::Temperature => "Temperature",
            Self::Bias => "Bias",
            Self::Slopes => "Slopes",
            Self::Buckets => "Buckets",
            Self::LogForget => "LogForget",
            Self::MixLogits => "MixLogits",
            Self::MixPattern => "MixPattern",
            Self::Sink => "Sink",
            Self::SigmoidBias => "SigmoidBias",
            Self::LambdaQuery1 => "LambdaQuery1",
            Self::LambdaKey1 => "LambdaKey1",
            Self::LambdaQuery2 => "LambdaQuery2",
            Self::LambdaKey2 => "LambdaKey2",
            Self::LambdaLogit => "LambdaLogit",
            Self::HeadGain => "HeadGain",
            Self::Gate => "Gate",
        }
    }
}

/// The learned arrays of a call, by name.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Parameters<F>(BTreeMap<Parameter, ArrayD<F>>);

impl<F: Scalar> Parameters<F> {
    /// Makes an empty set.
    pub fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds an array, or replaces the array of that name.
    #[must_use]
    pub fn with<D: ndarray::Dimension>(mut self, name: Parameter, array: ndarray::Array<F, D>) -> Self {
        self.insert(name, array.into_dyn());
        self
    }

    /// Inserts an array under a name.
    pub fn insert(&mut self, name: Parameter, array: ArrayD<F>) {
        self.0.insert(name, array.as_standard_layout().into_owned());
    }

    /// Returns the array of this name.
    pub fn get(&self, name: Parameter) -> Option<&ArrayD<F>> {
        self.0.get(&name)
    }

    /// Returns all arrays, in the order of [`Parameter`].
    pub fn iter(&self) -> impl Iterator<Item = (Parameter, &ArrayD<F>)> {
        self.0.iter().map(|(&name, array)| (name, array))
    }

    /// Returns the numbers of an array whose presence the check has confirmed.
    pub(crate) fn values(&self, name: Parameter) -> &[F] {
        self.0[&name].as_slice().expect("parameters are kept in standard layout")
    }

    pub(crate) fn values_mut(&mut self, name: Parameter) -> &mut [F] {
        self.0.get_mut(&name).and_then(|x| x.as_slice_mut()).expect("parameters are kept in standard layout")
    }

    pub(crate) fn zeros_like(&self) -> Self {
        Self(self.0.iter().map(|(&name, x)| (name, ArrayD::zeros(x.shape()))).collect())
    }
}

/// The arguments of a variant: q, k, v and its learned arrays. Gradients and directions have this type too.
///
/// # Shapes
/// `q [h, t, d]`, `k [g, s, d]`, `v [g, s, e]`. In Differential V1 `v` has one head for each pair of key heads.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments<F> {
    /// The queries `[h, t, d]`.
    pub q: Array3<F>,
    /// The keys `[g, s, d]`.
    pub k: Array3<F>,
    /// The values `[g, s, e]`.
    pub v: Array3<F>,
    /// The learned arrays.
    pub parameters: Parameters<F>,
}

impl<F: Scalar> Arguments<F> {
    /// Takes q, k and v without learned arrays.
    pub fn new(q: &ArrayRef3<F>, k: &ArrayRef3<F>, v: &ArrayRef3<F>) -> Self {
        let own = |x: &ArrayRef3<F>| x.as_standard_layout().into_owned();
        Self { q: own(q), k: own(k), v: own(v), parameters: Parameters::new() }
    }

    /// Adds a learned array.
    #[must_use]
    pub fn with<D: ndarray::Dimension>(mut self, name: Parameter, array: ndarray::Array<F, D>) -> Self {
        self.parameters = self.parameters.with(name, array);
        self
    }

    /// Returns zeros with the shapes of these arguments.
    #[must_use]
    pub fn zeros_like(&self) -> Self {
        let zeros = |x: &Array3<F>| Array3::zeros(x.dim());
        Self {
            q: zeros(&self.q),
            k: zeros(&self.k),
            v: zeros(&self.v),
            parameters: self.parameters.zeros_like(),
        }
    }

    /// Returns all arrays in standard layout, which the loops need.
    pub(crate) fn standard(&self) -> Shared<F> {
        let own = |x: &Array3<F>| x.as_standard_layout().into_owned().into_shared();
        Shared { q: own(&self.q), k: own(&self.k), v: own(&self.v), parameters: self.parameters.clone() }
    }
}

/// Arguments in standard layout, which the stages of a call share.
#[derive(Clone, Debug)]
pub(crate) struct Shared<F> {
    pub(crate) q: ArcArray<F, Ix3>,
    pub(crate) k: ArcArray<F, Ix3>,
    pub(crate) v: ArcArray<F, Ix3>,
    pub(crate) parameters: Parameters<F>,
}

impl<F: Scalar> Shared<F> {
    /// Checks that a direction has the shapes of these arguments.
    pub(crate) fn check_direction(&self, direction: &Arguments<F>) -> Result<(), AttentionError> {
        use crate::error::check_shape;
        check_shape("the direction of q", "[h, t, d]", self.q.shape(), direction.q.shape())?;
        check_shape("the direction of k", "[g, s, d]", self.k.shape(), direction.k.shape())?;
        check_shape("the direction of v", "[g, s, e]", self.v.shape(), direction.v.shape())?;
        for (name, array) in self.parameters.iter() {
            let Some(given) = direction.parameters.get(name) else {
                return Err(AttentionError::Parameter {
                    name: name.name(),
                    problem: "is missing in the direction",
                });
            };
            check_shape(name.name(), "(the shape of the parameter)", array.shape(), given.shape())?;
        }
        Ok(())
    }
}

/// Returns row `i` of head `h` of an array in standard layout.
pub(crate) fn row<F>(x: &ArrayRef3<F>, h: usize, i: usize) -> &[F] {
    let (_, rows, width) = x.dim();
    &x.as_slice().expect("own arrays are in standard layout")[(h * rows + i) * width..][..width]
}

/// Returns row `i` of head `h` as a slice that can be changed.
pub(crate) fn row_mut<F>(x: &mut ArrayRef3<F>, h: usize, i: usize) -> &mut [F] {
    let (_, rows, width) = x.dim();
    &mut x.as_slice_mut().expect("own arrays are in standard layout")[(h * rows + i) * width..][..width]
}

/// The number of numbers from which on several threads share the heads.
const PARALLEL: usize = 1 << 16;

/// Runs on the rows of each head of an array in standard layout. Heads are independent, so threads change no bit.
pub(crate) fn for_each_head<F: Scalar>(x: &mut ArrayRef3<F>, run: &(dyn Fn(usize, &mut [F]) + Sync)) {
    let (_, rows, width) = x.dim();
    let size = (rows * width).max(1);
    let all = x.as_slice_mut().expect("own arrays are in standard layout");
    let work = if all.len() < PARALLEL { 0 } else { usize::MAX };
    let mut heads: Vec<_> = all.chunks_exact_mut(size).enumerate().collect();
    tasks::run(&mut heads, work, || (), |(), (head, rows)| run(*head, rows));
}
