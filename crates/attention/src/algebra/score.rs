use super::arguments::{row, row_mut};
use super::normaliser::sign;
use super::setting::Setting;
use collimate_tensor::{Scalar, dot};
use ndarray::{Array3, ArrayRef3};

/// The similarity of a query row and a key row, before the scale.
///
/// ```text
/// dot product               ⟨q, k⟩            with rows of length 1 the cosine
/// negative Manhattan        −Σ |q − k|
/// negative Euclidean        −√Σ (q − k)²
/// negative squared          −Σ (q − k)²
/// ```
///
/// The two distances have kinks where q and k are equal; their derivative there is taken as 0. The product rule between steps
/// is the dot product of lifted rows: [`lift`](crate::product_rule::lift).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Score {
    /// The inner product.
    DotProduct,
    /// The negative sum of the absolute differences.
    NegativeManhattan,
    /// The negative distance.
    NegativeEuclidean,
    /// The negative square of the distance: x-transformers' `l2_distance`.
    NegativeSquaredEuclidean,
}

/// The key head and the value head that each query head reads.
#[derive(Clone, Debug)]
pub(crate) struct Reads {
    pub(crate) key: Vec<usize>,
    pub(crate) value: Vec<usize>,
}

impl Score {
    fn of<F: Scalar>(self, q: &[F], k: &[F]) -> F {
        let differences = || q.iter().zip(k).map(|(&q, &k)| q - k);
        match self {
            Self::DotProduct => dot(q, k),
            Self::NegativeManhattan => differences().fold(F::zero(), |sum, x| sum - x.abs()),
            Self::NegativeEuclidean => -distance(q, k),
            Self::NegativeSquaredEuclidean => differences().fold(F::zero(), |sum, x| sum - x * x),
        }
    }

    /// Returns the derivative by coordinate `c` of q. The derivative by k is its negative, except for the dot product.
    fn slope<F: Scalar>(self, q: &[F], k: &[F], c: usize, distance: F) -> F {
        let difference = q[c] - k[c];
        match self {
            Self::DotProduct => k[c],
            Self::NegativeManhattan => -sign(difference),
            Self::NegativeEuclidean if distance == F::zero() => F::zero(),
            Self::NegativeEuclidean => -difference / distance,
            Self::NegativeSquaredEuclidean => -(difference + difference),
        }
    }

    fn distance<F: Scalar>(self, q: &[F], k: &[F]) -> F {
        match self {
            Self::NegativeEuclidean => distance(q, k),
            _ => F::zero(),
        }
    }

    /// Computes `scale · score` of every pair that attends.
    pub(crate) fn forward<F: Scalar>(
        self,
        at: &Setting<'_>,
        reads: &Reads,
        scale: F,
        q: &ArrayRef3<F>,
        k: &ArrayRef3<F>,
    ) -> Array3<F> {
        at.logits(|h, i, j| {
            let (q, k) = (row(q, h, i), row(k, reads.key[h], j));
            let score = scale * self.of(q, k);
            if score.is_finite() || self != Self::DotProduct {
                return score;
            }
            // The sum may overflow although the scaled score does not.
            q.iter().zip(k).fold(F::zero(), |sum, (&q, &k)| sum + q * scale * k)
        })
    }

    /// Computes the gradients by the rows.
    pub(crate) fn vjp<F: Scalar>(
        self,
        at: &Setting<'_>,
        reads: &Reads,
        scale: F,
        q: &ArrayRef3<F>,
        k: &ArrayRef3<F>,
        d: &ArrayRef3<F>,
    ) -> (Array3<F>, Array3<F>) {
        let (mut d_q, mut d_k) = (Array3::zeros(q.dim()), Array3::zeros(k.dim()));
        at.for_each(|h, i, keys| {
            let (q, g) = (row(q, h, i), reads.key[h]);
            for &j in keys {
                let (k, d) = (row(k, g, j), scale * d[[h, i, j]]);
                let distance = self.distance(q, k);
                let (d_q, d_k) = (row_mut(&mut d_q, h, i), row_mut(&mut d_k, g, j));
                for c in 0..q.len() {
                    let slope = self.slope(q, k, c, distance);
                    d_q[c] += d * slope;
                    d_k[c] += d * if self == Self::DotProduct { q[c] } else { -slope };
                }
            }
        });
        (d_q, d_k)
    }

    /// Computes the direction of the scores.
    pub(crate) fn jvp<F: Scalar>(
        self,
        at: &Setting<'_>,
        reads: &Reads,
        scale: F,
        [q, k]: [&ArrayRef3<F>; 2],
        [q_dot, k_dot]: [&ArrayRef3<F>; 2],
    ) -> Array3<F> {
        at.slopes(|h, i, j| {
            let g = reads.key[h];
            let (q, k, q_dot, k_dot) = (row(q, h, i), row(k, g, j), row(q_dot, h, i), row(k_dot, g, j));
            let distance = self.distance(q, k);
            let terms = (0..q.len()).map(|c| {
                let slope = self.slope(q, k, c, distance);
                let by_key = if self == Self::DotProduct { q[c] } else { -slope };
                slope * q_dot[c] + by_key * k_dot[c]
            });
            scale * terms.fold(F::zero(), |sum, x| sum + x)
        })
    }
}

/// Returns the Euclidean distance of two rows.
fn distance<F: Scalar>(q: &[F], k: &[F]) -> F {
    length(&q.iter().zip(k).map(|(&q, &k)| q - k).collect::<Vec<F>>())
}

/// Returns √Σ x² without intermediate overflow.
pub(crate) fn length<F: Scalar>(x: &[F]) -> F {
    let squares = x.iter().fold(F::zero(), |sum, &x| sum + x * x);
    // A sum of squares out of range is infinite, or so small that some squares may have underflowed.
    if squares.is_finite() && squares > F::min_positive_value().sqrt() {
        return squares.sqrt();
    }
    let top = x.iter().fold(F::zero(), |m: F, &x| if x.abs() > m || x.is_nan() { x.abs() } else { m });
    if top == F::zero() || !top.is_finite() {
        return top;
    }
    top * x.iter().fold(F::zero(), |sum, &x| sum + (x / top) * (x / top)).sqrt()
}
