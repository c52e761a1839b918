//! Matrix products: into fresh memory, into the caller's, in batches, and with a right operand packed once.

mod matmul;
mod packed;

pub use matmul::{batched_matmul, matmul, matmul_into};
pub use packed::PackedMatrix;
