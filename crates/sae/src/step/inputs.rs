//! The first pass: the centred rows and their products with the encoder.

use crate::error::SaeError;
use crate::float::Float;
use crate::members::choices::InputBias;
use crate::step::settings::{ROW_BLOCK, each};
use crate::step::task::Task;
use crate::weights::Weights;
use collimate_tensor::{BufferPool, PackedMatrix, Scalar, matmul_into};
use ndarray::{Array2, ArrayRef2, ArrayView2, ArrayViewMut2, Axis, s};

/// The centred rows of a batch and their products with the encoder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs<F: Scalar> {
    /// x − b_dec, or x.
    pub(crate) centred: Array2<F>,
    /// The encoder products `[b, n]`, if they are needed all at once.
    pub(crate) products: Array2<F>,
    /// The encoder, packed for products with a few rows, if each task makes its own products.
    pub(crate) packed: Option<PackedMatrix<F>>,
    /// The encoder products of the rows of a task.
    pub(crate) tiles: BufferPool<Vec<F>>,
}

/// Returns true if a task may drop the products of its rows after it has selected from them.
///
/// False for a batch of a single block, where packing the encoder costs more than it saves.
pub(crate) fn tiled<F: Float>(task: &Task<'_, F>) -> bool {
    task.rows > ROW_BLOCK && task.rule.dense().is_none() && task.rule.keep(task.rows).is_none()
}

/// Sets an array to a shape; its values are kept if it has that shape already, and zeros otherwise.
pub(crate) fn resize<F: Scalar>(array: &mut Array2<F>, shape: (usize, usize)) {
    if array.dim() != shape {
        *array = Array2::zeros(shape);
    }
}

/// Packs a matrix into the buffer of the last one, if the shape is the same.
fn pack<F: Scalar>(encoder: &ArrayRef2<F>, packed: &mut Option<PackedMatrix<F>>) -> Result<(), SaeError> {
    match packed {
        Some(packed) if packed.shape() == (encoder.ncols(), encoder.nrows()) => {
            packed.repack(&encoder.t())?
        }
        _ => *packed = Some(PackedMatrix::new(&encoder.t())),
    }
    Ok(())
}

impl<F: Float> Inputs<F> {
    /// Centres the rows, and multiplies them with the encoder or packs the encoder.
    pub(crate) fn set(
        &mut self,
        task: &Task<'_, F>,
        weights: &Weights<F>,
        x: &ArrayRef2<F>,
    ) -> Result<(), SaeError> {
        resize(&mut self.centred, (task.rows, task.member.input_width(weights)));
        resize(&mut self.products, (if tiled(task) { 0 } else { task.rows }, task.n_latents));
        let subtract = task.member.input_bias == InputBias::Subtracted;
        let centred = self.centred.axis_chunks_iter_mut(Axis(0), ROW_BLOCK);
        let mut blocks: Vec<_> = centred.zip(x.axis_chunks_iter(Axis(0), ROW_BLOCK)).collect();
        each(task.serial, &mut blocks, |_, (to, from)| {
            to.assign(from);
            if subtract {
                *to -= &weights.b_dec;
            }
        });
        let encoder = task.member.gate_rows(weights);
        if tiled(task) {
            return pack(&encoder, &mut self.packed);
        }
        Ok(matmul_into(F::one(), &self.centred, &encoder.t(), F::zero(), &mut self.products)?)
    }
}

/// Returns the distance between the rows of a tile: not a multiple of 1 KiB, which would crowd a few sets of the cache.
pub(crate) fn stride<F>(n: usize) -> usize {
    let stride = n.next_multiple_of(16);
    if (stride * size_of::<F>()).is_multiple_of(1024) { stride + 16 } else { stride }
}

/// Multiplies a few rows with the packed encoder; the products of a row begin every [`stride`] numbers.
pub(crate) fn tile_products<F: Float>(
    packed: &PackedMatrix<F>,
    input: &[F],
    width: usize,
    tile: &mut Vec<F>,
) -> usize {
    let n = packed.shape().1;
    let (rows, stride) = (input.len() / width, stride::<F>(n));
    let fits = "shapes of one workspace";
    tile.resize(ROW_BLOCK * stride, F::zero());
    let input = ArrayView2::from_shape((rows, width), input).expect(fits);
    let mut products = ArrayViewMut2::from_shape((rows, stride), &mut tile[..rows * stride]).expect(fits);
    let mut products = products.slice_mut(s![.., ..n]);
    packed.serial_matmul_into(&input, &mut products).expect(fits);
    rows * stride
}
