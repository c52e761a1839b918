use crate::error::CircuitError;
use crate::graph::{AttributionGraph, Node, Pruned, Target};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The texts of a graph that its numbers do not contain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GraphText<'a> {
    /// The short name of the graph.
    pub slug: &'a str,
    /// The name of the model and of its transcoders.
    pub scan: &'a str,
    /// The prompt.
    pub prompt: &'a str,
    /// The share of the influence that the kept nodes reach, as [`AttributionGraph::prune`] took it.
    pub node_share: f64,
}

/// The treatment of an error node whose usual id, `0_LAYER_POSITION`, is also the id of a feature of layer 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Collisions {
    /// An error that names the id.
    Refuse,
    /// The error node gets an id whose second number is that of no feature. The new ids are returned.
    Rename,
}

/// Returns the kept part of a graph as the JSON that graph viewers read, and the ids of error nodes that were changed.
///
/// `names` returns the text of a token.
///
/// # Errors
/// [`CircuitError::Argument`] for two nodes of one id with [`Collisions::Refuse`], or a pruned graph of another size.
pub fn graph_json(
    graph: &AttributionGraph,
    pruned: &Pruned,
    names: &dyn Fn(u32) -> String,
    text: &GraphText<'_>,
    collisions: Collisions,
) -> Result<(Value, Vec<String>), CircuitError> {
    if pruned.nodes.len() != graph.n_nodes() {
        let (expected, given) = (graph.n_nodes(), pruned.nodes.len());
        return Err(CircuitError::Argument(format!(
            "the pruned graph has {given} nodes and the graph {expected}; prune this graph"
        )));
    }
    let influence = graph.cumulative_influence();
    let kept: Vec<usize> = (0..graph.n_nodes()).filter(|&node| pruned.nodes[node]).collect();
    let mut ids: BTreeMap<usize, String> = BTreeMap::new();
    let mut renamed = Vec::new();
    for &node in &kept {
        let mut id = usual_id(graph, node);
        if ids.values().any(|other| *other == id) {
            let Node::Error { layer, position } = graph.node(node) else {
                return Err(CircuitError::Argument(format!(
                    "two nodes have the id {id}; give each target once"
                )));
            };
            if collisions == Collisions::Refuse {
                return Err(CircuitError::Argument(format!(
                    "the error of layer {layer} at position {position} and a feature of layer 0 have the id {id}; let the error be renamed"
                )));
            }
            id = format!("0_{}_{position}", graph.pre_activations.dim().2 + layer);
            renamed.push(id.clone());
        }
        ids.insert(node, id);
    }
    let nodes: Vec<Value> =
        kept.iter().map(|&node| entry(graph, node, &ids[&node], &influence, names)).collect();
    let links: Vec<Value> = pruned
        .edges
        .iter()
        .map(|&(target, source)| {
            json!({ "source": ids[&source], "target": ids[&target], "weight": weight(graph, target, source) })
        })
        .collect();
    let tokens: Vec<String> = graph.tokens.iter().map(|&id| names(id)).collect();
    let value = json!({
        "metadata": {
            "slug": text.slug,
            "scan": text.scan,
            "transcoder_list": [],
            "prompt_tokens": tokens,
            "prompt": text.prompt,
            "node_threshold": text.node_share,
            "schema_version": 1,
        },
        "qParams": { "pinnedIds": [], "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": "" },
        "nodes": nodes,
        "links": links,
    });
    Ok((value, renamed))
}

/// Returns the effect of an edge.
fn weight(graph: &AttributionGraph, target: usize, source: usize) -> f64 {
    match graph.node(target) {
        Node::Target(index) => graph.into_targets[[index, source]],
        _ => graph.into_features[[target, source]],
    }
}

/// Returns the number of a target in its id: the token, or a number after the vocabulary for a difference.
fn number(graph: &AttributionGraph, index: usize) -> u64 {
    let words = graph.logits.ncols();
    let Target { token, minus, .. } = graph.targets[index];
    if minus.is_some() { (words + index) as u64 } else { u64::from(token) }
}

fn usual_id(graph: &AttributionGraph, node: usize) -> String {
    let end = graph.tokens.len() - 1;
    match graph.node(node) {
        Node::Feature(index) => {
            let feature = graph.features[index];
            format!("{}_{}_{}", feature.layer, feature.latent, feature.position)
        }
        Node::Error { layer, position } => format!("0_{layer}_{position}"),
        Node::Token { position } => format!("E_{}_{position}", graph.tokens[position]),
        Node::Target(index) => format!("{}_{}_{end}", graph.layers + 1, number(graph, index)),
    }
}

/// Returns one number for a layer and a latent.
fn paired(layer: usize, latent: usize) -> u64 {
    let (a, b) = (layer as u64, latent as u64);
    (a + b) * (a + b + 1) / 2 + b
}

fn entry(
    graph: &AttributionGraph,
    node: usize,
    id: &str,
    influence: &[f64],
    names: &dyn Fn(u32) -> String,
) -> Value {
    let mut value = json!({
        "node_id": id,
        "feature": -1,
        "layer": "",
        "ctx_idx": graph.tokens.len() - 1,
        "feature_type": "",
        "token_prob": 0.0,
        "is_target_logit": false,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "jsNodeId": "",
        "clerp": "",
        "influence": influence[node],
        "activation": null,
    });
    match graph.node(node) {
        Node::Feature(index) => {
            let feature = graph.features[index];
            value["feature"] = json!(paired(feature.layer, feature.latent));
            value["layer"] = json!(feature.layer.to_string());
            value["ctx_idx"] = json!(feature.position);
            // Viewers use this name for the features of every kind of transcoder.
            value["feature_type"] = json!("cross layer transcoder");
            value["jsNodeId"] = json!(format!("{}_{}-0", feature.layer, feature.latent));
            value["activation"] = json!(feature.activation);
        }
        Node::Error { layer, position } => {
            value["layer"] = json!(layer.to_string());
            value["ctx_idx"] = json!(position);
            value["feature_type"] = json!("mlp reconstruction error");
            value["jsNodeId"] = json!(format!("{layer}_{position}-0"));
        }
        Node::Token { position } => {
            let token = graph.tokens[position];
            value["feature"] = json!(position);
            value["layer"] = json!("E");
            value["ctx_idx"] = json!(position);
            value["feature_type"] = json!("embedding");
            value["jsNodeId"] = json!(format!("E_{token}-{position}"));
        }
        Node::Target(index) => {
            let Target { token, minus, weight } = graph.targets[index];
            let (number, end) = (number(graph, index), graph.tokens.len() - 1);
            let said = match minus {
                Some(minus) => format!("logit({})-logit({})", names(token), names(minus)),
                None => names(token),
            };
            value["feature"] = json!(number);
            value["layer"] = json!((graph.layers + 1).to_string());
            value["feature_type"] = json!("logit");
            value["token_prob"] = json!(weight);
            value["is_target_logit"] = json!(index == 0);
            value["jsNodeId"] = json!(format!("L_{number}-{end}"));
            value["clerp"] = json!(format!("Output \"{said}\" (p={weight:.3})"));
            value["influence"] = Value::Null;
        }
    }
    value
}
