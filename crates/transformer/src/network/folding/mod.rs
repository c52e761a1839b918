//! Norms folded into the matrices that read them, centred writing, and the weights of single heads.

mod centre;
mod fold;
mod gains;
mod heads;

pub use heads::HeadWeights;
