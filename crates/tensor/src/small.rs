//! Small dense linear algebra in `f64`: linear systems with tens of unknowns, and orthonormal rows.

use ndarray::{Array2, ArrayRef2};

/// A pivot below this share of its diagonal entry makes a matrix singular to rounding.
const SMALLEST_PIVOT: f64 = 1e-13;

/// Solves `A X = B` for a symmetric positive definite matrix `A` and returns `X`. Returns `None` if `A` is not positive
/// definite or singular to rounding.
///
/// The matrix is scaled to a unit diagonal first, so that unknowns of very different size do no harm. Then follows a
/// Cholesky decomposition. Only the diagonal of `A` and the entries below it are read.
///
/// # Shapes
/// `a` `[n, n]`, `b` `[n, r]` → `[n, r]`.
///
/// # Panics
/// If the shapes do not fit.
///
/// # Examples
/// ```
/// use collimate_tensor::small::solve_positive_definite;
/// use ndarray::array;
/// let x = solve_positive_definite(&array![[4.0, 2.0], [2.0, 3.0]], &array![[8.0], [8.0]]).unwrap();
/// assert!((x[[0, 0]] - 1.0).abs() < 1e-15 && (x[[1, 0]] - 2.0).abs() < 1e-15);
/// assert_eq!(solve_positive_definite(&array![[1.0, 1.0], [1.0, 1.0]], &array![[1.0], [1.0]]), None);
/// ```
///
/// # References
/// Higham (2002), sections 10.1 and 10.3.
pub fn solve_positive_definite(a: &ArrayRef2<f64>, b: &ArrayRef2<f64>) -> Option<Array2<f64>> {
    let n = a.nrows();
    assert!(
        a.ncols() == n && b.nrows() == n,
        "solve_positive_definite: shapes {:?} and {:?}",
        a.dim(),
        b.dim()
    );
    let scale: Vec<f64> = a.diag().iter().map(|d| d.sqrt()).collect();
    if !scale.iter().all(|s| *s > 0.0 && s.is_finite()) {
        return None;
    }
    let mut lower = Array2::from_shape_fn((n, n), |(i, j)| a[[i, j]] / scale[i] / scale[j]);
    decompose(&mut lower)?;
    let mut x = Array2::from_shape_fn(b.dim(), |(i, c)| b[[i, c]] / scale[i]);
    for mut column in x.columns_mut() {
        for i in 0..n {
            for k in 0..i {
                column[i] -= lower[[i, k]] * column[k];
            }
            column[i] /= lower[[i, i]];
        }
        for i in (0..n).rev() {
            for k in i + 1..n {
                column[i] -= lower[[k, i]] * column[k];
            }
            column[i] /= lower[[i, i]];
        }
        column.iter_mut().zip(&scale).for_each(|(x, s)| *x /= s);
    }
    Some(x)
}

/// Replaces the lower triangle of a matrix with unit diagonal by its Cholesky factor.
fn decompose(a: &mut Array2<f64>) -> Option<()> {
    let n = a.nrows();
    for j in 0..n {
        for k in 0..j {
            let factor = a[[j, k]];
            for i in j..n {
                a[[i, j]] -= a[[i, k]] * factor;
            }
        }
        let pivot = a[[j, j]];
        if pivot.is_nan() || pivot < SMALLEST_PIVOT {
            return None;
        }
        for i in j..n {
            a[[i, j]] /= pivot.sqrt();
        }
    }
    Some(())
}

/// Makes rows orthonormal, in order, by the Gram–Schmidt process; returns false if a row depends on earlier rows.
///
/// Each row is made orthogonal to the earlier rows twice, which removes what rounding left. A row depends on earlier rows
/// if a remainder shorter than `shortest` is left; the rows from there on are then of no use.
///
/// # Shapes
/// `rows` `[n, d]`.
///
/// # Examples
/// ```
/// use collimate_tensor::small::orthonormalise;
/// let mut rows = ndarray::array![[2.0, 0.0], [1.0, 3.0]];
/// assert!(orthonormalise(&mut rows, 1e-3));
/// assert_eq!(rows, ndarray::array![[1.0, 0.0], [0.0, 1.0]]);
/// ```
///
/// # References
/// Giraud, Langou, Rozložník and van den Eshof (2005): twice is enough.
pub fn orthonormalise(rows: &mut ArrayRef2<f64>, shortest: f64) -> bool {
    for i in 0..rows.nrows() {
        for j in (0..i).chain(0..i) {
            let share = rows.row(i).dot(&rows.row(j));
            let earlier = rows.row(j).to_owned();
            rows.row_mut(i).scaled_add(-share, &earlier);
        }
        let length = rows.row(i).dot(&rows.row(i)).sqrt();
        if length.is_nan() || length < shortest {
            return false;
        }
        rows.row_mut(i).mapv_inplace(|x| x / length);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use collimate_stream::RngStream;
    use proptest::prelude::*;

    fn normal(n: usize, d: usize, stream: &mut RngStream) -> Array2<f64> {
        Array2::from_shape_simple_fn((n, d), || stream.normal())
    }

    proptest! {
        #[test]
        fn solutions_satisfy_badly_scaled_systems(seed in any::<u64>().no_shrink(), n in 1usize..8, r in 1usize..4) {
            let mut stream = RngStream::new(seed, 0);
            let root = normal(n, n, &mut stream);
            let size = |i: usize| 10f64.powi(3 * i as i32 - 6);
            let gram = root.dot(&root.t()) + Array2::<f64>::eye(n);
            let a = Array2::from_shape_fn((n, n), |(i, j)| gram[[i, j]] * size(i) * size(j));
            let expected = Array2::from_shape_fn((n, r), |(i, _)| stream.normal() / size(i));
            let x = solve_positive_definite(&a, &a.dot(&expected)).unwrap();
            for ((i, c), x) in x.indexed_iter() {
                assert_abs_diff_eq!(x * size(i), expected[[i, c]] * size(i), epsilon = 1e-9);
            }
        }

        #[test]
        fn orthonormal_rows_have_a_unit_gram_matrix(seed in any::<u64>().no_shrink(), n in 1usize..8, extra in 0usize..4) {
            let mut rows = normal(n, n + extra, &mut RngStream::new(seed, 1));
            prop_assume!(orthonormalise(&mut rows, 1e-3));
            for ((i, j), product) in rows.dot(&rows.t()).indexed_iter() {
                assert_abs_diff_eq!(*product, f64::from(u8::from(i == j)), epsilon = 1e-13);
            }
        }
    }

    #[test]
    fn singular_systems_and_dependent_rows_are_refused() {
        let b = Array2::ones((2, 1));
        for a in [
            [[1.0, 1.0], [1.0, 1.0]],
            [[0.0, 0.0], [0.0, 1.0]],
            [[1.0, 2.0], [2.0, 1.0]],
            [[f64::NAN, 0.0], [0.0, 1.0]],
        ] {
            assert_eq!(solve_positive_definite(&ndarray::arr2(&a), &b), None, "{a:?}");
        }
        assert!(!orthonormalise(&mut ndarray::array![[1.0, 2.0], [2.0, 4.0]], 1e-3));
    }
}
