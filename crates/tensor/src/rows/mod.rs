//! Functions of one row: exponentials and activations, norms, softmax.

mod elementwise;
mod norm;
mod softmax;

pub use elementwise::{exp_in_place, gelu_erf, gelu_tanh, silu, silu_times};
pub use norm::{layer_norm_into, rms_norm_into};
pub use softmax::{log_softmax_in_place, log_sum_exp, softmax_in_place, softmax_rows};
