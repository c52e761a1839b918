//! Graphs in the JSON of other programs.

mod graph_json;

pub use graph_json::{Collisions, GraphText, graph_json};
