use super::attribution::AttributionGraph;
use ndarray::{Array1, Array2, s};

/// The smallest sum by which a row is divided.
const LEAST: f64 = 1e-10;

/// The share of the influence that a graph explains. Without a null distribution such numbers mean little: random transcoders of a random
/// model reach 0.7 and 0.9.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Scores {
    /// The influence of each node on the targets.
    pub influence: Array1<f64>,
    /// The influence of the tokens as a share of that of tokens and errors.
    pub replacement: f64,
    /// The share of inputs that are no errors, over all nodes, weighted by influence.
    pub completeness: f64,
}

/// The rows of a graph as shares, with what flows along them.
pub(super) struct Flow {
    /// |effect| as shares of each row, `[feature or target, node]`, the features first.
    pub(super) shares: Array2<f64>,
    pub(super) influence: Array1<f64>,
    /// The weights of the targets, at their nodes.
    pub(super) weights: Array1<f64>,
}

/// Computes the influence of every node: I = w(Â + Â² + …), with rows of Â that sum to 1. `kept` names the nodes that are not removed.
pub(super) fn influence(graph: &AttributionGraph, kept: Option<&[bool]>) -> Flow {
    let (n, nodes) = (graph.features.len(), graph.n_nodes());
    let mut shares = Array2::zeros((n + graph.targets.len(), nodes));
    shares.slice_mut(s![..n, ..]).assign(&graph.into_features);
    shares.slice_mut(s![n.., ..]).assign(&graph.into_targets);
    let node_of = |row: usize| if row < n { row } else { nodes - graph.targets.len() + row - n };
    for (row, mut shares) in shares.rows_mut().into_iter().enumerate() {
        shares.mapv_inplace(f64::abs);
        if let Some(kept) = kept {
            let own = kept[node_of(row)];
            shares.iter_mut().zip(kept).for_each(|(x, &kept)| *x = if own && kept { *x } else { 0.0 });
        }
        let sum = shares.sum().max(LEAST);
        shares.mapv_inplace(|x| x / sum);
    }
    let mut weights = Array1::zeros(nodes);
    for (index, target) in graph.targets.iter().enumerate() {
        weights[node_of(n + index)] = target.weight;
    }
    let mut total = Array1::<f64>::zeros(nodes);
    let mut flow = weights.clone();
    // No path has more edges than there are features and one target, and paths go from one layer to a lower one.
    for _ in 0..2 * graph.layers + 3 {
        let mut next = Array1::<f64>::zeros(nodes);
        for (row, shares) in shares.rows().into_iter().enumerate() {
            let amount = flow[node_of(row)];
            if amount != 0.0 {
                next.scaled_add(amount, &shares);
            }
        }
        if next.iter().all(|&x| x == 0.0) {
            break;
        }
        total += &next;
        flow = next;
    }
    Flow { shares, influence: total, weights }
}

impl AttributionGraph {
    /// Computes the influence of each node on the targets, and how much of it comes from tokens and not from errors.
    pub fn scores(&self) -> Scores {
        influence(self, None).scores(self)
    }
}

impl Flow {
    fn scores(self, graph: &AttributionGraph) -> Scores {
        let [errors, tokens, targets] = graph.starts();
        let through_errors = self.influence.slice(s![errors..tokens]).sum();
        let through_tokens = self.influence.slice(s![tokens..targets]).sum();
        let replacement = through_tokens / (through_tokens + through_errors);
        let weights = &self.influence + &self.weights;
        let n = graph.features.len();
        let mut explained = 0.0;
        for (node, &weight) in weights.iter().enumerate() {
            let row = if node < n { Some(node) } else { node.checked_sub(targets).map(|target| n + target) };
            let by_errors = row.map_or(0.0, |row| self.shares.slice(s![row, errors..tokens]).sum());
            explained += (1.0 - by_errors) * weight;
        }
        let completeness = explained / weights.sum();
        Scores { influence: self.influence, replacement, completeness }
    }
}
