use super::cross_entropy::Entropy;
use collimate_tensor::{Scalar, matmul_into};
use ndarray::{Array2, ArrayRef2};

/// A network that gives logits of the sum of two numbers.
pub(super) trait AdditionNetwork<F>: Send {
    /// Returns the tensors, in the order of their random streams.
    fn tensors(&self) -> &[Array2<F>];

    /// Returns the tensors, to be changed in place.
    fn tensors_mut(&mut self) -> &mut [Array2<F>];

    /// Computes the mean cross-entropy of pairs, and writes its gradient by each tensor.
    fn gradient(&mut self, pairs: &[[usize; 2]], sums: &[usize], gradient: &mut [Array2<F>]) -> Entropy;

    /// Computes the mean cross-entropy of pairs.
    fn entropy(&mut self, pairs: &[[usize; 2]], sums: &[usize]) -> Entropy;
}

/// Computes c ← a·b. The shapes are those of one network, so they fit.
pub(super) fn product<F: Scalar>(a: &ArrayRef2<F>, b: &ArrayRef2<F>, c: &mut ArrayRef2<F>) {
    matmul_into(F::one(), a, b, F::zero(), c).expect("the shapes of one network");
}

/// Computes c ← a·b + c.
pub(super) fn add_product<F: Scalar>(a: &ArrayRef2<F>, b: &ArrayRef2<F>, c: &mut ArrayRef2<F>) {
    matmul_into(F::one(), a, b, F::one(), c).expect("the shapes of one network");
}

/// Gives an array another number of rows, without keeping its numbers.
pub(super) fn resize<F: Scalar>(array: &mut Array2<F>, rows: usize, columns: usize) {
    if array.dim() != (rows, columns) {
        *array = collimate_tensor::zeros((rows, columns));
    }
}

/// The places of the tensors of the one-layer transformer in their list, which is the order of their random streams.
pub(super) mod place {
    pub(in super::super) const EMBEDDING: usize = 0;
    pub(in super::super) const POSITIONS: usize = 1;
    pub(in super::super) const QUERY: usize = 2;
    pub(in super::super) const KEY: usize = 3;
    pub(in super::super) const VALUE: usize = 4;
    pub(in super::super) const OUTPUT: usize = 5;
    pub(in super::super) const UP: usize = 6;
    pub(in super::super) const DOWN: usize = 7;
    pub(in super::super) const UNEMBEDDING: usize = 8;
}
