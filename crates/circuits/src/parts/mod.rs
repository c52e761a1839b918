//! The parts of a model as plain maps: norms, the residual stream with its writers and readers, and the head.

mod norm;
mod readers;
mod unembed;
mod writers;

pub(crate) use norm::NormMap;
pub(crate) use readers::ReadMaps;
pub use readers::{Projection, Reader};
pub(crate) use unembed::Unembed;
pub use writers::Writer;
pub(crate) use writers::{additive, head_writes, refuse, row_of, writers, writes};
