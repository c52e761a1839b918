//! `collimate trace`.

use super::given::Place;
use super::tensors::Tensors;
use crate::model::Precision;
use anyhow::Context;
use collimate_circuits::{
    AttributionGraph, FirstPosition, GraphSettings, Held, Node, Setting, Targets, Transcoders, intervene,
};
use collimate_transformer::Model;
use std::path::{Path, PathBuf};

/// The options of `collimate trace`.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  collimate trace some-folder --transcoders dictionaries --ids 0,5,3
  collimate trace some-folder --transcoders dictionaries --ids 0,5,3 --difference 6,9 --precision f64 --output graph.safetensors
  collimate trace intervene some-folder --transcoders dictionaries --ids 0,5,3 --set 1:2:40=0 --mode frozen

The output holds active_features [n, 3] (layer, position, latent), activation_values, error_vectors, token_vectors, logits, pre_activations,
logit_token_ids, logit_probabilities, selected_features, edges_into_features and edges_into_logits [target, source] with the columns features,
errors by layer and position, tokens, logits; constants, biases, node_influence, prune.node_mask, prune.edges (target, source),
prune.cumulative and scores (replacement, completeness)."
)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    graph: GraphOptions,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Set features to other activations, and run the model with the change of what they write.
    Intervene(InterveneOptions),
}

#[derive(clap::Args)]
struct Source {
    #[command(flatten)]
    place: Place,
    /// The folder with a transcoder for each layer of the model.
    #[arg(long, value_name = "FOLDER", required = true)]
    transcoders: Option<PathBuf>,
    /// A .safetensors file with the skips of a cross-layer set, W_skip [layer, in, out], where its own files leave them out.
    #[arg(long, value_name = "FILE")]
    skip: Option<PathBuf>,
    /// The token ids of the prompt.
    #[arg(long, value_name = "IDS", value_delimiter = ',', required = true)]
    ids: Vec<u32>,
    /// Treat the first position like every other one. By default no feature and no error there is a node.
    #[arg(long)]
    keep_first: bool,
}

#[derive(clap::Args)]
struct GraphOptions {
    #[command(flatten)]
    source: Source,
    /// Explain the logits of these tokens.
    #[arg(long, value_name = "IDS", value_delimiter = ',', conflicts_with = "difference")]
    targets: Vec<u32>,
    /// Explain one logit minus another, given as two ids.
    #[arg(long, value_name = "IDS", value_delimiter = ',', num_args = 1)]
    difference: Vec<u32>,
    /// The largest number of likely tokens to explain; they are as many as reach 0.95 of the probability.
    #[arg(long, value_name = "N", default_value_t = 10)]
    logits: usize,
    /// The shares of the influence that kept nodes and kept edges reach.
    #[arg(long, value_name = "NODES,EDGES", value_delimiter = ',', num_args = 1, default_values_t = [0.8, 0.98])]
    prune: Vec<f64>,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate trace intervene some-folder --transcoders dictionaries --ids 0,5,3 --set 1:2:40=0 --mode frozen
  collimate trace intervene some-folder --transcoders dictionaries --ids 0,5,3 --set 0:1:7=2.5 --set 1:2:40=0 --mode free --output out.safetensors

The output holds logits [position, word] and pre_activations [layer, position, latent].")]
struct InterveneOptions {
    #[command(flatten)]
    source: Source,
    /// A feature with its new activation.
    #[arg(long, value_name = "LAYER:POSITION:FEATURE=VALUE", value_parser = setting, required = true)]
    set: Vec<Setting>,
    /// The part of the run that is held at its value without intervention.
    #[arg(long, value_enum)]
    mode: Mode,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Mode {
    /// Hold patterns, divisors of norms and outputs of MLPs: the effects of the graph.
    Frozen,
    /// Hold the patterns.
    Patterns,
    /// Hold nothing.
    Free,
}

fn setting(text: &str) -> Result<Setting, String> {
    let wrong = || format!("'{text}' is no setting; expected LAYER:POSITION:FEATURE=VALUE, such as 1:2:40=0");
    let (place, value) = text.split_once('=').ok_or_else(wrong)?;
    let numbers: Vec<usize> =
        place.split(':').map(|part| part.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
    let &[layer, position, latent] = &numbers[..] else { return Err(wrong()) };
    Ok(Setting { layer, position, latent, value: value.parse().map_err(|_| wrong())? })
}

/// Computes a graph, or the effect of an intervention.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match &options.command {
        Some(Command::Intervene(options)) => {
            options.source.check()?;
            match options.source.place.precision {
                Precision::F32 => intervene_in::<f32>(options),
                Precision::F64 => intervene_in::<f64>(options),
            }
        }
        None => {
            options.graph.source.check()?;
            match options.graph.source.place.precision {
                Precision::F32 => trace_in::<f32>(&options.graph),
                Precision::F64 => trace_in::<f64>(&options.graph),
            }
        }
    }
}

impl Source {
    fn check(&self) -> anyhow::Result<()> {
        let read: Vec<&Path> = [self.transcoders.as_ref(), self.skip.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
            .collect();
        self.place.check(&read)
    }

    fn open<F: collimate_transformer::Precision + collimate_sae::Precision>(
        &self,
    ) -> anyhow::Result<(Model<F>, Transcoders<F>)> {
        let folder = self.transcoders.as_deref().context("--transcoders is needed")?;
        Ok((self.place.open()?, Transcoders::open(folder, self.skip.as_deref())?))
    }

    fn first(&self) -> FirstPosition {
        if self.keep_first { FirstPosition::Kept } else { FirstPosition::Cut }
    }
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

fn trace_in<F: collimate_transformer::Precision + collimate_sae::Precision>(
    options: &GraphOptions,
) -> anyhow::Result<()> {
    let &[node_share, edge_share] = &options.prune[..] else {
        anyhow::bail!("--prune takes two shares, but {} were given", options.prune.len())
    };
    let source = &options.source;
    let (model, transcoders) = source.open::<F>()?;
    let settings =
        GraphSettings { targets: options.targets()?, first: source.first(), ..GraphSettings::default() };
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
    let mut order: Vec<usize> = (0..graph.n_nodes()).collect();
    order.sort_by(|&a, &b| scores.influence[b].total_cmp(&scores.influence[a]));
    println!("\nthe most influential nodes");
    for &node in order.iter().take(10) {
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
    let edges = pruned.edges.iter().flat_map(|&(target, source)| [target as i64, source as i64]).collect();
    out.add_whole("prune.edges", edges, Some(2))?;
    out.add_list("prune.cumulative", &graph.cumulative_influence())?;
    out.add_list("scores", &[scores.replacement, scores.completeness])?;
    out.write(source.place.output.as_deref())
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

fn intervene_in<F: collimate_transformer::Precision + collimate_sae::Precision>(
    options: &InterveneOptions,
) -> anyhow::Result<()> {
    let source = &options.source;
    let (model, transcoders) = source.open::<F>()?;
    let (held, said) = match options.mode {
        Mode::Frozen => {
            (Held::Everything, "attention patterns, the divisors of all norms and the outputs of MLPs")
        }
        Mode::Patterns => (Held::Patterns, "attention patterns"),
        Mode::Free => (Held::Nothing, "nothing"),
    };
    let done = intervene(&model, &transcoders, &source.ids, &options.set, held, source.first())?;
    let before = intervene(&model, &transcoders, &source.ids, &[], Held::Nothing, source.first())?;
    println!("held: {said}");
    let last = source.ids.len() - 1;
    let mut order: Vec<usize> = (0..done.logits.ncols()).collect();
    let change = |token: usize| done.logits[[last, token]] - before.logits[[last, token]];
    order.sort_by(|&a, &b| change(b).abs().total_cmp(&change(a).abs()));
    println!("the logits at the last position that change most");
    for &token in order.iter().take(5) {
        let (from, to) = (before.logits[[last, token]], done.logits[[last, token]]);
        println!("  token {token}: {from:.6} -> {to:.6}");
    }
    let mut out = Tensors::default();
    out.add("logits", &done.logits)?;
    out.add("pre_activations", &done.pre_activations)?;
    out.write(source.place.output.as_deref())
}
