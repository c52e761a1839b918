use crate::AttentionError;
use crate::error::check_shape;
use crate::tasks::product;
use collimate_measure::ensure;
use collimate_stream::RngStream;
use collimate_tensor::{Scalar, exp_in_place};
use ndarray::{Array2, Array3, ArrayRef3, ArrayView2, ArrayViewMut2, Axis};

/// The distribution of the directions of random features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Directions {
    /// Independent standard normal vectors.
    Independent,
    /// Blocks of d orthogonal directions with the lengths of independent normal vectors. Each single direction has the
    /// normal distribution, so the means are unchanged.
    Orthogonal,
}

/// The number that is subtracted from the exponents, so that they do not overflow.
///
/// It gives a common factor of all weights of a query, so with ε = 0 and a denominator the output does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stabiliser {
    /// Zero: the features follow the formula without a stabiliser.
    None,
    /// The largest projection of each query, and the largest projection of all keys of a head. The maximum over keys includes
    /// later keys, so with ε > 0 a causal output depends slightly on them.
    Maxima,
}

/// Positive random features of the softmax kernel (FAVOR+).
///
/// ```text
/// φ(x)_f = m^{−1/2} (exp(ω_f·x′ − |x′|²/2 − stabiliser) + ε),   x′ = √scale · x
/// E ⟨φ(q), φ(k)⟩ = exp(scale · q·k)   for normal ω, without stabiliser and with ε = 0
/// Var ⟨φ(q), φ(k)⟩ = e^{2 q′·k′} (e^{|q′ + k′|²} − 1) / m   for independent ω
/// ```
/// Published code adds ε = 10⁻⁴ to every feature. With it, the mean differs from the kernel.
///
/// # Examples
/// ```
/// use collimate_attention::linear::{RandomFeatures, Stabiliser};
/// use ndarray::{Array3, array};
/// let features = RandomFeatures::from_directions(array![[0.5_f64], [-0.5]], Stabiliser::None, 0.0)?;
/// let x = Array3::ones((1, 1, 1));
/// let phi = features.of_keys(&x, 1.0)?;
/// assert!((phi[[0, 0, 0]] - 0.5_f64.sqrt()).abs() < 1e-15); // exp(0.5 − 0.5) / √2
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Choromanski et al. (2021), "Rethinking Attention with Performers", lemma 1 and section 2.4.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomFeatures<F> {
    /// Returns the directions ω `[m, d]`.
    directions: Array2<F>,
    stabiliser: Stabiliser,
    epsilon: f64,
}

/// Queries and keys with their features.
#[derive(Clone, Debug)]
pub(super) struct Drawn<F> {
    features: RandomFeatures<F>,
    q: Side<F>,
    k: Side<F>,
}

/// The queries or the keys, with their features.
#[derive(Clone, Debug)]
struct Side<F> {
    /// The scaled rows x′ `[h, t, d]`
    scaled: Array3<F>,
    /// The exponentials `[h, t, m]`
    exponentials: Array3<F>,
    /// The row and the feature of each maximum that was subtracted, for each row or for each head
    largest: Vec<(usize, usize)>,
    root: F,
    /// True if all rows of a head share one maximum
    shared: bool,
}

impl<F: Scalar> RandomFeatures<F> {
    /// Draws `features` directions of width `width`.
    ///
    /// # Errors
    /// [`AttentionError::OutOfRange`] for no feature, no width or ε < 0.
    pub fn draw(
        directions: Directions,
        features: usize,
        width: usize,
        stabiliser: Stabiliser,
        epsilon: f64,
        stream: &mut RngStream,
    ) -> Result<Self, AttentionError> {
        let mut omega = Array2::from_shape_simple_fn((features, width), || stream.normal());
        if directions == Directions::Orthogonal && width > 0 {
            for block in omega.axis_chunks_iter_mut(Axis(0), width) {
                orthogonalise(block, stream);
            }
        }
        Self::from_directions(omega.mapv(F::from_f64), stabiliser, epsilon)
    }

    /// Makes features along given directions ω `[m, d]`.
    ///
    /// # Errors
    /// Like [`RandomFeatures::draw`].
    pub fn from_directions(
        directions: Array2<F>,
        stabiliser: Stabiliser,
        epsilon: f64,
    ) -> Result<Self, AttentionError> {
        let count = directions.len() as f64;
        ensure(!directions.is_empty(), "directions", "at least one, of width at least 1", count)?;
        let bad = directions.iter().find(|x| !x.is_finite()).map(|x| (*x).to_f64());
        ensure(bad.is_none(), "directions", "finite", bad.unwrap_or_default())?;
        ensure(epsilon >= 0.0 && epsilon.is_finite(), "epsilon", "a finite number, at least 0", epsilon)?;
        Ok(Self { directions, stabiliser, epsilon })
    }

    /// Returns the directions ω `[m, d]`.
    pub fn directions(&self) -> &Array2<F> {
        &self.directions
    }

    /// Returns the stabiliser of the exponents.
    pub fn stabiliser(&self) -> Stabiliser {
        self.stabiliser
    }

    /// Computes the features `[h, t, m]` of queries `[h, t, d]`.
    ///
    /// # Errors
    /// [`AttentionError::Shape`] for another width; [`AttentionError::OutOfRange`] for a scale below zero.
    pub fn of_queries(&self, q: &ArrayRef3<F>, scale: f64) -> Result<Array3<F>, AttentionError> {
        Ok(self.features(&self.side(q, scale, false)?))
    }

    /// Computes the features `[g, t, m]` of keys `[g, t, d]`.
    ///
    /// # Errors
    /// Like [`RandomFeatures::of_queries`].
    pub fn of_keys(&self, k: &ArrayRef3<F>, scale: f64) -> Result<Array3<F>, AttentionError> {
        Ok(self.features(&self.side(k, scale, true)?))
    }

    /// Computes the features of queries and keys, and keeps what derivatives need.
    pub(super) fn of_both(
        &self,
        q: &ArrayRef3<F>,
        k: &ArrayRef3<F>,
        scale: f64,
    ) -> Result<(Array3<F>, Array3<F>, Drawn<F>), AttentionError> {
        let (q, k) = (self.side(q, scale, false)?, self.side(k, scale, true)?);
        Ok((self.features(&q), self.features(&k), Drawn { features: self.clone(), q, k }))
    }

    fn features(&self, side: &Side<F>) -> Array3<F> {
        let norm = self.norm();
        side.exponentials.mapv(|x| (x + F::from_f64(self.epsilon)) * norm)
    }

    fn norm(&self) -> F {
        F::from_f64(1.0 / (self.directions.nrows() as f64).sqrt())
    }

    fn side(&self, x: &ArrayRef3<F>, scale: f64, shared: bool) -> Result<Side<F>, AttentionError> {
        let ((h, t, d), (m, width)) = (x.dim(), self.directions.dim());
        check_shape("the rows of random features", "[h, t, d]", &[h, t, width], &[h, t, d])?;
        let allowed = "a finite number, at least 0, for the features of a kernel";
        ensure(scale >= 0.0 && scale.is_finite(), "scale", allowed, scale)?;
        let root = F::from_f64(scale.sqrt());
        let scaled = x * root;
        let mut exponentials = Array3::zeros((h, t, m));
        let mut largest = Vec::new();
        for (rows, mut out) in scaled.outer_iter().zip(exponentials.outer_iter_mut()) {
            collimate_tensor::matmul_into(F::one(), &rows, &self.directions.t(), F::zero(), &mut out)?;
            let tops = match self.stabiliser {
                Stabiliser::None => vec![],
                Stabiliser::Maxima if shared => vec![top(&out.view())],
                Stabiliser::Maxima => {
                    out.rows().into_iter().map(|row| top(&row.insert_axis(Axis(0)))).collect()
                }
            };
            let values: Vec<F> = tops
                .iter()
                .enumerate()
                .map(|(i, &(row, f))| out[[if shared { row } else { i }, f]])
                .collect();
            for (i, (mut out, x)) in out.rows_mut().into_iter().zip(rows.rows()).enumerate() {
                let taken = if shared { values.first() } else { values.get(i) };
                let square: F = x.iter().map(|&x| x * x).sum();
                let off = square * F::from_f64(0.5) + taken.copied().unwrap_or_else(F::zero);
                out.mapv_inplace(|x| x - off);
                exp_in_place(out.as_slice_mut().expect("rows of a new array are contiguous"));
            }
            largest.extend(tops);
        }
        Ok(Side { scaled, exponentials, largest, root, shared })
    }
}

/// Returns the place of the largest number, or (0, 0) for an empty matrix.
fn top<F: Scalar>(x: &ArrayView2<'_, F>) -> (usize, usize) {
    let mut best = ((0, 0), F::neg_infinity());
    for (at, &x) in x.indexed_iter() {
        if x > best.1 {
            best = (at, x);
        }
    }
    best.0
}

impl<F: Scalar> Drawn<F> {
    /// Turns the gradients by the features into the gradients by the rows.
    pub(super) fn backward(&self, d_q: &ArrayRef3<F>, d_k: &ArrayRef3<F>) -> (Array3<F>, Array3<F>) {
        (self.side_back(&self.q, d_q), self.side_back(&self.k, d_k))
    }

    /// Returns the shapes of the queries and of the keys.
    pub(super) fn shapes(&self) -> [(usize, usize, usize); 2] {
        [self.q.scaled.dim(), self.k.scaled.dim()]
    }

    /// Turns directions of the rows into directions of the features.
    pub(super) fn jvp(&self, q_dot: &Array3<F>, k_dot: &Array3<F>) -> (Array3<F>, Array3<F>) {
        (self.side_along(&self.q, q_dot), self.side_along(&self.k, k_dot))
    }

    fn side_along(&self, side: &Side<F>, x_dot: &Array3<F>) -> Array3<F> {
        let omega = &self.features.directions;
        let norm = F::from_f64(1.0 / (omega.nrows() as f64).sqrt());
        let x_dot = x_dot * side.root;
        let mut along = Array3::zeros(side.exponentials.dim());
        for (head, mut along) in along.outer_iter_mut().enumerate() {
            let (x, x_dot) = (side.scaled.index_axis(Axis(0), head), x_dot.index_axis(Axis(0), head));
            product(F::one(), &x_dot, &omega.t(), F::zero(), &mut along);
            let rows = along.nrows();
            let taken: Vec<F> = (0..rows)
                .map(|i| match side.largest.get(if side.shared { head } else { head * rows + i }) {
                    Some(&(row, f)) => along[[if side.shared { row } else { i }, f]],
                    None => F::zero(),
                })
                .collect();
            for (i, mut row) in along.rows_mut().into_iter().enumerate() {
                let off = x.row(i).iter().zip(x_dot.row(i)).map(|(&a, &b)| a * b).sum::<F>() + taken[i];
                row.mapv_inplace(|x| x - off);
            }
        }
        along * &side.exponentials * norm
    }

    fn side_back(&self, side: &Side<F>, d_features: &ArrayRef3<F>) -> Array3<F> {
        let omega = &self.features.directions;
        let norm = F::from_f64(1.0 / (omega.nrows() as f64).sqrt());
        // The gradient by the exponents.
        let mut d = &side.exponentials * norm;
        *d *= d_features;
        let mut d_x = Array3::zeros(side.scaled.dim());
        for (head, mut d_x) in d_x.outer_iter_mut().enumerate() {
            let d = d.index_axis(Axis(0), head);
            product(F::one(), &d, omega, F::zero(), &mut d_x);
            for (i, (mut d_x, d)) in d_x.rows_mut().into_iter().zip(d.rows()).enumerate() {
                d_x.scaled_add(-d.sum(), &side.scaled.index_axis(Axis(0), head).row(i));
            }
            // The subtracted maximum depends on the rows too.
            if self.features.stabiliser == Stabiliser::Maxima && side.shared {
                let (row, f) = side.largest[head];
                if row < d_x.nrows() {
                    d_x.row_mut(row).scaled_add(-d.sum(), &omega.row(f));
                }
            } else if self.features.stabiliser == Stabiliser::Maxima {
                for i in 0..d.nrows() {
                    let (_, f) = side.largest[head * d.nrows() + i];
                    d_x.row_mut(i).scaled_add(-d.row(i).sum(), &omega.row(f));
                }
            }
        }
        d_x * side.root
    }
}

/// Makes the rows orthogonal by Gram–Schmidt, twice because of rounding, and gives them the lengths of new normal vectors.
fn orthogonalise(mut rows: ArrayViewMut2<'_, f64>, stream: &mut RngStream) {
    let width = rows.ncols();
    for i in 0..rows.nrows() {
        for _ in 0..2 {
            let (done, mut rest) = rows.view_mut().split_at(Axis(0), i);
            let mut row = rest.row_mut(0);
            for earlier in done.rows() {
                let square: f64 = earlier.iter().map(|x| x * x).sum();
                let along = row.dot(&earlier) / square;
                row.scaled_add(-along, &earlier);
            }
        }
        let length = (0..width).map(|_| stream.normal().powi(2)).sum::<f64>().sqrt();
        let mut row = rows.row_mut(i);
        let own = row.dot(&row).sqrt();
        row.mapv_inplace(|x| x * length / own);
    }
}
