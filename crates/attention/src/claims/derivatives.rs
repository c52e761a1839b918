//! Derivatives.

use super::order::normal;
use super::subjects::{Attends, largest};
use crate::Attention;
use crate::algebra::{Arguments, Variant};
use collimate_claims::{Claim, Exact, Meta, Subject};
use ndarray::{Array2, Array3, Axis, s};

/// Attention with a backward pass.
pub trait HasGradients: Attends {
    /// Returns the gradients of ⟨d_out, output⟩ by the queries `[t, d]`, the keys `[s, d]` and the values `[s, e]`.
    fn gradients(
        &self,
        q: &Array2<f64>,
        k: &Array2<f64>,
        v: &Array2<f64>,
        d_out: &Array2<f64>,
    ) -> [Array2<f64>; 3];
}

fn head(x: &Array2<f64>) -> Array3<f64> {
    x.clone().insert_axis(Axis(0))
}

/// One head.
impl HasGradients for Attention {
    fn gradients(
        &self,
        q: &Array2<f64>,
        k: &Array2<f64>,
        v: &Array2<f64>,
        d_out: &Array2<f64>,
    ) -> [Array2<f64>; 3] {
        let (_, saved) = self.forward(&head(q), &head(k), &head(v)).expect("the claim draws shapes that fit");
        let g = self.backward(&saved, &head(d_out)).expect("shapes fit");
        [g.q, g.k, g.v].map(|x| x.index_axis_move(Axis(0), 0))
    }
}

/// One head without learned arrays, by the plain definition.
impl HasGradients for Variant {
    fn gradients(
        &self,
        q: &Array2<f64>,
        k: &Array2<f64>,
        v: &Array2<f64>,
        d_out: &Array2<f64>,
    ) -> [Array2<f64>; 3] {
        let arguments = Arguments::new(&head(q), &head(k), &head(v));
        let (_, trace) = self.forward_plain(&arguments).expect("the claim draws shapes that fit");
        let g = self.backward(&trace, &head(d_out)).expect("shapes fit");
        [g.q, g.k, g.v].map(|x| x.index_axis_move(Axis(0), 0))
    }
}

/// Claims that a loss on the outputs up to a position has a gradient of exactly zero by later keys and values.
pub fn no_gradient_to_the_future(attention: impl HasGradients) -> impl Claim {
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
        .margin(move |(x, d_out, position)| {
            let mut d_out = d_out.clone();
            d_out.slice_mut(s![position + 1.., ..]).fill(0.0);
            let [_, k, v] = attention.gradients(x, x, x, &d_out);
            let later = s![position + 1.., ..];
            -largest(k.slice(later).iter().chain(v.slice(later)))
        })
}

/// Claims that the gradients by the keys sum to zero, because a common shift of all keys changes nothing.
pub fn key_gradients_cancel(attention: impl HasGradients) -> impl Claim {
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
        .margin(move |(x, d_out)| {
            let [_, k, _] = attention.gradients(x, x, x, d_out);
            let sum = k.sum_axis(Axis(0));
            // Each term of the sum was a product of numbers up to this size.
            let size = 1.0 + largest(x) * largest(x) * largest(d_out) * x.nrows() as f64;
            1e-12 * size - largest(&sum)
        })
}
