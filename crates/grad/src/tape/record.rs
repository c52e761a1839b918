//! The tape: operations on matrices, checked and recorded.

use crate::error::GradError;
use crate::primitive::activation::{self, Activation};
use crate::primitive::{bias, cross_entropy, embedding, layer_norm, matmul, reduce, rms_norm, softmax};
use collimate_tensor::{Scalar, ShapeError};
use ndarray::{Array2, ArrayView1};
use std::sync::atomic::{AtomicU64, Ordering};

/// A value on a [`Tape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Var {
    pub(super) tape: u64,
    pub(super) index: usize,
}

/// The operation that produced a value, with the indices of its inputs.
#[derive(Clone, Debug)]
pub(super) enum Op<F> {
    Leaf,
    MatMul(usize, usize),
    AddBias(usize, usize),
    Add(usize, usize),
    Mul(usize, usize),
    Scale(usize, F),
    Activation(usize, Activation),
    Softmax(usize),
    CrossEntropy(usize, Vec<usize>),
    RmsNorm { x: usize, gain: usize, epsilon: F },
    LayerNorm { x: usize, gain: usize, bias: usize, epsilon: F },
    Gather(usize, Vec<usize>),
    Transpose(usize),
    Reshape(usize),
    Sum(usize),
    Mean(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Node<F> {
    value: Array2<F>,
    pub(super) op: Op<F>,
}

/// A record of operations on matrices, so that the gradient of its last scalar can be taken.
///
/// Every value is a matrix: a scalar is `[1, 1]`, a bias or gain `[1, d]`. Operations are checked when they are
/// recorded. [`Tape::backward`] goes through the record from the end.
///
/// # Determinism
/// Contributions to a gradient are added in the reverse order of recording.
///
/// # Examples
/// The derivative of `f(a, b) = tanh(a b)` by hand and by tape:
/// ```
/// use collimate_grad::{Activation, Tape};
/// let mut tape = Tape::<f64>::new();
/// let (a, b) = (tape.scalar(0.5), tape.scalar(2.0));
/// let product = tape.mul(a, b)?;
/// let f = tape.activation(Activation::Tanh, product)?;
/// let gradients = tape.backward(f)?;
/// let slope = 1.0 - 1f64.tanh().powi(2);
/// assert!((gradients.of(a).unwrap()[[0, 0]] - 2.0 * slope).abs() < 1e-15);
/// # Ok::<(), collimate_grad::GradError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tape<F> {
    pub(super) id: u64,
    pub(super) nodes: Vec<Node<F>>,
}

impl<F: Scalar> Default for Tape<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: Scalar> Tape<F> {
    /// Returns an empty tape.
    pub fn new() -> Self {
        // The number identifies the tape, so that a variable of another tape is an error and not a wrong value.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), nodes: Vec::new() }
    }

    /// Returns the number of recorded values.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns true if nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Removes all values, so that the tape can record another pass. Old variables become unknown.
    pub fn clear(&mut self) {
        *self = Self { nodes: std::mem::take(&mut self.nodes), ..Self::new() };
        self.nodes.clear();
    }

    /// Records an input or a parameter.
    pub fn leaf(&mut self, value: Array2<F>) -> Var {
        self.push(value, Op::Leaf)
    }

    /// Records a `[1, 1]` input.
    pub fn scalar(&mut self, value: F) -> Var {
        self.leaf(Array2::from_elem((1, 1), value))
    }

    /// Returns the value of a variable.
    ///
    /// # Errors
    /// [`GradError::UnknownVariable`] if it is not on this tape. Every method below has this error too.
    pub fn value(&self, x: Var) -> Result<&Array2<F>, GradError> {
        Ok(&self.nodes[self.index(x)?].value)
    }

    /// Records the product `a b`.
    ///
    /// # Errors
    /// [`GradError::Shape`] if the shapes do not fit. Every method below has this error too.
    pub fn matmul(&mut self, a: Var, b: Var) -> Result<Var, GradError> {
        let (i, j) = (self.index(a)?, self.index(b)?);
        let value = matmul::forward(self.at(i), self.at(j))?;
        Ok(self.push(value, Op::MatMul(i, j)))
    }

    /// Records `x + 1 β` with a bias `[1, d]`.
    pub fn add_bias(&mut self, x: Var, bias: Var) -> Result<Var, GradError> {
        let (i, j) = (self.index(x)?, self.index(bias)?);
        let value = bias::forward(self.at(i), &self.row("bias", j)?)?;
        Ok(self.push(value, Op::AddBias(i, j)))
    }

    /// Records `a + b` of two matrices of equal shape.
    pub fn add(&mut self, a: Var, b: Var) -> Result<Var, GradError> {
        let (i, j) = self.same_shape(a, b)?;
        let value = self.at(i) + self.at(j);
        Ok(self.push(value, Op::Add(i, j)))
    }

    /// Records the elementwise product `a ∘ b`.
    pub fn mul(&mut self, a: Var, b: Var) -> Result<Var, GradError> {
        let (i, j) = self.same_shape(a, b)?;
        let value = self.at(i) * self.at(j);
        Ok(self.push(value, Op::Mul(i, j)))
    }

    /// Records `factor · x`.
    pub fn scale(&mut self, x: Var, factor: F) -> Result<Var, GradError> {
        let i = self.index(x)?;
        let value = self.at(i) * factor;
        Ok(self.push(value, Op::Scale(i, factor)))
    }

    /// Records an elementwise nonlinearity.
    pub fn activation(&mut self, kind: Activation, x: Var) -> Result<Var, GradError> {
        let i = self.index(x)?;
        let value = activation::forward(kind, self.at(i));
        Ok(self.push(value, Op::Activation(i, kind)))
    }

    /// Records the softmax of each row.
    pub fn softmax(&mut self, x: Var) -> Result<Var, GradError> {
        let i = self.index(x)?;
        let value = softmax::forward(self.at(i));
        Ok(self.push(value, Op::Softmax(i)))
    }

    /// Records the mean cross-entropy of the rows of `logits` against class indices: a `[1, 1]` value in nats.
    pub fn cross_entropy(&mut self, logits: Var, targets: &[usize]) -> Result<Var, GradError> {
        let i = self.index(logits)?;
        let loss = cross_entropy::forward(self.at(i), targets)?;
        Ok(self.push(Array2::from_elem((1, 1), loss), Op::CrossEntropy(i, targets.to_vec())))
    }

    /// Records the RMSNorm of each row with a gain `[1, d]`.
    pub fn rms_norm(&mut self, x: Var, gain: Var, epsilon: F) -> Result<Var, GradError> {
        let (x, gain) = (self.index(x)?, self.index(gain)?);
        let value = rms_norm::forward(self.at(x), &self.row("gain", gain)?, epsilon)?;
        Ok(self.push(value, Op::RmsNorm { x, gain, epsilon }))
    }

    /// Records the LayerNorm of each row with gain and bias `[1, d]`.
    pub fn layer_norm(&mut self, x: Var, gain: Var, bias: Var, epsilon: F) -> Result<Var, GradError> {
        let (x, gain, bias) = (self.index(x)?, self.index(gain)?, self.index(bias)?);
        let value =
            layer_norm::forward(self.at(x), &self.row("gain", gain)?, &self.row("bias", bias)?, epsilon)?;
        Ok(self.push(value, Op::LayerNorm { x, gain, bias, epsilon }))
    }

    /// Records the rows of a table with the given indices.
    pub fn gather(&mut self, table: Var, indices: &[usize]) -> Result<Var, GradError> {
        let i = self.index(table)?;
        let value = embedding::forward(self.at(i), indices)?;
        Ok(self.push(value, Op::Gather(i, indices.to_vec())))
    }

    /// Records the transpose.
    pub fn transpose(&mut self, x: Var) -> Result<Var, GradError> {
        let i = self.index(x)?;
        let value = self.at(i).t().as_standard_layout().into_owned();
        Ok(self.push(value, Op::Transpose(i)))
    }

    /// Records the numbers of `x`, row by row, in another shape.
    pub fn reshape(&mut self, x: Var, shape: (usize, usize)) -> Result<Var, GradError> {
        let i = self.index(x)?;
        let given = self.at(i).shape().to_vec();
        let mismatch =
            ShapeError::Mismatch { argument: "shape", expected: given, given: vec![shape.0, shape.1] };
        let value = self.at(i).to_shape(shape).map_err(|_| mismatch)?.into_owned();
        Ok(self.push(value, Op::Reshape(i)))
    }

    /// Records the sum of all entries, `[1, 1]`.
    pub fn sum(&mut self, x: Var) -> Result<Var, GradError> {
        let i = self.index(x)?;
        let value = reduce::sum(self.at(i));
        Ok(self.push(Array2::from_elem((1, 1), value), Op::Sum(i)))
    }

    /// Records the mean of all entries, `[1, 1]`.
    pub fn mean(&mut self, x: Var) -> Result<Var, GradError> {
        let i = self.index(x)?;
        let value = reduce::mean(self.at(i));
        Ok(self.push(Array2::from_elem((1, 1), value), Op::Mean(i)))
    }

    fn push(&mut self, value: Array2<F>, op: Op<F>) -> Var {
        self.nodes.push(Node { value, op });
        Var { tape: self.id, index: self.nodes.len() - 1 }
    }

    pub(super) fn at(&self, index: usize) -> &Array2<F> {
        &self.nodes[index].value
    }

    /// Returns the row of a value `[1, d]`.
    pub(super) fn row(&self, argument: &'static str, index: usize) -> Result<ArrayView1<'_, F>, GradError> {
        let value = self.at(index);
        ShapeError::check(argument, &[1, value.ncols()], value.shape())?;
        Ok(value.row(0))
    }

    pub(super) fn index(&self, x: Var) -> Result<usize, GradError> {
        if x.tape == self.id && x.index < self.nodes.len() {
            Ok(x.index)
        } else {
            Err(GradError::UnknownVariable { variable: x.index, len: self.nodes.len() })
        }
    }

    fn same_shape(&self, a: Var, b: Var) -> Result<(usize, usize), GradError> {
        let (i, j) = (self.index(a)?, self.index(b)?);
        ShapeError::check("b", self.at(i).shape(), self.at(j).shape())?;
        Ok((i, j))
    }
}
