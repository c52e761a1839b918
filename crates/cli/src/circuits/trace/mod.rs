//! `collimate trace`.

mod graph;
mod intervene;
mod source;

use super::given;
use graph::GraphOptions;
use intervene::InterveneOptions;

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

/// Computes a graph, or the effect of an intervention.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match &options.command {
        Some(Command::Intervene(options)) => given::run(options),
        None => given::run(&options.graph),
    }
}
