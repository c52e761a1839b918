//! Matrices with an optional derivative along a direction.

use collimate_tensor::{Scalar, matmul, matmul_into, zeros};
use ndarray::{Array2, Array4, ArrayView2, Axis};

/// A matrix `[rows, columns]` and, in a pass along a direction, its derivative along the direction.
#[derive(Clone, Debug)]
pub(crate) struct Matrix<F> {
    pub(crate) value: Array2<F>,
    pub(crate) tangent: Option<Array2<F>>,
}

/// A view of a [`Matrix`], with any strides.
#[derive(Clone, Copy)]
pub(crate) struct View<'a, F> {
    pub(crate) value: ArrayView2<'a, F>,
    pub(crate) tangent: Option<ArrayView2<'a, F>>,
}

impl<'a, F: Scalar> View<'a, F> {
    /// Returns the transposed view.
    pub(crate) fn t(self) -> Self {
        Self { value: self.value.reversed_axes(), tangent: self.tangent.map(ArrayView2::reversed_axes) }
    }

    /// Returns α·self·other.
    pub(crate) fn times(self, other: View<'_, F>, alpha: F) -> Matrix<F> {
        let shape = (self.value.nrows(), other.value.ncols());
        let mut out = Matrix { value: zeros(shape), tangent: None };
        self.add_times(other, alpha, &mut out);
        out
    }

    /// Adds α·self·other to `out`, by the product rule.
    pub(crate) fn add_times(self, other: View<'_, F>, alpha: F, out: &mut Matrix<F>) {
        let add = |a: &ArrayView2<'_, F>, b: &ArrayView2<'_, F>, c: &mut Array2<F>| {
            matmul_into(alpha, a, b, F::one(), c).expect("the shapes of a product fit");
        };
        add(&self.value, &other.value, &mut out.value);
        if self.tangent.is_none() && other.tangent.is_none() {
            return;
        }
        let shape = out.value.dim();
        let tangent = out.tangent.get_or_insert_with(|| zeros(shape));
        if let Some(a) = &self.tangent {
            add(a, &other.value, tangent);
        }
        if let Some(b) = &other.tangent {
            add(&self.value, b, tangent);
        }
    }
}

impl<F: Scalar> Matrix<F> {
    /// Returns a matrix without a derivative.
    pub(crate) fn plain(value: Array2<F>) -> Self {
        Self { value, tangent: None }
    }

    /// Returns zeros, with a zero derivative when `along` is true.
    pub(crate) fn zeros(shape: (usize, usize), along: bool) -> Self {
        Self { value: zeros(shape), tangent: along.then(|| zeros(shape)) }
    }

    /// Returns a view of the whole matrix.
    pub(crate) fn view(&self) -> View<'_, F> {
        View { value: self.value.view(), tangent: self.tangent.as_ref().map(|x| x.view()) }
    }

    /// Returns the number of rows and of columns.
    pub(crate) fn dim(&self) -> (usize, usize) {
        self.value.dim()
    }

    /// Adds `factor` · other.
    pub(crate) fn add_scaled(&mut self, other: View<'_, F>, factor: F) {
        self.value.scaled_add(factor, &other.value);
        match (&mut self.tangent, other.tangent) {
            (Some(to), Some(from)) => to.scaled_add(factor, &from),
            (to @ None, Some(from)) => *to = Some(&from * factor),
            (_, None) => {}
        }
    }

    /// Multiplies by a constant.
    pub(crate) fn scale(&mut self, factor: F) {
        self.value.mapv_inplace(|x| x * factor);
        if let Some(tangent) = &mut self.tangent {
            tangent.mapv_inplace(|x| x * factor);
        }
    }
}

/// Computes x·Wᵀ of rows x `[n, i]` and a weight W `[o, i]`.
pub(crate) fn apply<F: Scalar>(x: View<'_, F>, weight: View<'_, F>) -> Matrix<F> {
    let value = matmul(&x.value, &weight.value.t()).expect("the shapes of a product fit");
    let mut out = Matrix { value, tangent: None };
    if let Some(x_dot) = &x.tangent {
        out.tangent = Some(matmul(x_dot, &weight.value.t()).expect("the shapes of a product fit"));
    }
    if let Some(w_dot) = &weight.tangent {
        let tangent = out.tangent.get_or_insert_with(|| zeros(out.value.dim()));
        matmul_into(F::one(), &x.value, &w_dot.t(), F::one(), tangent).expect("the shapes of a product fit");
    }
    out
}

/// Puts matrices `[t, s]` of all heads of all sequences into one array `[b, h, t, s]`.
pub(crate) fn stack_heads<F: Scalar>(heads: &[Matrix<F>], batch: usize) -> Array4<F> {
    let (t, s) = heads[0].dim();
    let per_sequence = heads.len() / batch;
    let mut out = Array4::zeros((batch, per_sequence, t, s));
    for (index, one) in heads.iter().enumerate() {
        out.index_axis_mut(Axis(0), index / per_sequence)
            .index_axis_mut(Axis(0), index % per_sequence)
            .assign(&one.value);
    }
    out
}
