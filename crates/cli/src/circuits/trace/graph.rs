//! The graph of `collimate trace`.

use super::source::Source;
use crate::circuits::given::{Experiment, Float, Place, largest};
use crate::circuits::tensors::Tensors;
use collimate_circuits::{AttributionGraph, GraphSettings, Node, Targets};
use std::path::Path;

/// The options of a graph.
#[derive(clap::Args)]
pub(super) struct GraphOptions {
    #[command(flatten)]
    source: Source,
    /// Explain the logits of these tokens.
    #[arg(long, value_name = "IDS", value_delimiter = ',', conflicts_with = "difference")]
    targets: Vec<u32>,
    /// Explain one logit minus another, given as two ids.
    #[arg(long, value_name = "IDS", value_delimiter = ',', num_args = 1)]
    difference: Vec<u32>,
    /// The largest number of likely tokens to explain. Fewer are explained if they have 0.95 of the probability together.
    #[arg(long, value_name = "N", default_value_t = 10)]
    logits: usize,
    /// The share of the influence that the kept nodes have together, and that of the kept edges.
    #[arg(long, value_name = "NODES,EDGES", value_delimiter = ',', num_args = 1, default_values_t = [0.8, 0.98])]
    prune: Vec<f64>,
}

impl GraphOptions {
    fn targets(&self) -> anyhow::Result<Targets> {
        match (&self.targets[..], &self.difference[..]) {
            ([], []) => Ok(Targets::Likely { at_most: self.logits, mass: 0.95 }),
            (tokens, []) => Ok(Targets::Tokens(tokens.to_vec())),
            (_, &[answer, wrong]) => Ok(Targets::Difference { answer, wrong }),
            (_, other) => anyhow::bail!("--difference takes two ids, but {} were given", other.len()),
        }
    }
}

impl Experiment for GraphOptions {
    fn place(&self) -> &Place {
        &self.source.place
    }

    fn inputs(&self) -> Vec<&Path> {
        self.source.inputs()
    }

    fn compute<F: Float>(&self) -> anyhow::Result<Tensors> {
        let &[node_share, edge_share] = &self.prune[..] else {
            anyhow::bail!("--prune takes two shares, but {} were given", self.prune.len())
        };
        let source = &self.source;
        let (model, transcoders) = source.open::<F>()?;
        let settings =
            GraphSettings { targets: self.targets()?, first: source.first(), ..GraphSettings::default() };
        let graph = AttributionGraph::new(&model, &transcoders, &source.ids, settings)?;
        let (scores, pruned) = (graph.scores(), graph.prune(node_share, edge_share)?);
        println!("held: attention patterns, the divisors of all norms, active features and errors");
        println!("the first position is {}", if source.keep_first { "kept" } else { "cut" });
        let (tokens, targets) = (graph.tokens.len(), graph.targets.len());
        println!(
            "{} features, {} errors, {tokens} tokens, {targets} targets",
            graph.features.len(),
            graph.layers * tokens
        );
        let kept = pruned.nodes.iter().filter(|&&kept| kept).count();
        println!("pruned: {kept} nodes and {} edges", pruned.edges.len());
        println!(
            "replacement {:.4}, completeness {:.4}; no null was computed",
            scores.replacement, scores.completeness
        );
        println!("\nthe most influential nodes");
        for node in largest(0..graph.n_nodes(), 10, |&node| scores.influence[node]) {
            let name = match graph.node(node) {
                Node::Feature(index) => {
                    let feature = graph.features[index];
                    format!("feature {}:{}:{}", feature.layer, feature.position, feature.latent)
                }
                Node::Error { layer, position } => format!("error {layer}:{position}"),
                Node::Token { position } => format!("token at {position}"),
                Node::Target(index) => format!("target {index}"),
            };
            println!("  {name:<24} {:.6}", scores.influence[node]);
        }
        let mut out = tensors(&graph)?;
        out.add("node_influence", &scores.influence)?;
        out.add_whole("prune.node_mask", pruned.nodes.iter().map(|&kept| i64::from(kept)).collect(), None)?;
        let edges =
            pruned.edges.iter().flat_map(|&(target, source)| [target as i64, source as i64]).collect();
        out.add_whole("prune.edges", edges, Some(2))?;
        out.add_list("prune.cumulative", &graph.cumulative_influence())?;
        out.add_list("scores", &[scores.replacement, scores.completeness])?;
        Ok(out)
    }
}

/// Returns the tensors of a graph.
fn tensors(graph: &AttributionGraph) -> anyhow::Result<Tensors> {
    let mut out = Tensors::default();
    let active = graph.features.iter().flat_map(|f| [f.layer as i64, f.position as i64, f.latent as i64]);
    out.add_whole("active_features", active.collect(), Some(3))?;
    let values: Vec<f64> = graph.features.iter().map(|feature| feature.activation).collect();
    out.add_list("activation_values", &values)?;
    out.add("error_vectors", &graph.errors)?;
    out.add("token_vectors", &graph.token_vectors)?;
    out.add("logits", &graph.logits)?;
    out.add("pre_activations", &graph.pre_activations)?;
    out.add_whole(
        "logit_token_ids",
        graph.targets.iter().map(|target| i64::from(target.token)).collect(),
        None,
    )?;
    let weights: Vec<f64> = graph.targets.iter().map(|target| target.weight).collect();
    out.add_list("logit_probabilities", &weights)?;
    out.add_whole("selected_features", (0..graph.features.len() as i64).collect(), None)?;
    out.add("edges_into_features", &graph.into_features)?;
    out.add("edges_into_logits", &graph.into_targets)?;
    out.add_list("constants", &graph.constants)?;
    out.add_list("biases", &graph.biases)?;
    Ok(out)
}
