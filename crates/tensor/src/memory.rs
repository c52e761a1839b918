use crate::{Scalar, kernels::pages};
use ndarray::{Array, Dimension, ShapeBuilder};

/// Returns an array of zeros. A large one uses large pages where the system has them.
///
/// The first access to a fresh array costs a page fault every 4 KiB; with large pages, one every 2 MiB. `cargo xtask bench
/// ratios` compares a product into a fresh array with one into memory that is used again. A thread that sums into such an array
/// should fill it with zeros first: a fresh page that is read before it is written costs a second fault, for which all threads
/// stop.
///
/// # Shapes
/// Any shape; the elements lie in its order.
///
/// # Determinism
/// The numbers are the numbers of `Array::zeros`. Only the time of the first access differs.
///
/// # Panics
/// If the shape overflows, as in `Array::zeros`.
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
