//! Changes that act on each logit alone: softcap, bias, temperature.

use crate::algebra::arguments::{Parameter, Parameters};
use crate::algebra::mask::broadcast;
use crate::algebra::setting::Setting;
use collimate_tensor::Scalar;
use ndarray::{Array3, ArrayView3, Ix3};

pub(super) fn softcap<F: Scalar>(at: &Setting<'_>, cap: f64, z: &Array3<F>) -> Array3<F> {
    let cap = F::from_f64(cap);
    at.logits(|h, i, j| cap * (z[[h, i, j]] / cap).tanh())
}

/// Multiplies `d`, a gradient or a direction, by the slope of the softcap, 1 − tanh²(z/c).
pub(super) fn softcap_slope<F: Scalar>(
    at: &Setting<'_>,
    cap: f64,
    z: &Array3<F>,
    d: &Array3<F>,
) -> Array3<F> {
    at.slopes(|h, i, j| {
        let tanh = (z[[h, i, j]] / F::from_f64(cap)).tanh();
        d[[h, i, j]] * (F::one() - tanh * tanh)
    })
}

/// Returns the bias of a call, with three axes.
pub(in super::super) fn bias_of<F: Scalar>(parameters: &Parameters<F>) -> ArrayView3<'_, F> {
    let bias = parameters.get(Parameter::Bias).expect("the check found a bias");
    bias.view().into_dimensionality::<Ix3>().expect("the check found three axes")
}

pub(super) fn bias<F: Scalar>(at: &Setting<'_>, parameters: &Parameters<F>, z: &Array3<F>) -> Array3<F> {
    let bias = bias_of(parameters);
    at.logits(|h, i, j| z[[h, i, j]] + bias[broadcast(&bias, h, i, j)])
}

pub(super) fn bias_vjp<F: Scalar>(at: &Setting<'_>, d: &Array3<F>, into: &mut Parameters<F>) {
    let shape = bias_of(into).dim();
    let mut sum = Array3::zeros(shape);
    at.for_each(|h, i, keys| {
        for &j in keys {
            let cell = broadcast(&sum, h, i, j);
            sum[cell] += d[[h, i, j]];
        }
    });
    let sum = sum.as_slice().expect("a new array is in standard layout");
    into.values_mut(Parameter::Bias).iter_mut().zip(sum).for_each(|(into, &sum)| *into += sum);
}

/// Adds the direction of the bias. At masked pairs the bias may be −∞, and its direction is not used.
pub(super) fn bias_jvp<F: Scalar>(
    at: &Setting<'_>,
    _: &Parameters<F>,
    direction: &Parameters<F>,
    dot: &Array3<F>,
) -> Array3<F> {
    let bias = bias_of(direction);
    at.slopes(|h, i, j| dot[[h, i, j]] + bias[broadcast(&bias, h, i, j)])
}

pub(super) fn temperature<F: Scalar>(
    at: &Setting<'_>,
    parameters: &Parameters<F>,
    z: &Array3<F>,
) -> Array3<F> {
    let factor = parameters.values(Parameter::Temperature);
    at.logits(|h, i, j| factor[h] * z[[h, i, j]])
}

pub(super) fn temperature_vjp<F: Scalar>(
    at: &Setting<'_>,
    parameters: &Parameters<F>,
    z: &Array3<F>,
    d: &Array3<F>,
    into: &mut Parameters<F>,
) -> Array3<F> {
    let sums = into.values_mut(Parameter::Temperature);
    at.for_each(|h, i, keys| {
        for &j in keys {
            sums[h] += d[[h, i, j]] * z[[h, i, j]];
        }
    });
    let factor = parameters.values(Parameter::Temperature);
    at.slopes(|h, i, j| factor[h] * d[[h, i, j]])
}

pub(super) fn temperature_jvp<F: Scalar>(
    at: &Setting<'_>,
    parameters: &Parameters<F>,
    direction: &Parameters<F>,
    z: &Array3<F>,
    dot: &Array3<F>,
) -> Array3<F> {
    let [factor, moved] = [parameters, direction].map(|p| p.values(Parameter::Temperature));
    at.slopes(|h, i, j| factor[h] * dot[[h, i, j]] + moved[h] * z[[h, i, j]])
}
