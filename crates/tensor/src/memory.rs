use crate::{Scalar, kernels::pages};
use ndarray::{Array, Dimension, ShapeBuilder};

/// An array of zeros whose memory, when it is large, comes in large pages where the system has them.
///
/// The first touch of a fresh array costs a page fault every 4 KiB, a large page one every 2 MiB: `cargo xtask bench ratios` shows the
/// difference between a product into a fresh array and one into memory that is used again. What is summed in such an array is best
/// filled with zeros once more by the thread that sums: a fresh page that is read before it is written costs a second fault, for
/// which all threads stop.
///
/// # Shapes
/// Any; the elements lie in the order of the shape.
///
/// # Determinism
/// The numbers are those of `Array::zeros`; only the time of the first touch differs.
///
/// # Panics
/// As `Array::zeros`, when the shape overflows.
///
/// # Examples
/// ```
/// let x = collimate_tensor::zeros::<f32, _, _>((1024, 1024));
/// assert_eq!((x.dim(), x.sum()), ((1024, 1024), 0.0));
/// ```
pub fn zeros<F: Scalar, D: Dimension, S: ShapeBuilder<Dim = D>>(shape: S) -> Array<F, D> {
    let mut array = Array::zeros(shape);
    if let Some(memory) = array.as_slice_memory_order_mut() {
        pages::advise(memory);
    }
    array
}
