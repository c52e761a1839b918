//! The path through the tiled kernels, for the compositions that they cover.

use super::arguments::Shared;
use super::trace::Core;
use super::{Combination, Normaliser, Parameter, Parameters, Variant};
use crate::AttentionError;
use crate::attention::Attention;
use crate::error::check_shape;
use crate::kernels::Loops;
use crate::parts::{HeadAxes, Pairs};
use crate::tiled::{self, Gradients, Plan, Saved};
use ndarray::{ArcArray, Array3, ArrayRef3, Axis, Ix3};

/// Returns the logits of the sinks, if the normaliser has them.
fn sink<F: Loops>(variant: &Variant, parameters: &Parameters<F>, heads: usize) -> Option<Vec<F>> {
    match variant.normaliser {
        Normaliser::SoftmaxPlusOne => Some(vec![F::zero(); heads]),
        Normaliser::LearnedSink => Some(parameters.values(Parameter::Sink).to_vec()),
        _ => None,
    }
}

/// Computes the outputs of the heads. In Differential V1 both heads of a pair read the value head of their pair.
pub(super) fn forward<F: Loops>(
    variant: &Variant,
    attention: Attention,
    [q, k]: &[ArcArray<F, Ix3>; 2],
    arguments: &Shared<F>,
) -> Result<(Core<F>, ArcArray<F, Ix3>), AttentionError> {
    let arrays = [q.clone(), k.clone(), arguments.v.clone()].map(|x| x.insert_axis(Axis(0)));
    let sink = sink(variant, &arguments.parameters, q.dim().0);
    let pairs = match variant.combination {
        Combination::DifferentialV1 { pairing, keys, .. } => {
            Some(Pairs { pairing, keys, key_heads: k.dim().0 })
        }
        _ => None,
    };
    let shapes = arrays.each_ref().map(|x| x.dim().into());
    let plan = Plan::new(&attention, shapes, (Ix3::LETTERS, Ix3::FIRST), pairs)?;
    if let Some(sink) = &sink {
        check_shape("sink", "[h]", &[plan.heads], &[sink.len()])?;
    }
    let saved = Saved::new(tiled::run(&attention, plan, arrays, sink)?);
    let out = Ix3::lower(saved.pass.kept.out.clone());
    Ok((Core::Tiled(Box::new(saved)), out))
}

/// Computes the gradients by the rows and by the values from the gradient by the output of the combination. Adds the gradient by
/// the sinks to the other gradients.
pub(super) fn backward<F: Loops>(
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
    let Gradients { q, k, v } = Gradients::<F>::lower(saved.pass.gradients(&d_out, difference)?);
    if variant.normaliser == Normaliser::LearnedSink
        && let Some(by_sink) = saved.pass.sink_gradient(&d_out, difference)
    {
        into.values_mut(Parameter::Sink).iter_mut().zip(by_sink).for_each(|(into, d)| *into += d);
    }
    Ok(([q, k], v))
}

/// Computes the direction of the outputs of the heads.
pub(super) fn jvp<F: Loops>(
    variant: &Variant,
    saved: &Saved<F>,
    [q, k]: &[Array3<F>; 2],
    v: &ArrayRef3<F>,
    direction: &Parameters<F>,
) -> Result<Array3<F>, AttentionError> {
    let learned = variant.normaliser == Normaliser::LearnedSink;
    let sink = learned.then(|| direction.values(Parameter::Sink));
    let rows = [q.view(), k.view(), v.view()].map(|x| x.insert_axis(Axis(0)));
    Ok(Ix3::lower(saved.pass.along(rows, sink)?))
}
