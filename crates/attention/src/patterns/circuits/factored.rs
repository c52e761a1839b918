use crate::AttentionError;
use collimate_measure::{Fingerprint, ensure};
use collimate_tensor::{Scalar, matmul};
use ndarray::{Array2, ArrayRef2};

/// A matrix of low rank as the product of a tall and a wide one.
///
/// # Shapes
/// `left [m, r]` and `right [r, n]` represent a matrix `[m, n]`.
///
/// # Examples
/// ```
/// use collimate_attention::circuits::Factored;
/// use ndarray::array;
/// let product = Factored::new(&array![[1.0], [2.0]], &array![[3.0, 0.0]])?; // [[3, 0], [6, 0]]
/// assert!((product.norm()? - 45.0_f64.sqrt()).abs() < 1e-12);
/// assert_eq!(product.then(&product)?.dense()?, array![[9.0, 0.0], [18.0, 0.0]]);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Factored {
    left: Array2<f64>,
    right: Array2<f64>,
}

impl Factored {
    /// Makes the product `left · right`.
    ///
    /// # Errors
    /// [`AttentionError::Shape`] when the inner lengths differ; [`AttentionError::OutOfRange`] for numbers that are not
    /// finite.
    pub fn new<F: Scalar>(left: &ArrayRef2<F>, right: &ArrayRef2<F>) -> Result<Self, AttentionError> {
        crate::error::check_shape("right", "[r, n]", &[left.ncols(), right.ncols()], right.shape())?;
        for (name, x) in [("left", left), ("right", right)] {
            let bad = x.iter().find(|x| !x.is_finite()).map(|x| (*x).to_f64());
            ensure(bad.is_none(), name, "finite", bad.unwrap_or_default())?;
        }
        Ok(Self { left: left.mapv(|x| x.to_f64()), right: right.mapv(|x| x.to_f64()) })
    }

    /// Returns the tall factor `[m, r]`.
    pub fn left(&self) -> &Array2<f64> {
        &self.left
    }

    /// Returns the wide factor `[r, n]`.
    pub fn right(&self) -> &Array2<f64> {
        &self.right
    }

    /// Returns the shape of the product, `[m, n]`.
    pub fn dim(&self) -> (usize, usize) {
        (self.left.nrows(), self.right.ncols())
    }

    /// Returns the transpose.
    #[must_use]
    pub fn transposed(&self) -> Self {
        Self { left: self.right.t().to_owned(), right: self.left.t().to_owned() }
    }

    /// Computes `self · other`, again in factors.
    ///
    /// # Errors
    /// [`AttentionError::Tensor`] when the inner lengths differ.
    pub fn then(&self, other: &Self) -> Result<Self, AttentionError> {
        let middle = matmul(&self.right, &other.left)?;
        Ok(Self { left: matmul(&self.left, &middle)?, right: other.right.clone() })
    }

    /// Computes `before · self`, for example with an embedding `[vocabulary, m]`.
    ///
    /// # Errors
    /// [`AttentionError::Tensor`] when the inner lengths differ.
    pub fn after<F: Scalar>(&self, before: &ArrayRef2<F>) -> Result<Self, AttentionError> {
        Ok(Self { left: matmul(&before.mapv(|x| x.to_f64()), &self.left)?, right: self.right.clone() })
    }

    /// Computes `self · next`, for example with an unembedding `[n, vocabulary]`.
    ///
    /// # Errors
    /// [`AttentionError::Tensor`] when the inner lengths differ.
    pub fn before<F: Scalar>(&self, next: &ArrayRef2<F>) -> Result<Self, AttentionError> {
        Ok(Self { left: self.left.clone(), right: matmul(&self.right, &next.mapv(|x| x.to_f64()))? })
    }

    /// Computes the whole matrix `[m, n]`.
    ///
    /// # Errors
    /// None, since the factors of a value fit.
    pub fn dense(&self) -> Result<Array2<f64>, AttentionError> {
        Ok(matmul(&self.left, &self.right)?)
    }

    /// Computes right · left, the square matrix `[r, r]` with the non-zero eigenvalues of the product.
    ///
    /// # Errors
    /// [`AttentionError::Shape`] when the product is not square.
    pub fn core(&self) -> Result<Array2<f64>, AttentionError> {
        let (m, n) = self.dim();
        crate::error::check_shape("a circuit with eigenvalues", "[m, m]", &[m, m], &[m, n])?;
        Ok(matmul(&self.right, &self.left)?)
    }

    /// Computes the Frobenius norm from the two Gram matrices of width r: ‖LR‖² = Σ (LᵀL) ∘ (RRᵀ).
    ///
    /// Its relative error is about 10⁻¹⁶ (‖L‖‖R‖ / ‖LR‖)²: if a product nearly cancels, few digits are correct.
    ///
    /// # Errors
    /// None, since the factors of a value fit.
    pub fn norm(&self) -> Result<f64, AttentionError> {
        let (a, b) = (matmul(&self.left.t(), &self.left)?, matmul(&self.right, &self.right.t())?);
        Ok((a * b).sum().max(0.0).sqrt())
    }

    /// Returns the fingerprint of both factors.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let numbers = |x: &Array2<f64>| x.iter().copied().collect::<Vec<_>>();
        let (m, n) = self.dim();
        Fingerprint::of(&[m.to_le_bytes(), n.to_le_bytes()].concat())
            .and_numbers(&numbers(&self.left))
            .and_numbers(&numbers(&self.right))
    }
}
