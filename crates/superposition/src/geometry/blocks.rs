//! Measures of thousands of directions, without a matrix of all their pairs.
//!
//! Dimensionality needs only the frame operator `S = Σ_j w_j w_jᵀ`, an `[m, m]` matrix: `Σ_j (w_i · w_j)² = w_iᵀ S w_i`. Measures
//! of pairs (coherence, the nearest neighbour of each direction) run over blocks of columns.

use super::directions::feature_norms;
use super::scale::scale_for;
use crate::error::{SuperpositionError, require_finite};
use collimate_measure::ensure;
use collimate_tensor::{Scalar, matmul};
use ndarray::{Array1, Array2, ArrayRef2, Axis, s};
use rayon::prelude::*;

/// The number of columns in a block. Two blocks and their products fit in the second-level cache of two cores.
const BLOCK: usize = 512;

/// The measures of a large set of directions.
///
/// They are those of the functions for small matrices, computed in blocks.
///
/// # Examples
/// ```
/// use collimate_superposition::{DirectionGeometry, regular_polygon};
/// let pentagon = DirectionGeometry::of(&regular_polygon(5)?)?;
/// assert!(pentagon.dimensionality.iter().all(|d| (d - 0.4).abs() < 1e-14));
/// assert!((pentagon.coherence - (std::f64::consts::PI / 5.0).cos()).abs() < 1e-15);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DirectionGeometry {
    /// The length of each direction.
    pub norms: Array1<f64>,
    /// The dimensionality of each direction, as [`feature_dimensionality`](crate::feature_dimensionality).
    pub dimensionality: Array1<f64>,
    /// The interference at each direction, as [`interference`](crate::interference).
    pub interference: Array1<f64>,
    /// The frame potential, as [`frame_potential`](crate::frame_potential).
    pub frame_potential: f64,
    /// The coherence, as [`coherence`](crate::coherence).
    pub coherence: f64,
    /// The largest absolute cosine of each direction with any other; 0 for a direction of length 0.
    pub nearest: Array1<f64>,
}

impl DirectionGeometry {
    /// Measures the columns of a matrix.
    ///
    /// The frame operator is summed in `f64`, so the error of a dimensionality is about `1e-16 · ‖S‖ / ‖w_i‖²`. Use
    /// [`feature_dimensionality`](crate::feature_dimensionality) where lengths differ by many orders of magnitude. Cosines are
    /// computed in `F`.
    ///
    /// # Shapes
    /// `directions`: `[m, n]`. The memory is two blocks `[512, m]` and a few matrices `[m, m]`. The transpose of a row-major matrix
    /// of directions is read without a copy.
    ///
    /// # Errors
    /// [`SuperpositionError::NotFinite`] if an entry is NaN or infinite.
    ///
    /// # Determinism
    /// Blocks are fixed and combined in order, so the bits are equal on any number of threads.
    pub fn of<F: Scalar>(directions: &ArrayRef2<F>) -> Result<Self, SuperpositionError> {
        let (m, n) = directions.dim();
        let not_finite = |column: usize| {
            let row = directions.column(column).iter().position(|x| !x.is_finite())?;
            let value = directions[[row, column]].to_f64();
            Some(SuperpositionError::NotFinite { argument: "directions", index: row * n + column, value })
        };
        if let Some(error) = (0..n).find_map(not_finite) {
            return Err(error);
        }
        let top = directions.iter().fold(0.0, |top: f64, x| top.max(Scalar::to_f64(*x).abs()));
        let scale = scale_for(top);
        let (mut operator, mut unit_operator) = (Array2::<f64>::zeros((m, m)), Array2::zeros((m, m)));
        let mut norms = Array1::zeros(n);
        for start in (0..n).step_by(BLOCK) {
            let block = rows_of(directions, start) * scale;
            operator += &product(&block.t(), &block);
            let own = feature_norms(&block.t());
            let unit = unit_rows(&block, &own);
            unit_operator += &product(&unit.t(), &unit);
            norms.slice_mut(s![start..start + block.nrows()]).assign(&own);
        }
        let (mut dimensionality, mut interference) = (Array1::zeros(n), Array1::zeros(n));
        for start in (0..n).step_by(BLOCK) {
            let block = rows_of(directions, start) * scale;
            let image = product(&block, &operator);
            for (k, (row, image)) in block.rows().into_iter().zip(image.rows()).enumerate() {
                let own: f64 = norms[start + k] * norms[start + k];
                if own > 0.0 {
                    // Σ_j (ŵ_i · w_j)²
                    let seen = row.dot(&image) / own;
                    dimensionality[start + k] = (own / seen).min(1.0);
                    interference[start + k] = (seen - own).max(0.0);
                }
            }
        }
        norms /= scale;
        interference /= scale * scale;
        let frame_potential = unit_operator.iter().map(|x| x * x).sum();
        let nearest = nearest(directions, &norms);
        let coherence = nearest.iter().copied().fold(0.0, f64::max);
        Ok(Self { norms, dimensionality, interference, frame_potential, coherence, nearest })
    }
}

/// Copies a block of columns in `f64`, each to a contiguous row.
fn rows_of<F: Scalar>(directions: &ArrayRef2<F>, start: usize) -> Array2<f64> {
    let end = directions.ncols().min(start + BLOCK);
    let columns = directions.slice(s![.., start..end]);
    let mut block = Array2::zeros((columns.ncols(), columns.nrows()));
    block.zip_mut_with(&columns.t(), |to, &x| *to = x.to_f64());
    block
}

fn product<F: Scalar>(a: &ArrayRef2<F>, b: &ArrayRef2<F>) -> Array2<F> {
    matmul(a, b).expect("the inner sizes are equal")
}

fn unit_rows(block: &Array2<f64>, norms: &Array1<f64>) -> Array2<f64> {
    let mut unit = block.clone();
    for (mut row, &norm) in unit.axis_iter_mut(Axis(0)).zip(norms) {
        if norm > 0.0 {
            row /= norm;
        }
    }
    unit
}

/// Returns the columns of a block at unit length, as rows in the type of the matrix.
fn unit_block<F: Scalar>(directions: &ArrayRef2<F>, norms: &Array1<f64>, start: usize) -> Array2<F> {
    let block = rows_of(directions, start);
    let own = norms.slice(s![start..start + block.nrows()]).to_owned();
    unit_rows(&block, &own).mapv(F::from_f64)
}

/// Calls `visit(i, j, |cos|)` for every pair `i < j`, block by block. The first blocks of the pairs run in parallel. Each has its
/// own result, and the results are returned in order.
pub(crate) fn over_pairs<F: Scalar, T: Send>(
    directions: &ArrayRef2<F>,
    norms: &Array1<f64>,
    start: impl Fn() -> T + Sync,
    visit: impl Fn(&mut T, usize, usize, f64) + Sync,
) -> Vec<T> {
    let starts: Vec<usize> = (0..directions.ncols()).step_by(BLOCK).collect();
    starts
        .par_iter()
        .map(|&first| {
            let mut out = start();
            let one = unit_block(directions, norms, first);
            for &second in starts.iter().filter(|&&second| second >= first) {
                let other = unit_block(directions, norms, second);
                let cosines = product(&one, &other.t());
                for ((i, j), &c) in cosines.indexed_iter() {
                    if first + i < second + j {
                        visit(&mut out, first + i, second + j, c.to_f64().abs());
                    }
                }
            }
            out
        })
        .collect()
}

fn nearest<F: Scalar>(directions: &ArrayRef2<F>, norms: &Array1<f64>) -> Array1<f64> {
    let n = directions.ncols();
    let parts = over_pairs(
        directions,
        norms,
        || vec![0.0_f64; n],
        |best, i, j, cos| {
            best[i] = best[i].max(cos);
            best[j] = best[j].max(cos);
        },
    );
    // The maximum does not depend on the order.
    Array1::from_shape_fn(n, |i| parts.iter().fold(0.0_f64, |m, part| m.max(part[i])).min(1.0))
}

/// Finds the orthogonal factors of an arrangement (of its tegum product): sets of features that are orthogonal to all features of
/// other sets.
///
/// Two features belong together if their cosine exceeds `tolerance` in absolute value, directly or through other features.
/// Directions of length 0 belong to no factor. The factors are in the order of their first features.
///
/// # Shapes
/// `directions`: `[m, n]`.
///
/// # Errors
/// [`SuperpositionError::NotFinite`] if an entry is NaN or infinite; [`SuperpositionError::OutOfRange`] for a
/// tolerance outside `[0, 1)`.
///
/// # Examples
/// ```
/// use collimate_superposition::{orthogonal_factors, regular_polygon};
/// // A square is two digons at right angles.
/// assert_eq!(orthogonal_factors(&regular_polygon(4)?, 1e-9)?, [vec![0, 2], vec![1, 3]]);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn orthogonal_factors<F: Scalar>(
    directions: &ArrayRef2<F>,
    tolerance: f64,
) -> Result<Vec<Vec<usize>>, SuperpositionError> {
    ensure((0.0..1.0).contains(&tolerance), "tolerance", "0 to below 1", tolerance)?;
    let wide = directions.mapv(Scalar::to_f64);
    require_finite("directions", wide.iter())?;
    let norms = feature_norms(&wide);
    let edges = over_pairs(directions, &norms, Vec::new, |edges: &mut Vec<(usize, usize)>, i, j, cos| {
        if cos > tolerance {
            edges.push((i, j));
        }
    });
    let mut root: Vec<usize> = (0..directions.ncols()).collect();
    let find = |root: &mut Vec<usize>, mut i: usize| {
        while root[i] != i {
            root[i] = root[root[i]];
            i = root[i];
        }
        i
    };
    for (i, j) in edges.into_iter().flatten() {
        let (a, b) = (find(&mut root, i), find(&mut root, j));
        root[a.max(b)] = a.min(b);
    }
    let mut factors: Vec<Vec<usize>> = vec![Vec::new(); directions.ncols()];
    for i in (0..directions.ncols()).filter(|&i| norms[i] > 0.0) {
        let first = find(&mut root, i);
        factors[first].push(i);
    }
    factors.retain(|factor| !factor.is_empty());
    Ok(factors)
}
