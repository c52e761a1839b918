use crate::kernels::packed::Panels;
use crate::{Scalar, ShapeError};
use ndarray::{Array2, ArrayRef2};

/// The right operand of a product, rearranged once for the kernel. It serves weights that multiply many inputs.
///
/// A general product copies its right operand into cache-friendly panels each time. Here the copy is made once. That saves
/// time from the second product on, most with few rows on the left.
///
/// # Shapes
/// Packs a matrix `[k, n]` of any strides. Products are `[m, k]`·`[k, n]` → `[m, n]`.
///
/// # Determinism
/// Each output element is a sum over k in ascending order, in blocks of 192. The bits depend neither on the number of threads
/// nor on the number of rows on the left. On processors that are not x86-64 the `gemm` crate computes the product in its own
/// order, and a product with a single row may differ in the last digits from the row of a larger product.
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
    /// Packs a copy of `b` `[k, n]`.
    pub fn new(b: &ArrayRef2<F>) -> Self {
        Self { panels: F::pack_kernel(b) }
    }

    /// Returns the shape `(k, n)`.
    pub fn shape(&self) -> (usize, usize) {
        (self.panels.k, self.panels.n)
    }

    /// Computes the product a·b.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] if `a` does not have k columns.
    pub fn matmul(&self, a: &ArrayRef2<F>) -> Result<Array2<F>, ShapeError> {
        let mut c = crate::zeros((a.nrows(), self.panels.n));
        self.matmul_into(a, &mut c)?;
        Ok(c)
    }

    /// Computes c ← a·b. The old content of `c` is not read.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] naming the argument that does not fit.
    pub fn matmul_into(&self, a: &ArrayRef2<F>, c: &mut ArrayRef2<F>) -> Result<(), ShapeError> {
        self.check(a, c)?;
        F::packed_kernel(a, &self.panels, false, c);
        Ok(())
    }

    /// Computes c ← c + a·b, as for a residual connection. The bits are those of a product that is added afterwards.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] naming the argument that does not fit.
    pub fn add_matmul_into(&self, a: &ArrayRef2<F>, c: &mut ArrayRef2<F>) -> Result<(), ShapeError> {
        self.check(a, c)?;
        F::packed_kernel(a, &self.panels, true, c);
        Ok(())
    }

    /// Replaces the packed matrix by another one of its shape.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] for another shape.
    pub fn repack(&mut self, b: &ArrayRef2<F>) -> Result<(), ShapeError> {
        ShapeError::check("b", &[self.panels.k, self.panels.n], b.shape())?;
        F::repack_kernel(b, &mut self.panels);
        Ok(())
    }

    /// Computes c ← a·b on the calling thread, for callers whose tasks are blocks of rows.
    ///
    /// Each sum over k runs in ascending order in the fewest equal parts of at most 512, not in blocks of 192. So it is less
    /// precise than [`PackedMatrix::matmul_into`] and agrees with [`matmul_into`](crate::matmul_into). It is fastest if the rows
    /// of `c` are contiguous and do not lie a multiple of 1 KiB apart.
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
