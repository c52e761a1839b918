//! The sizes of a model and the source of its samples.

use crate::data::Source;
use crate::kernels::uniforms::Uniforms;
use collimate_stream::RngStream;
use std::sync::Arc;

/// The sizes of a model and the importances of its features.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) features: usize,
    pub(super) hidden: usize,
    pub(super) relu: bool,
    pub(super) batch: usize,
    /// The importance of each feature divided by the batch size.
    pub(super) share: Vec<f32>,
}

/// The source of samples.
#[derive(Debug)]
pub(super) enum Data {
    /// Independent features, of which several are drawn at once.
    Drawn(Box<Uniforms>),
    /// Any other source, drawn row by row.
    Rows { source: Arc<dyn Source>, stream: Box<RngStream>, row: Vec<f64> },
}
