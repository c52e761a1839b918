//! Derivatives.

use super::largest;
use super::order::normal;
use crate::{Attention, Gradients, Mask, Offset};
use collimate_claims::{Claim, Exact, Meta, Subject};
use ndarray::{Array2, Axis, s};

/// q = k = v = x through one causal head, and the gradients from `d_out`.
fn gradients(x: &Array2<f64>, d_out: &Array2<f64>) -> Gradients<f64> {
    let head = |x: &Array2<f64>| x.clone().insert_axis(Axis(0));
    let attention = Attention::scaled_dot_product().mask(Mask::causal(Offset::zero()));
    let (_, saved) = attention.forward(&head(x), &head(x), &head(x)).expect("shapes fit");
    attention.backward(&saved, &head(d_out)).expect("shapes fit")
}

/// A loss on the outputs up to a position has no gradient by later keys and values: exactly zero.
pub(super) fn no_gradient_to_the_future() -> impl Claim {
    let meta = Meta::theorem(
        "attention/no-gradient-to-the-future",
        Subject::Attention,
        "under a causal mask, the gradient of an output by a later key or value is exactly zero",
    )
    .code("B28");
    Exact::new(meta)
        .dims(&[("tokens", 2..=8), ("width", 1..=4)])
        .names(&["x", "d_out", "position"])
        .input(|dims, stream| {
            let d_out = normal(stream, dims[0], dims[1]);
            Some((normal(stream, dims[0], dims[1]), d_out, stream.below(dims[0])))
        })
        .admits(|(x, d_out, position)| {
            *position < x.nrows() && x.iter().chain(d_out).all(|v: &f64| v.abs() <= 100.0)
        })
        .margin(|(x, d_out, position)| {
            let mut d_out = d_out.clone();
            d_out.slice_mut(s![position + 1.., ..]).fill(0.0);
            let g = gradients(x, &d_out);
            let later = s![0, position + 1.., ..];
            -largest(g.k.slice(later).iter().chain(g.v.slice(later)))
        })
}

/// A common shift of all keys changes nothing, so the gradients by the keys sum to zero.
pub(super) fn key_gradients_cancel() -> impl Claim {
    let meta = Meta::theorem(
        "attention/key-gradients-cancel",
        Subject::Attention,
        "the gradients by all keys of a head sum to zero",
    )
    .code("B4");
    Exact::new(meta)
        .dims(&[("tokens", 1..=8), ("width", 1..=4)])
        .names(&["x", "d_out"])
        .input(|dims, stream| Some((normal(stream, dims[0], dims[1]), normal(stream, dims[0], dims[1]))))
        .admits(|(x, d_out)| x.iter().chain(d_out).all(|v: &f64| v.abs() <= 30.0))
        .margin(|(x, d_out)| {
            let g = gradients(x, d_out);
            let sum = g.k.sum_axis(Axis(1));
            // Each term of the sum was a product of numbers up to this size.
            let size = 1.0 + largest(x) * largest(x) * largest(d_out) * x.nrows() as f64;
            1e-12 * size - largest(&sum)
        })
}
