//! Gradients times differences: the parts and the edges that a metric depends on, to first order.

mod edges;
mod ends;
mod nodes;
mod points;
mod selection;
mod slopes;

pub use edges::{EdgeAttribution, attribute_edges};
pub use nodes::{NodeAttribution, attribute_nodes};
pub use points::{Linearisation, Quadrature, Sign};
pub use selection::{Selection, faithfulness_curve};
