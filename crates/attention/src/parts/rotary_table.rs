use crate::AttentionError;
use crate::error::check_shape;
use crate::kernels::Loops;
use crate::kernels::rotate::{Direction, Pairs, Turn};
use collimate_measure::ensure;
use collimate_tensor::Scalar;
use ndarray::{Array2, ArrayRef3};

/// The two numbers of a row that are turned together.
///
/// A checkpoint is stored for one of the two layouts, and the wrong one gives wrong numbers without an error. A row of one
/// layout is a permutation of a row of the other, so a converter permutes the rows of W_Q and W_K.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RotaryLayout {
    /// Neighbours: (0, 1), (2, 3), … The paper, GPT-J, GGUF files of Llama models.
    Interleaved,
    /// The two halves: (0, w/2), (1, w/2 + 1), … GPT-NeoX, Llama in Hugging Face.
    HalfSplit,
}

/// The cosines and sines of [`Rotary`](crate::Rotary) for some positions, one row a position. They are computed once and applied often.
#[derive(Clone, Debug, PartialEq)]
pub struct RotaryTable<F> {
    layout: RotaryLayout,
    cos: Array2<F>,
    sin: Array2<F>,
}

impl<F: Scalar> RotaryTable<F> {
    /// Makes a table of given cosines and sines, both `[positions, w/2]`.
    ///
    /// # Errors
    /// [`AttentionError::Shape`] if the two shapes differ.
    pub fn from_cos_sin(
        layout: RotaryLayout,
        cos: Array2<F>,
        sin: Array2<F>,
    ) -> Result<Self, AttentionError> {
        check_shape("sin", "[positions, w/2]", cos.shape(), sin.shape())?;
        Ok(Self { layout, cos, sin })
    }

    /// Returns the number of positions.
    pub fn len(&self) -> usize {
        self.cos.nrows()
    }

    /// Returns true if there is no position.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<F: Loops> RotaryTable<F> {
    /// Turns rows `[h, t, d]` in place. Row `t` has the `t`-th position of the table.
    ///
    /// Any strides are allowed: [`split_heads_mut`](crate::split_heads_mut) gives the heads of a `[t, h·d]` matrix.
    ///
    /// # Errors
    /// Like [`RotaryTable::apply_from`].
    pub fn apply(&self, x: &mut ArrayRef3<F>) -> Result<(), AttentionError> {
        self.apply_from(0, x)
    }

    /// Turns rows `[h, t, d]` in place. Row `t` has the position number `first + t` of the table.
    ///
    /// # Errors
    /// [`AttentionError::Index`] if the table has too few positions, [`AttentionError::OutOfRange`] if the rows are
    /// narrower than the rotary width.
    pub fn apply_from(&self, first: usize, x: &mut ArrayRef3<F>) -> Result<(), AttentionError> {
        self.turn(first, Direction::Forward, x)
    }

    /// Turns rows `[h, t, d]` back in place: the transpose of [`RotaryTable::apply`], and its inverse unless there is an amplitude.
    ///
    /// # Errors
    /// Like [`RotaryTable::apply_from`].
    pub fn apply_inverse(&self, x: &mut ArrayRef3<F>) -> Result<(), AttentionError> {
        self.turn(0, Direction::Back, x)
    }

    fn turn(&self, first: usize, direction: Direction, x: &mut ArrayRef3<F>) -> Result<(), AttentionError> {
        let (_, t, d) = x.dim();
        if first + t > self.len() {
            return Err(AttentionError::Index { axis: "position", index: first + t - 1, length: self.len() });
        }
        ensure(d >= 2 * self.cos.ncols(), "the row width d", "at least the rotary width", d as f64)?;
        let pairs = match self.layout {
            RotaryLayout::Interleaved => Pairs::Neighbours,
            RotaryLayout::HalfSplit => Pairs::Halves,
        };
        F::rotate(x, &self.cos, &self.sin, Turn { pairs, first, direction });
        Ok(())
    }
}
