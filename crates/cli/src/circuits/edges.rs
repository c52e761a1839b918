//! The numbers of writers and readers at each position, in the order of the output.

use collimate_circuits::{EdgeAttribution, NodeAttribution, Projection, Reader};
use ndarray::s;

/// Returns the values of nodes: the embedding by position, then by layer and position the heads and the MLP.
pub(super) fn nodes(nodes: &NodeAttribution) -> Vec<f64> {
    let mut all = nodes.embedding.to_vec();
    let (layers, positions, _) = nodes.heads.dim();
    for layer in 0..layers {
        for position in 0..positions {
            all.extend(nodes.heads.slice(s![layer, position, ..]));
            all.push(nodes.mlps[[layer, position]]);
        }
    }
    all
}

/// Returns pairs of a writer and a reader for each edge. Writers count by position and then in the order of writing; readers are sorted by
/// kind (keys, final residual stream, MLPs, queries, values), then by position, layer and head.
pub(super) fn index(all: &EdgeAttribution) -> Vec<i64> {
    let positions = all.scores.dim().0;
    let mut order: Vec<(u8, usize, usize, usize, usize)> = Vec::new();
    for (number, reader) in all.readers.iter().enumerate() {
        let (kind, layer, head) = match *reader {
            Reader::Head { layer, projection: Projection::Key, head } => (0, layer, head),
            Reader::Final => (1, 0, 0),
            Reader::Mlp { layer } => (2, layer, 0),
            Reader::Head { layer, projection: Projection::Query, head } => (3, layer, head),
            Reader::Head { layer, projection: Projection::Value, head } => (4, layer, head),
        };
        order.extend((0..positions).map(|position| (kind, position, layer, head, number)));
    }
    order.sort();
    let mut place = vec![0; positions * all.readers.len()];
    for (index, (_, position, .., number)) in order.iter().enumerate() {
        place[position * all.readers.len() + number] = index as i64;
    }
    let edge = |(position, writer, reader, _): (usize, usize, usize, f64)| {
        [(position * all.writers.len() + writer) as i64, place[position * all.readers.len() + reader]]
    };
    all.edges().flat_map(edge).collect()
}
