//! The commands that open a model: `collimate patch`, `path`, `attribute`, `dla`, `lens` and `trace`.

pub(crate) mod attribute;
pub(crate) mod dla;
mod edges;
mod given;
pub(crate) mod lens;
pub(crate) mod patch;
pub(crate) mod path;
mod tensors;
pub(crate) mod trace;
