//! The parameters of a model: their names here, their places in files, and their values.

mod name;
mod source;

pub use name::{ParameterName, Part};
pub(crate) use source::{Piece, Source, collect, distribute, row_order};
