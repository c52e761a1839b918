//! The second moments of a data set, from which a linear network computes its loss over all samples.

/// The means of the products of the inputs x and the outputs y.
#[derive(Clone, Debug)]
pub(super) struct SecondMoments {
    /// E[x xᵀ] `[m, m]`.
    pub(super) xx: Vec<f64>,
    /// E[y xᵀ] `[k, m]`.
    pub(super) yx: Vec<f64>,
    /// E|y|².
    pub(super) yy: f64,
}

impl SecondMoments {
    /// Creates the sums for `m` inputs and `k` outputs.
    pub(super) fn zeros(m: usize, k: usize) -> Self {
        Self { xx: vec![0.0; m * m], yx: vec![0.0; k * m], yy: 0.0 }
    }

    /// Adds one of `n` samples.
    pub(super) fn add(&mut self, x: &[f64], y: &[f64], n: usize) {
        let rows = |sums| <[f64]>::chunks_exact_mut(sums, x.len());
        for (&left, out) in x.iter().zip(rows(&mut self.xx)).chain(y.iter().zip(rows(&mut self.yx))) {
            out.iter_mut().zip(x).for_each(|(out, x)| *out += left * x / n as f64);
        }
        self.yy += dot(y, y) / n as f64;
    }
}

/// Computes the inner product of two short rows in order. The rows of these models have fewer numbers than the sixteen partial sums of
/// `collimate_tensor::dot`.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
