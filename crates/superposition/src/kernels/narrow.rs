//! The gradient of a model with few hidden dimensions: lanes over samples, weights broadcast.

use super::lanes::{LANES, Lanes};
use super::uniforms::Uniforms;
use collimate_tensor::kernel_parts::lanes::{add_product, add_scaled, multiply_add};

/// The model that a step reads.
pub(crate) struct Model<'a> {
    /// The weights `[n, M]`.
    pub(crate) weights: &'a [f32],
    pub(crate) bias: &'a [f32],
    /// The importance of each feature divided by the batch size.
    pub(crate) share: &'a [f32],
    /// The pre-activation up to which an output is 0, see [`floor`](super::lanes::floor).
    pub(crate) floor: f32,
}

/// Sums over the samples, each as sixteen partial sums: the gradient `[n, M + 1]` (M weights, then the bias), and the loss.
pub(crate) struct Sums {
    pub(crate) gradient: Vec<Lanes>,
    pub(crate) loss: Lanes,
}

/// Draws sixteen samples of features that are on with probability `on` and then uniform.
#[inline(always)]
pub(crate) fn draw(on: &[f32], generator: &mut Uniforms, x: &mut [Lanes]) {
    for (x, &p) in x.iter_mut().zip(on) {
        let u = generator.next();
        let scale = if p > 0.0 { 1.0 / p } else { 0.0 };
        for l in 0..LANES {
            x[l] = if u[l] < p { u[l] * scale } else { 0.0 };
        }
    }
}

/// Adds the loss and the gradient of sixteen samples.
#[inline(always)]
fn group<const FUSED: bool, const M: usize>(model: &Model<'_>, x: &[Lanes], mask: &Lanes, sums: &mut Sums) {
    let (n, floor) = (x.len(), model.floor);
    let (weights, bias, share) = (&model.weights[..n * M], &model.bias[..n], &model.share[..n]);
    let gradient = &mut sums.gradient[..n * (M + 1)];
    let mut hidden = [[0.0; LANES]; M];
    for j in 0..n {
        for k in 0..M {
            add_scaled::<FUSED, f32, LANES>(weights[j * M + k], &x[j], &mut hidden[k]);
        }
    }
    let mut back = [[0.0; LANES]; M];
    for j in 0..n {
        let mut z = [bias[j]; LANES];
        for k in 0..M {
            add_scaled::<FUSED, f32, LANES>(weights[j * M + k], &hidden[k], &mut z);
        }
        let mut delta = [0.0; LANES];
        for l in 0..LANES {
            let out = if z[l] <= floor { 0.0 } else { z[l] };
            let error = (out - x[j][l]) * mask[l];
            let weighted = share[j] * error;
            sums.loss[l] = multiply_add::<FUSED, f32>(weighted, error, sums.loss[l]);
            delta[l] = if z[l] <= floor { 0.0 } else { 2.0 * weighted };
        }
        for k in 0..M {
            add_scaled::<FUSED, f32, LANES>(weights[j * M + k], &delta, &mut back[k]);
            add_product::<FUSED, f32, LANES>(&hidden[k], &delta, &mut gradient[j * (M + 1) + k]);
        }
        let bias_sum = &mut gradient[j * (M + 1) + M];
        for l in 0..LANES {
            bias_sum[l] += delta[l];
        }
    }
    for j in 0..n {
        for k in 0..M {
            add_product::<FUSED, f32, LANES>(&back[k], &x[j], &mut gradient[j * (M + 1) + k]);
        }
    }
}

collimate_tensor::leveled! {
    [FUSED: bool = true, true, false]

    /// Adds the losses and gradients of `groups` times sixteen samples. With `drawn`, each group is drawn into `x` first. `mask` is
    /// 1 for a sample that counts and 0 otherwise.
    pub(crate) fn add_groups<const M: usize>(
        model: &Model<'_>, drawn: Option<(&[f32], &mut Uniforms)>, groups: usize, x: &mut [Lanes], mask: &Lanes,
        sums: &mut Sums,
    ) {
        let mut drawn = drawn;
        for _ in 0..groups {
            if let Some((on, generator)) = &mut drawn {
                draw(on, generator, x);
            }
            group::<FUSED, M>(model, x, mask, sums);
        }
    }
}
