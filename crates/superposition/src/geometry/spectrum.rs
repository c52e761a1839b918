//! Singular values and the column space of a small matrix, by one-sided Jacobi rotations.
//!
//! The matrices here have tens of rows. One-sided Jacobi never forms the Gram matrix, so small singular values
//! keep their relative accuracy, and it needs no decomposition library.

use super::scale::{largest, scale_for};
use ndarray::{Array1, Array2, ArrayRef2, Axis};

/// The largest number of sweeps. Convergence is quadratic and takes fewer than ten.
const SWEEPS: usize = 60;

/// The singular values of a matrix and orthonormal vectors that span its columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    /// The singular values in descending order, one for each column of the matrix.
    pub singular_values: Array1<f64>,
    /// The left singular vectors as columns. The vector of a zero singular value is zero.
    pub left: Array2<f64>,
}

impl Spectrum {
    /// Decomposes a matrix as `A = U Σ Vᵀ` and returns `Σ` and `U`. Its scale does not matter: the rotations take the matrix times a
    /// power of two if its fourth powers leave the range of numbers.
    ///
    /// # Shapes
    /// `a`: `[rows, columns]`.
    ///
    /// # Examples
    /// ```
    /// use collimate_superposition::Spectrum;
    /// use ndarray::array;
    /// let s = Spectrum::of(&array![[3.0, 0.0], [4.0, 0.0]]);
    /// assert!((s.singular_values[0] - 5.0).abs() < 1e-14);
    /// assert_eq!(s.rank(1e-12), 1);
    /// ```
    ///
    /// # References
    /// M. R. Hestenes (1958), "Inversion of matrices by biorthogonalization".
    pub fn of(a: &ArrayRef2<f64>) -> Self {
        let scale = scale_for(largest(a));
        let mut u = a.mapv(|x| x * scale);
        let columns = u.ncols();
        for _ in 0..SWEEPS {
            let mut rotated = false;
            for p in 0..columns {
                for q in p + 1..columns {
                    rotated |= orthogonalise(&mut u, p, q);
                }
            }
            if !rotated {
                break;
            }
        }
        let norms: Vec<f64> = u.axis_iter(Axis(1)).map(|c| c.dot(&c).sqrt()).collect();
        let mut order: Vec<usize> = (0..columns).collect();
        order.sort_by(|&i, &j| norms[j].total_cmp(&norms[i]));
        let mut left = Array2::zeros(u.raw_dim());
        for (k, &i) in order.iter().enumerate() {
            if norms[i] > 0.0 {
                left.column_mut(k).assign(&u.column(i).mapv(|x| x / norms[i]));
            }
        }
        Self { singular_values: order.iter().map(|&i| norms[i] / scale).collect(), left }
    }

    /// Returns the number of singular values above `relative_tolerance` times the largest.
    pub fn rank(&self, relative_tolerance: f64) -> usize {
        let largest = self.singular_values.first().copied().unwrap_or(0.0);
        self.singular_values.iter().filter(|&&s| s > 0.0 && s > relative_tolerance * largest).count()
    }
}

/// Rotates columns `p` and `q` until they are orthogonal. Returns false if they already were.
fn orthogonalise(u: &mut Array2<f64>, p: usize, q: usize) -> bool {
    let (pp, qq, pq) = {
        let (cp, cq) = (u.column(p), u.column(q));
        (cp.dot(&cp), cq.dot(&cq), cp.dot(&cq))
    };
    if pq == 0.0 || pq.abs() <= 1e-16 * (pp * qq).sqrt() {
        return false;
    }
    let zeta = (qq - pp) / (2.0 * pq);
    let t = if zeta.is_finite() { zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt()) } else { 0.0 };
    if t == 0.0 {
        return false;
    }
    let c = 1.0 / (1.0 + t * t).sqrt();
    let s = c * t;
    for row in 0..u.nrows() {
        let (x, y) = (u[[row, p]], u[[row, q]]);
        u[[row, p]] = c * x - s * y;
        u[[row, q]] = s * x + c * y;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn wide_and_tall_matrices_have_the_same_singular_values() {
        let a = array![[1.0, 2.0, -1.0, 0.5], [0.0, 1.0, 3.0, -2.0]];
        let (wide, tall) = (Spectrum::of(&a), Spectrum::of(&a.t()));
        for k in 0..2 {
            assert!((wide.singular_values[k] - tall.singular_values[k]).abs() < 1e-14);
        }
        assert_eq!(wide.rank(1e-12), 2);
        let frobenius: f64 = tall.singular_values.iter().map(|s| s * s).sum();
        assert!((frobenius - a.iter().map(|x| x * x).sum::<f64>()).abs() < 1e-13);
    }

    #[test]
    fn left_vectors_are_orthonormal() {
        let a = array![[1.0, 2.0], [2.0, 4.0], [3.0, 6.5]];
        let u = Spectrum::of(&a).left;
        let gram = u.t().dot(&u);
        for ((i, j), g) in gram.indexed_iter() {
            assert!((g - f64::from(u8::from(i == j))).abs() < 1e-14);
        }
    }
}
