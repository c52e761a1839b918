use super::backward::Gradients;
use super::record::{Tape, Var};
use crate::error::GradError;
use collimate_measure::same_length;
use collimate_tensor::Scalar;
use ndarray::{Array2, ArrayView2};

/// Named matrices, one after the other in a flat slice. They connect a tape with an optimiser.
///
/// # Examples
/// ```
/// use collimate_grad::Parameters;
/// use ndarray::array;
/// let parameters = Parameters::new().with("weight", array![[1.0, 2.0]]).with("bias", array![[3.0]]);
/// assert_eq!(parameters.flat(), [1.0, 2.0, 3.0]);
/// assert_eq!(parameters.coordinate_name(1), "weight[0, 1]");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters<F> {
    flat: Vec<F>,
    blocks: Vec<Block>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    name: String,
    shape: (usize, usize),
    start: usize,
}

impl<F: Scalar> Default for Parameters<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: Scalar> Parameters<F> {
    /// Returns an empty list of parameters.
    pub fn new() -> Self {
        Self { flat: Vec::new(), blocks: Vec::new() }
    }

    /// Adds a matrix.
    #[must_use]
    pub fn with(mut self, name: &str, value: Array2<F>) -> Self {
        self.blocks.push(Block { name: name.into(), shape: value.dim(), start: self.flat.len() });
        self.flat.extend(value.iter());
        self
    }

    /// Returns all numbers, matrix after matrix, row by row.
    pub fn flat(&self) -> &[F] {
        &self.flat
    }

    /// Returns the number of matrices.
    pub fn n_blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Returns the matrix with this name, or `None` if there is none.
    pub fn get(&self, name: &str) -> Option<ArrayView2<'_, F>> {
        self.blocks.iter().find(|block| block.name == name).map(|block| block.of(&self.flat))
    }

    /// Returns the name of a flat position, for example `weight[0, 1]`.
    pub fn coordinate_name(&self, index: usize) -> String {
        match self.blocks.iter().rfind(|block| block.start <= index) {
            Some(block) if block.shape.1 > 0 => {
                let at = index - block.start;
                format!("{}[{}, {}]", block.name, at / block.shape.1, at % block.shape.1)
            }
            _ => format!("w[{index}]"),
        }
    }

    /// Records a flat vector of this layout on a tape, as one leaf for each matrix, in the order of the list.
    ///
    /// # Errors
    /// [`GradError::Length`] if the vector has another length.
    pub fn record(&self, flat: &[F], tape: &mut Tape<F>) -> Result<Vec<Var>, GradError> {
        same_length("flat", self.flat.len(), flat.len())?;
        Ok(self.blocks.iter().map(|block| tape.leaf(block.of(flat).to_owned())).collect())
    }

    /// Writes the gradients of recorded leaves into a flat vector: zero for leaves that the scalar does not depend on.
    ///
    /// # Errors
    /// [`GradError::Length`] if the vector or the list of leaves has another length.
    pub fn collect(&self, gradients: &Gradients<F>, leaves: &[Var], out: &mut [F]) -> Result<(), GradError> {
        same_length("out", self.flat.len(), out.len())?;
        same_length("leaves", self.blocks.len(), leaves.len())?;
        for (block, &leaf) in self.blocks.iter().zip(leaves) {
            let out = &mut out[block.start..block.start + block.shape.0 * block.shape.1];
            match gradients.of(leaf) {
                Some(gradient) => out.iter_mut().zip(gradient).for_each(|(to, &from)| *to = from),
                None => out.fill(F::zero()),
            }
        }
        Ok(())
    }
}

impl Block {
    fn of<'a, F: Scalar>(&self, flat: &'a [F]) -> ArrayView2<'a, F> {
        let end = self.start + self.shape.0 * self.shape.1;
        ArrayView2::from_shape(self.shape, &flat[self.start..end]).expect("a block lies within its vector")
    }
}
