use super::attribution::AttributionGraph;
use super::influence::influence;
use crate::error::CircuitError;
use collimate_measure::ensure;
use ndarray::Array1;

/// The nodes and edges of a graph that carry most of the influence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// True for each node that is kept.
    pub nodes: Vec<bool>,
    /// The edges that are kept, `(target, source)` by the numbers of the nodes, in order.
    pub edges: Vec<(usize, usize)>,
}

impl AttributionGraph {
    /// Keeps the most influential nodes that together reach a share of the influence, and of their edges the strongest that reach another
    /// share. Tokens and targets are always kept. Features and errors without an edge to a kept node go, and features that nothing reaches.
    ///
    /// # Errors
    /// [`CircuitError::OutOfRange`] for a share outside (0, 1].
    pub fn prune(&self, node_share: f64, edge_share: f64) -> Result<Pruned, CircuitError> {
        for (name, share) in [("node_share", node_share), ("edge_share", edge_share)] {
            ensure(share > 0.0 && share <= 1.0, name, "in (0, 1]", share)?;
        }
        let (n, count) = (self.features.len(), self.n_nodes());
        let [errors, tokens, targets] = self.starts();
        let whole = influence(self, None);
        let least = threshold(whole.influence.iter().copied(), node_share);
        let mut nodes: Vec<bool> = whole.influence.iter().map(|&x| x >= least).collect();
        nodes[tokens..].fill(true);
        let kept = influence(self, Some(&nodes));
        let node_of = |row: usize| if row < n { row } else { targets + row - n };
        let mut scores = kept.shares;
        let weights: Array1<f64> = &kept.influence + &kept.weights;
        for (row, mut scores) in scores.rows_mut().into_iter().enumerate() {
            scores *= weights[node_of(row)];
        }
        let least = threshold(scores.iter().copied(), edge_share);
        let mut edges: Vec<(usize, usize)> = scores
            .indexed_iter()
            .filter(|(_, score)| **score >= least && **score > 0.0)
            .map(|((row, source), _)| (node_of(row), source))
            .collect();
        debug_assert!(errors == n && count >= tokens);
        loop {
            let (mut leads, mut reached) = (vec![false; count], vec![false; count]);
            for &(target, source) in &edges {
                leads[source] = true;
                reached[target] = true;
            }
            let before = nodes.clone();
            for node in 0..tokens {
                nodes[node] &= leads[node] && (node >= n || reached[node]);
            }
            if nodes == before {
                break;
            }
            edges.retain(|&(target, source)| nodes[target] && nodes[source]);
        }
        Ok(Pruned { nodes, edges })
    }

    /// Computes for each node the share of the influence that it and all nodes of more influence have together.
    pub fn cumulative_influence(&self) -> Vec<f64> {
        let influence = influence(self, None).influence;
        let mut order: Vec<usize> = (0..influence.len()).collect();
        order.sort_by(|&a, &b| influence[b].total_cmp(&influence[a]).then(a.cmp(&b)));
        let (total, mut sum) = (influence.sum(), 0.0);
        let mut out = vec![0.0; influence.len()];
        for node in order {
            sum += influence[node];
            out[node] = sum / total;
        }
        out
    }
}

/// Returns the smallest of the largest values that together reach a share of the sum.
fn threshold(values: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.filter(|&x| x > 0.0).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    let total: f64 = values.iter().sum();
    let mut sum = 0.0;
    let enough = values.iter().position(|x| {
        sum += x;
        sum / total >= share
    });
    enough.or(values.len().checked_sub(1)).map_or(f64::INFINITY, |last| values[last])
}
