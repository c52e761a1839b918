//! The way through the tiled kernels, for the compositions they cover.

use super::arguments::Shared;
use super::trace::Core;
use super::{Combination, Normaliser, Parameter, Parameters, Variant};
use crate::{Attention, AttentionError, Element, Saved};
use ndarray::{ArcArray, Array3, ArrayRef3, Axis, Ix3};

/// The logits of the sinks, if the normaliser has them.
fn sink<F: Element>(variant: &Variant, parameters: &Parameters<F>, heads: usize) -> Option<Vec<F>> {
    match variant.normaliser {
        Normaliser::SoftmaxPlusOne => Some(vec![F::zero(); heads]),
        Normaliser::LearnedSink => Some(parameters.values(Parameter::Sink).to_vec()),
        _ => None,
    }
}

pub(super) fn forward<F: Element>(
    variant: &Variant,
    attention: Attention,
    [q, k]: &[ArcArray<F, Ix3>; 2],
    arguments: &Shared<F>,
) -> Result<(Core<F>, ArcArray<F, Ix3>), AttentionError> {
    let (q, k, v) = (q.clone(), k.clone(), arguments.v.clone());
    let sink = sink(variant, &arguments.parameters, q.dim().0);
    let (out, saved) = match (variant.combination, sink) {
        (Combination::DifferentialV1 { pairing, keys, .. }, sink) => {
            attention.forward_pairs([q, k, v], (pairing, keys), sink)?
        }
        (_, Some(sink)) => attention.forward_with_sink::<F, Ix3>(q, k, v, &sink)?,
        (_, None) => attention.forward_shared(q, k, v)?,
    };
    Ok((Core::Tiled(Box::new(saved)), out))
}

/// The gradients by the rows and by the values, from that by the output of the combination; that by the sinks is added to the
/// others.
pub(super) fn backward<F: Element>(
    variant: &Variant,
    saved: &Saved<F>,
    d_out: Array3<F>,
    parameters: &Parameters<F>,
    into: &mut Parameters<F>,
) -> Result<([Array3<F>; 2], Array3<F>), AttentionError> {
    let (d_out, difference) = match variant.combination {
        Combination::DifferentialV1 { pairing, .. } => {
            (d_out, Some((pairing, variant.combination.weight(parameters, 1, 1)[0])))
        }
        _ => (variant.combination.by_heads(parameters, d_out), None),
    };
    let d_out = d_out.view().insert_axis(Axis(0));
    let g = saved.gradients(&d_out, difference)?;
    if variant.normaliser == Normaliser::LearnedSink
        && let Some(by_sink) = saved.gradient_by_sinks(&d_out, difference)
    {
        into.values_mut(Parameter::Sink).iter_mut().zip(by_sink).for_each(|(into, d)| *into += d);
    }
    Ok(([g.q, g.k], g.v))
}

pub(super) fn jvp<F: Element>(
    variant: &Variant,
    saved: &Saved<F>,
    [q, k]: &[Array3<F>; 2],
    v: &ArrayRef3<F>,
    direction: &Parameters<F>,
) -> Result<Array3<F>, AttentionError> {
    let learned = variant.normaliser == Normaliser::LearnedSink;
    saved.jvp(q, k, v, learned.then(|| direction.values(Parameter::Sink)))
}
