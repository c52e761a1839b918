//! Sixteen numbers at once. The arithmetic on them is that of all kernels, `collimate_tensor::kernel_parts::lanes`.

/// The number of values that are computed at once.
pub(crate) const LANES: usize = 16;

/// The content of one or several vector registers.
pub(crate) type Lanes = [f32; LANES];

/// Returns the pre-activation up to which an output is 0: 0 for a ReLU, and NaN for a linear output, since no number compares as at
/// most NaN. One loop then serves both activations.
pub(crate) fn floor(relu: bool) -> f32 {
    if relu { 0.0 } else { f32::NAN }
}
