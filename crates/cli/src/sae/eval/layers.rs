//! The measurement of a transcoder of several layers, layer by layer.

use super::plan::Plan;
use crate::sae::rows::Rows;
use anyhow::{bail, ensure};
use collimate_measure::Fingerprint;
use collimate_sae::{Evaluation, LayeredTranscoder, SaeError, Size, Usage, WithNull};
use ndarray::{Array2, Array3, Axis, s, stack};
use std::ops::Range;

/// The number of rows of a block. A block holds the inputs and the outputs of all layers.
const BLOCK: usize = 512;

/// Returns an error unless there is one place of inputs and one target for each layer, all of the widths of the transcoder.
pub(super) fn check(name: &str, transcoder: &LayeredTranscoder<f32>, rows: &Rows) -> anyhow::Result<()> {
    let count = transcoder.layers().len();
    for (option, given, verb, width) in [
        ("--activations", rows.widths(), "takes", transcoder.d_in()),
        ("--target", rows.targets(), "predicts", transcoder.d_out()),
    ] {
        ensure!(
            given.len() == count,
            "this is a {name}, which is measured at all of its {count} layers; give {option} {count} times, in the order of the \
             layers, and not {} times",
            given.len()
        );
        if let Some(layer) = given.iter().position(|&given| given != width) {
            bail!(
                "layer {layer} of the {name} {verb} rows of width {width}, but {option} number {} has width {}",
                layer + 1,
                given[layer]
            );
        }
    }
    Ok(())
}

/// Returns the columns of the outputs of a layer. The columns of all outputs follow those of all inputs.
pub(super) fn outputs(transcoder: &LayeredTranscoder<f32>, layer: usize) -> Range<usize> {
    let first = transcoder.layers().len() * transcoder.d_in();
    first + layer * transcoder.d_out()..first + (layer + 1) * transcoder.d_out()
}

/// Encodes and predicts the rows with the transcoder and with its null model, and returns the metrics of both for each layer.
pub(super) fn measure(
    plan: &Plan<'_>,
    transcoder: &LayeredTranscoder<f32>,
    object: Fingerprint,
) -> anyhow::Result<Vec<(Vec<WithNull>, Usage)>> {
    let (count, d_in, d_out) = (transcoder.layers().len(), transcoder.d_in(), transcoder.d_out());
    let size = Size { d_model: d_out, n_latents: transcoder.n_latents() };
    let new = || -> Result<Vec<Evaluation>, SaeError> {
        let one = |layer| {
            let centre = plan.mean.slice(s![outputs(transcoder, layer)]).mapv(f64::from).to_vec();
            Evaluation::sized(size, object).centred_at(centre)
        };
        (0..count).map(one).collect()
    };
    let (mut evaluations, mut nulls) = (new()?, new()?);
    let shuffled = transcoder.null(plan.seed);
    plan.each_block(BLOCK, |block, documents| {
        let x = layers_first(block, 0, d_in, count)?;
        let y = layers_first(block, count * d_in, d_out, count)?;
        for (transcoder, evaluations) in [(transcoder, &mut evaluations), (&shuffled, &mut nulls)] {
            let (codes, predicted) = transcoder.forward(&x)?;
            for (layer, evaluation) in evaluations.iter_mut().enumerate() {
                let [y, predicted] = [&y, &predicted].map(|of| of.index_axis(Axis(0), layer));
                evaluation.push_codes(&y, &codes[layer], &predicted, documents)?;
            }
        }
        Ok(())
    })?;
    evaluations.iter().zip(&nulls).map(|(evaluation, null)| plan.metrics(evaluation, null)).collect()
}

/// Returns columns of rows `[b, …]`, of which each layer has `width` from `first` on, as `[layer, b, width]`.
fn layers_first(
    block: &Array2<f32>,
    first: usize,
    width: usize,
    count: usize,
) -> anyhow::Result<Array3<f32>> {
    let columns = |layer: usize| first + layer * width..first + (layer + 1) * width;
    let views: Vec<_> = (0..count).map(|layer| block.slice(s![.., columns(layer)])).collect();
    Ok(stack(Axis(0), &views)?)
}
