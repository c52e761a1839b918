use super::FeatureMap;
use super::problem::Problem;
use super::random_features::Drawn;
use collimate_tensor::Scalar;
use ndarray::Array3;

/// The map from the given queries and keys to those of the recurrence.
#[derive(Clone, Debug)]
pub(super) enum Mapped<F> {
    /// No map.
    Unchanged,
    /// A feature map, with the given q and k.
    By(FeatureMap, Array3<F>, Array3<F>),
    /// Random features.
    Random(Box<Drawn<F>>),
}

impl<F: Scalar> Mapped<F> {
    /// Returns the shapes of the given queries and keys.
    pub(super) fn shapes(&self, problem: &Problem<F>) -> [(usize, usize, usize); 2] {
        match self {
            Self::Unchanged => [problem.q.dim(), problem.k.dim()],
            Self::By(_, q, k) => [q.dim(), k.dim()],
            Self::Random(drawn) => drawn.shapes(),
        }
    }

    /// Turns directions of the given rows into directions of the features.
    pub(super) fn along(&self, q: &mut Array3<F>, k: &mut Array3<F>) {
        match self {
            Self::Random(drawn) => (*q, *k) = drawn.jvp(q, k),
            _ => self.slope(q, k),
        }
    }

    /// Turns gradients by the features into gradients by the given rows.
    pub(super) fn back(&self, q: &mut Array3<F>, k: &mut Array3<F>) {
        match self {
            Self::Random(drawn) => (*q, *k) = drawn.backward(q, k),
            _ => self.slope(q, k),
        }
    }

    /// Multiplies by the slopes of an elementwise map.
    fn slope(&self, by_q: &mut Array3<F>, by_k: &mut Array3<F>) {
        if let Self::By(map, q, k) = self {
            map.slope(q, by_q);
            map.slope(k, by_k);
        }
    }
}
