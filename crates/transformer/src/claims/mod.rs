//! Claims about transformers, as programs that answer Upheld, Refuted or Inconclusive.
//!
//! Each claim is a function of [`Models`], so you can examine your own model. The registered claims examine [`SmallModels`]: random
//! models of every architecture that this crate reads.
//!
//! ```
//! use collimate_claims::{Budget, examine};
//! use collimate_transformer::claims::{SmallModels, constants_are_invisible};
//!
//! // Llama has norms by the root mean square, which do not take the mean away.
//! let report = examine(&constants_are_invisible(SmallModels::of(|d| d.name == "llama")), &Budget::quick());
//! assert!(report.refuted());
//! assert_eq!(report.outcome.counterexample.unwrap().dims[1], ("tokens", 2));
//! ```

mod derivatives;
mod families;
mod folding;
mod models;
mod norms;
mod passes;
mod streams;
mod symmetries;

pub use derivatives::{
    backward_is_adjoint, derivatives_are_limits, hessian_is_symmetric, no_gradient_to_the_future,
};
pub use families::SmallModels;
pub use folding::{folding_leaves_log_probabilities, heads_are_products};
pub use models::Models;
pub use norms::{
    constants_are_invisible, constants_are_invisible_to_the_root_mean_square, stream_has_no_scale,
    stream_without_norms_before_has_no_scale,
};
pub use passes::{
    cache_changes_nothing, cache_with_a_growing_base_changes_nothing, padding_changes_nothing,
    training_repeats,
};
pub use streams::{heads_add_up, normed_stream_is_a_sum, stream_is_a_sum};
pub use symmetries::{
    learned_positions_are_relative, positions_are_relative, stream_has_no_basis,
    stream_with_layer_norms_has_no_basis,
};

use crate::description::{Arrangement, Description, Frequencies, LayerDescription, Norm, NormKind};
use collimate_claims::Claims;
use collimate_grad::primitive::activation::Activation;

/// Returns the claims of this crate, about random small models of every architecture.
///
/// # Examples
/// ```
/// let claims = collimate_transformer::claims::claims();
/// assert_eq!(claims.len(), 21);
/// ```
pub fn claims() -> Claims {
    let all = SmallModels::all;
    // A mixture of experts jumps where the choice changes.
    let smooth = |d: &Description| {
        d.layers.iter().all(|layer| layer.mlp.activation != Activation::Relu && layer.mlp.experts.is_none())
    };
    let is_sum =
        |d: &Description| d.layers.iter().all(|layer| layer.sum_norm.is_none() && !layer.residual_is_normed);
    let normed = |d: &Description| d.layers.iter().any(|layer| layer.sum_norm.is_some());
    let table = |d: &Description| d.embedding.positions.is_some();
    let turned = |d: &Description, kind| norms(d).all(|norm| norm.kind == kind);
    let has_width = |d: &Description| d.embedding.projected_from.is_none();
    let llama = |d: &Description| d.name == "llama";
    Claims::new()
        .with(backward_is_adjoint(all()))
        .with(derivatives_are_limits(SmallModels::of(smooth)))
        .with(hessian_is_symmetric(all()))
        .with(no_gradient_to_the_future(SmallModels::of(Description::is_causal)))
        .with(stream_is_a_sum(SmallModels::of(is_sum)))
        .with(normed_stream_is_a_sum(SmallModels::of(normed)))
        .with(heads_add_up(all()))
        .with(folding_leaves_log_probabilities(SmallModels::of(folds)))
        .with(heads_are_products(SmallModels::of(|d| d.layers.iter().all(has_plain_heads))))
        .with(cache_changes_nothing(SmallModels::of(Description::is_causal)))
        .with(cache_with_a_growing_base_changes_nothing(SmallModels::of(llama).changed(grow_the_base)))
        .with(padding_changes_nothing(all()))
        .with(training_repeats(SmallModels::of(Description::is_causal)))
        .with(positions_are_relative(SmallModels::of(|d| !table(d))))
        .with(learned_positions_are_relative(SmallModels::of(table)))
        .with(stream_has_no_basis(SmallModels::of(|d| turned(d, NormKind::RootMeanSquare))))
        .with(stream_with_layer_norms_has_no_basis(SmallModels::of(|d| {
            has_width(d) && turned(d, NormKind::Layer)
        })))
        .with(constants_are_invisible(SmallModels::of(|d| {
            reads_through_norms(d) && turned(d, NormKind::Layer)
        })))
        .with(constants_are_invisible_to_the_root_mean_square(SmallModels::of(|d| {
            turned(d, NormKind::RootMeanSquare)
        })))
        .with(stream_has_no_scale(SmallModels::of(reads_through_norms).changed(remove_epsilon)))
        .with(stream_without_norms_before_has_no_scale(SmallModels::of(|d| !reads_through_norms(d))))
}

/// Returns the norms of the residual stream.
fn norms(d: &Description) -> impl Iterator<Item = &Norm> {
    let of_layers = d.layers.iter().flat_map(|layer| {
        [
            &layer.attention_norm,
            &layer.attention_post_norm,
            &layer.mlp_norm,
            &layer.mlp_post_norm,
            &layer.sum_norm,
        ]
    });
    of_layers.chain([&d.embedding.norm, &d.final_norm]).flatten()
}

/// Returns true if layers and head read the stream only through norms, and no norm stands on the stream itself.
fn reads_through_norms(d: &Description) -> bool {
    let of_layer = |layer: &LayerDescription| {
        layer.attention_norm.is_some()
            && (layer.mlp_norm.is_some() || layer.arrangement == Arrangement::ParallelOneNorm)
            && layer.sum_norm.is_none()
            && !layer.residual_is_normed
    };
    d.layers.iter().all(of_layer) && d.final_norm.is_some()
}

/// Returns true if every norm is read by matrices alone.
fn folds(d: &Description) -> bool {
    let of_layer = |layer: &LayerDescription| {
        layer.attention_post_norm.is_none()
            && layer.mlp_post_norm.is_none()
            && layer.sum_norm.is_none()
            && layer.attention.head_norm.is_none()
            && !layer.residual_is_normed
    };
    d.layers.iter().all(of_layer)
}

/// Returns true if the heads of a layer neither norm queries and keys nor are subtracted in pairs.
fn has_plain_heads(layer: &LayerDescription) -> bool {
    layer.attention.head_norm.is_none() && layer.attention.differential.is_none()
}

/// Sets the number ε of all norms of the residual stream to 0.
fn remove_epsilon(d: &mut Description) {
    let of_layers = d.layers.iter_mut().flat_map(|layer| {
        [
            &mut layer.attention_norm,
            &mut layer.attention_post_norm,
            &mut layer.mlp_norm,
            &mut layer.mlp_post_norm,
        ]
    });
    let norms = of_layers.chain([&mut d.embedding.norm, &mut d.final_norm]).flatten();
    norms.for_each(|norm| norm.epsilon = 0.0);
}

/// Lets the base of the rotary angles grow from a length of 4 tokens on.
fn grow_the_base(d: &mut Description) {
    let rotaries = d.layers.iter_mut().filter_map(|layer| layer.attention.rotary.as_mut());
    rotaries.for_each(|rotary| rotary.frequencies = Frequencies::Dynamic { factor: 2.0, length: 4.0 });
}
