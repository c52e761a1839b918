//! The residual stream and what is added to it.

use super::models::{Models, largest, over_texts};
use crate::hooks::Capture;
use crate::parameters::{ParameterName, Part};
use crate::pass::Input;
use crate::site::{HookPoint, Site};
use collimate_claims::{Claim, Meta, Subject, larger};
use ndarray::Axis;

/// Claims that the residual stream is the embedding and everything that layers have added. The layers must have no norm on the stream
/// itself.
pub fn stream_is_a_sum(models: impl Models) -> impl Claim {
    let meta = Meta::theorem(
        "transformer/stream-is-a-sum",
        Subject::Transformer,
        "without a norm on the stream itself, the last residual stream is the embedding plus all outputs of attention and of MLPs",
    )
    .source("Elhage et al. (2021)");
    sum(meta, models)
}

/// Claims the same of models that norm the stream itself, where it is false.
pub fn normed_stream_is_a_sum(models: impl Models) -> impl Claim {
    let meta = Meta::counterexample(
        "transformer/normed-stream-is-a-sum",
        Subject::Transformer,
        "in every transformer the last residual stream is the embedding plus all outputs of attention and of MLPs",
    )
    .source("BERT norms the stream itself, as figure 1 of Vaswani et al. (2017) does");
    sum(meta, models)
}

fn sum(meta: Meta, models: impl Models) -> impl Claim {
    over_texts(meta, models, |model, text, _| {
        let d = model.description();
        let added = |layer: usize| [Site::AttentionAdded, Site::MlpAdded].map(|site| site.of_layer(layer));
        let last = Site::ResidualPost.of_layer(d.layers.len() - 1);
        let points = (0..d.layers.len()).flat_map(added).chain([Site::Embedding.of_layer(0), last]);
        let mut capture = Capture::at(points);
        model.run(&Input::new(text.clone()), &mut capture).expect("the claim draws texts that fit");
        let read = |point: HookPoint| capture.get(point).expect("the run passed the point");
        let mut sum = read(Site::Embedding.of_layer(0)).clone();
        for (index, layer) in d.layers.iter().enumerate() {
            added(index).iter().for_each(|point| sum.scaled_add(layer.branch_scale, read(*point)));
        }
        // A handful of additions.
        1e-13 * (1.0 + largest(&sum)) - largest(&(&sum - read(last)))
    })
}

/// Claims that the results of the heads, and the bias, add up to the output of attention.
pub fn heads_add_up(models: impl Models) -> impl Claim {
    let meta = Meta::theorem(
        "transformer/heads-add-up",
        Subject::Transformer,
        "the output of attention is the sum of what each head writes, plus the bias of the output matrix",
    )
    .source("Elhage et al. (2021)");
    over_texts(meta, models, |model, text, _| {
        let layers = 0..model.description().layers.len();
        let points = layers
            .clone()
            .flat_map(|layer| [Site::HeadResult, Site::AttentionOutput].map(|site| site.of_layer(layer)));
        let mut capture = Capture::at(points);
        model.run(&Input::new(text.clone()), &mut capture).expect("the claim draws texts that fit");
        let read = |site: Site, layer| capture.get(site.of_layer(layer)).expect("the run passed the point");
        let off = |layer| {
            let mut sum = read(Site::HeadResult, layer).sum_axis(Axis(2));
            let name = ParameterName { layer: Some(layer), part: Part::AttentionOutputBias };
            if let Some(bias) = model.parameter(name) {
                sum += &bias.row(0);
            }
            let output = read(Site::AttentionOutput, layer);
            // One product over all heads, or one for each head.
            largest(&(&sum - output)) - 1e-13 * (1.0 + largest(output))
        };
        -layers.map(off).fold(f64::NEG_INFINITY, larger)
    })
}
