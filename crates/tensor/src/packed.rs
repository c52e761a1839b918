use crate::kernels::packed::Panels;
use crate::{Scalar, ShapeError};
use ndarray::{Array2, ArrayRef2};

/// The right operand of a product, rearranged once for the kernel: for weights that many inputs are multiplied with.
///
/// A general product copies its right operand into cache-friendly panels each time; here that is done once. Worth
/// it from the second product on, above all with few rows on the left.
///
/// # Shapes
/// Packs a matrix (k, n) of any strides; products are (m, k)·(k, n) → (m, n).
///
/// # Determinism
/// Each output element is a sum over k in ascending order, in blocks of 64: the same bits on any number of threads,
/// and for any number of rows on the left.
///
/// # Examples
/// ```
/// use collimate_tensor::PackedMatrix;
/// use ndarray::array;
/// let weights = PackedMatrix::new(&array![[1.0_f64, 2.0], [3.0, 4.0]]);
/// assert_eq!(weights.matmul(&array![[1.0, 1.0]])?, array![[4.0, 6.0]]);
/// # Ok::<(), collimate_tensor::ShapeError>(())
/// ```
///
/// # References
/// Goto and van de Geijn (2008).
#[derive(Clone, Debug)]
pub struct PackedMatrix<F: Scalar> {
    panels: Panels<F>,
}

impl<F: Scalar> PackedMatrix<F> {
    /// Packs a copy of `b` (k, n).
    pub fn new(b: &ArrayRef2<F>) -> Self {
        Self { panels: F::pack_kernel(b) }
    }

    /// (k, n).
    pub fn shape(&self) -> (usize, usize) {
        (self.panels.k, self.panels.n)
    }

    /// The product a·b.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] when `a` does not have k columns.
    pub fn matmul(&self, a: &ArrayRef2<F>) -> Result<Array2<F>, ShapeError> {
        let mut c = crate::zeros((a.nrows(), self.panels.n));
        self.matmul_into(a, &mut c)?;
        Ok(c)
    }

    /// c ← a·b; the old content of `c` is not read.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] naming the argument that does not fit.
    pub fn matmul_into(&self, a: &ArrayRef2<F>, c: &mut ArrayRef2<F>) -> Result<(), ShapeError> {
        self.check(a, c)?;
        F::packed_kernel(a, &self.panels, false, c);
        Ok(())
    }

    /// c ← c + a·b: the residual connection in the same pass, with the bits of the product added afterwards.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] naming the argument that does not fit.
    pub fn add_matmul_into(&self, a: &ArrayRef2<F>, c: &mut ArrayRef2<F>) -> Result<(), ShapeError> {
        self.check(a, c)?;
        F::packed_kernel(a, &self.panels, true, c);
        Ok(())
    }

    /// Packs another matrix of the same shape in the place of this one.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] for another shape.
    pub fn repack(&mut self, b: &ArrayRef2<F>) -> Result<(), ShapeError> {
        ShapeError::check("b", &[self.panels.k, self.panels.n], b.shape())?;
        F::repack_kernel(b, &mut self.panels);
        Ok(())
    }

    /// c ← a·b on the calling thread, for callers whose tasks are blocks of rows.
    ///
    /// Each sum over k runs in ascending order in the fewest equal parts of at most 512, not in blocks of 192: less
    /// precise than [`PackedMatrix::matmul_into`], as [`matmul_into`](crate::matmul_into) is. It is fastest where the
    /// rows of `c` are contiguous and do not lie a multiple of 1 KiB apart.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] naming the argument that does not fit.
    pub fn serial_matmul_into(&self, a: &ArrayRef2<F>, c: &mut ArrayRef2<F>) -> Result<(), ShapeError> {
        self.check(a, c)?;
        F::serial_kernel(a, &self.panels, c);
        Ok(())
    }

    fn check(&self, a: &ArrayRef2<F>, c: &ArrayRef2<F>) -> Result<(), ShapeError> {
        ShapeError::check("a", &[a.nrows(), self.panels.k], a.shape())?;
        ShapeError::check("c", &[a.nrows(), self.panels.n], c.shape())
    }
}
