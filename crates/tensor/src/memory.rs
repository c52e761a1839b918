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

/// Asks the allocator to keep freed memory instead of returning it to the system, for the whole process.
///
/// A pass through a model allocates and frees arrays of a megabyte and more. Memory that goes back to the system costs a page fault
/// every 4 KiB when it is used again. A program calls this once, at its
/// start; the command line does. It has an effect with the allocator of the GNU C library only, for arrays up to 32 MiB.
///
/// # Determinism
/// No number changes.
///
/// # Examples
/// ```
/// collimate_tensor::keep_freed_memory();
/// let x = collimate_tensor::zeros::<f32, _, _>((512, 576));
/// assert_eq!(x.sum(), 0.0);
/// ```
pub fn keep_freed_memory() {
    pages::keep_freed();
}

/// Returns false if `bytes` are more than the machine can hold.
///
/// Memory that cannot be had ends the process. So a function whose sizes come from outside asks before it allocates. Some systems
/// promise any amount of memory and end the process when it is used, so a large amount is compared with the memory that Linux
/// reports. Other systems are asked for the memory itself. True does not promise that the memory is free.
///
/// # Examples
/// ```
/// assert!(collimate_tensor::memory_fits(1 << 20));
/// assert!(!collimate_tensor::memory_fits(1 << 62));
/// ```
pub fn memory_fits(bytes: u64) -> bool {
    if bytes < 1 << 30 {
        return true;
    }
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    let given =
        || usize::try_from(bytes).is_ok_and(|bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok());
    total.map_or_else(given, |kilobytes| bytes <= kilobytes.saturating_mul(1024))
}
