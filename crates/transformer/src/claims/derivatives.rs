//! Derivatives of losses and logits.

use super::models::{Models, direction, largest, moved, over_texts};
use crate::network::{Gradients, Model, Targets};
use crate::pass::Input;
use crate::site::Site;
use collimate_claims::{Claim, Meta, Subject, larger, smaller};
use collimate_stream::RngStream;
use ndarray::{Array2, Axis};

/// The step of central differences. Those of two steps together leave step⁴·(fifth derivative)/30, and rounding of about 1e-16·loss/step =
/// 1e-11. One step alone would leave step²·(third derivative)/6, which is too much where a norm divides by little more than its ε.
const STEP: f64 = 1e-5;

fn dot(a: &[Array2<f64>], b: &[Array2<f64>]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a * b).sum()).sum()
}

/// Returns the sum of the absolute terms of the product, to which its rounding is proportional.
fn size(a: &[Array2<f64>], b: &[Array2<f64>]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a * b).mapv(f64::abs).sum()).sum()
}

/// Computes gradients, for a target at every position: the next token, or for an encoder the token itself.
fn gradients(model: &Model<f64>, text: &Array2<u32>, along: Option<&[Array2<f64>]>) -> Gradients<f64> {
    let input = Input::new(text.clone());
    let targets = match model.description().is_causal() {
        true => Targets::next_tokens(&input),
        false => Targets::of(text.mapv(Some)),
    };
    model.gradients(&input, &targets, &[], along).expect("the claim draws texts that fit")
}

/// Claims that the pass back is the adjoint of the pass along a direction.
pub fn backward_is_adjoint(models: impl Models) -> impl Claim {
    let meta = Meta::theorem(
        "transformer/backward-is-adjoint",
        Subject::Transformer,
        "the derivative of the loss along a direction in the weights is the product of its gradient with the direction",
    )
    .source("Baydin et al. (2018)");
    over_texts(meta, models, |model, text, stream| {
        let v = direction(model, stream);
        // With a direction, attention is computed as its definition says, and without one by the tiled kernels.
        let both = gradients(model, text, Some(&v));
        let along = both.along.expect("a direction was given").loss;
        let off = |g: &[Array2<f64>]| {
            // Each of some 2000 products is rounded a few times in the two passes.
            1e-11 * (1.0 + size(g, &v)) - (dot(g, &v) - along).abs()
        };
        smaller(off(&both.by_parameter), off(&gradients(model, text, None).by_parameter))
    })
}

/// Claims that the derivatives along a direction are the limits of differences. The nonlinearities must be smooth, and the models must choose no experts.
pub fn derivatives_are_limits(models: impl Models) -> impl Claim {
    let meta = Meta::theorem(
        "transformer/derivatives-are-limits",
        Subject::Transformer,
        "the derivatives of loss, logits and gradient along a direction are the limits of central differences, for smooth nonlinearities",
    )
    .source("definition");
    over_texts(meta, models, |model, text, stream| {
        let v = direction(model, stream);
        let along = gradients(model, text, Some(&v)).along.expect("a direction was given");
        let at = |steps: f64| gradients(&moved(model, &v, steps * STEP), text, None);
        let [near, far] = [[at(1.0), at(-1.0)], [at(2.0), at(-2.0)]];
        let slope = |near: f64, far: f64| (8.0 * near - far) / (12.0 * STEP);
        let mut off_logits = 0.0;
        for (index, &expected) in along.logits.indexed_iter() {
            let of = |pair: &[Gradients<f64>; 2]| pair[0].logits[index] - pair[1].logits[index];
            off_logits = larger(off_logits, (slope(of(&near), of(&far)) - expected).abs());
        }
        off_logits /= 1.0 + largest(&along.logits);
        let of = |pair: &[Gradients<f64>; 2]| pair[0].loss - pair[1].loss;
        let off_loss = (slope(of(&near), of(&far)) - along.loss).abs() / (1.0 + along.loss.abs());
        let mut off_gradient = 0.0;
        for (index, product) in along.by_parameter.iter().enumerate() {
            let of = |pair: &[Gradients<f64>; 2]| &pair[0].by_parameter[index] - &pair[1].by_parameter[index];
            let found = (of(&near) * 8.0 - of(&far)) / (12.0 * STEP);
            off_gradient = larger(off_gradient, largest(&(found - product)) / (1.0 + largest(product)));
        }
        // Far above rounding, and far below any wrong term.
        1e-6 - larger(off_loss, larger(off_logits, off_gradient))
    })
}

/// Claims that the Hessian of the loss is symmetric.
pub fn hessian_is_symmetric(models: impl Models) -> impl Claim {
    let meta = Meta::theorem(
        "transformer/hessian-is-symmetric",
        Subject::Transformer,
        "the Hessian of the loss by the weights is symmetric: ⟨u, Hv⟩ = ⟨v, Hu⟩",
    )
    .source("Pearlmutter (1994)");
    over_texts(meta, models, |model, text, stream| {
        let [u, v] = [(); 2].map(|()| direction(model, stream));
        let product = |along: &[Array2<f64>]| {
            gradients(model, text, Some(along)).along.expect("a direction was given").by_parameter
        };
        let (hu, hv) = (product(&u), product(&v));
        // Each of some 2000 products is rounded a few times in the two passes.
        1e-10 * (1.0 + size(&u, &hv) + size(&v, &hu)) - (dot(&u, &hv) - dot(&v, &hu)).abs()
    })
}

/// Claims that a loss at one position has a gradient of exactly zero by later embeddings. The models must be causal.
pub fn no_gradient_to_the_future(models: impl Models) -> impl Claim {
    let meta = Meta::theorem(
        "transformer/no-gradient-to-the-future",
        Subject::Transformer,
        "the gradient of a prediction by the embedding of a later token is exactly zero",
    )
    .source("definition");
    over_texts(meta, models, |model, text: &Array2<u32>, stream: &mut RngStream| {
        let at = stream.below(text.ncols());
        let only = Array2::from_shape_fn(text.dim(), |(_, t)| (t == at).then_some(1));
        let point = Site::Embedding.of_layer(0);
        let g = model.gradients(&Input::new(text.clone()), &Targets::of(only), &[point], None);
        let g = g.expect("the claim draws texts that fit").by_point;
        let by_position = g[&point].axis_iter(Axis(1)).map(|x| largest(&x)).collect::<Vec<_>>();
        let (seen, later) = by_position.split_at(at + 1);
        if seen[at] > 0.0 { -largest(later) } else { -1.0 }
    })
}
