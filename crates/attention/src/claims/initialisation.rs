//! Claims about the numbers before training, and about the effect of depth.

use super::derivatives::HasGradients;
use super::order::normal;
use super::scores::Scores;
use super::scores::mean_square;
use super::subjects::{Attends, SelfAttention, least};
use crate::algebra::{Arguments, Variant};
use collimate_claims::{Claim, Exact, Mean, Meta, Subject};
use collimate_stream::RngStream;
use ndarray::{Array1, Array2, Axis};

/// One head without learned arrays.
impl Attends for Variant {
    fn attend_to(&self, q: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>) -> Array2<f64> {
        let head = |x: &Array2<f64>| x.clone().insert_axis(Axis(0));
        let (out, _) = self
            .forward(&Arguments::new(&head(q), &head(k), &head(v)))
            .expect("a variant without learned arrays, and shapes that fit");
        out.index_axis_move(Axis(0), 0)
    }
}

/// One head with q = k = v = x.
impl SelfAttention for Variant {
    fn attend(&self, x: &Array2<f64>) -> Array2<f64> {
        self.attend_to(x, x, x)
    }
}

/// Claims the belief that scores need no 1/√d.
pub fn unscaled_scores_have_unit_variance(attention: impl Scores) -> impl Claim {
    let meta = Meta::counterexample(
        "attention/unscaled-scores-have-unit-variance",
        Subject::Attention,
        "without 1/√d, the mean square of q·k over all sign vectors q is at most |k|²/d",
    )
    .code("B1")
    .source("Vaswani et al. (2017), footnote 4");
    Exact::new(meta)
        .dims(&[("width", 1..=6)])
        .names(&["k"])
        .input(|dims, stream| Some(Array1::from_shape_simple_fn(dims[0], || stream.normal())))
        .admits(|k| k.iter().all(|x| x.abs() <= 100.0))
        .margin(move |k: &Array1<f64>| {
            (1.0 + 1e-9) * k.pow2().sum() / k.len() as f64 + 1e-12 - mean_square(&attention, k)
        })
}

/// Computes the mean square of the output of 64 keys of width 64, for random unit-variance rows.
fn output_variance(attention: &impl Attends, stream: &mut RngStream) -> f64 {
    let mut rows = |n| normal(stream, n, 64);
    let (q, k, v) = (rows(4), rows(64), rows(64));
    let out = attention.attend_to(&q, &k, &v);
    (out.pow2().sum() / out.len() as f64).min(4.0)
}

/// Claims that with 1/√d the output of many keys is an average: its variance falls with their number.
pub fn output_variance_with_scale(attention: impl Attends) -> impl Claim {
    let meta = Meta::theorem(
        "attention/output-variance-with-scale",
        Subject::Attention,
        "at initialisation with 1/√d, 64 unit-variance values are averaged to a variance of at most 0.1",
    )
    .protocol("4 queries, 64 keys, width 64 a trial; e/64 = 0.042 for many keys; supported below 0.1, refuted above 0.14");
    Mean::new(meta)
        .bounds(0.0, 4.0)
        .at_most(0.1, 0.04)
        .trial(move |stream| output_variance(&attention, stream))
}

/// Claims that without 1/√d one key gets nearly all the weight.
pub fn output_variance_without_scale(attention: impl Attends) -> impl Claim {
    let meta = Meta::theorem(
        "attention/output-variance-without-scale",
        Subject::Attention,
        "at initialisation without 1/√d the softmax picks few keys: the output keeps a variance of at least 0.4",
    )
    .protocol("4 queries, 64 keys, width 64 a trial; supported above 0.4, refuted below 0.3");
    Mean::new(meta)
        .bounds(0.0, 4.0)
        .at_least(0.4, 0.1)
        .trial(move |stream| output_variance(&attention, stream))
}

/// Claims that without a skip connection every layer of averages brings the rows closer.
pub fn averages_contract(attention: impl SelfAttention) -> impl Claim {
    contraction(
        Meta::theorem(
            "attention/averages-contract",
            Subject::Attention,
            "self-attention without skip connections never widens the range of a coordinate over the rows, at any depth",
        )
        .code("B27")
        .source("Dong et al. (2021), Attention is not all you need"),
        attention,
        false,
    )
}

/// Claims the belief that every layer brings the rows closer with skip connections too.
pub fn skips_contract(attention: impl SelfAttention) -> impl Claim {
    contraction(
        Meta::counterexample(
            "attention/skips-contract",
            Subject::Attention,
            "self-attention with skip connections never widens the range of a coordinate over the rows",
        )
        .code("B27"),
        attention,
        true,
    )
}

fn contraction(meta: Meta, attention: impl SelfAttention, skip: bool) -> impl Claim {
    Exact::new(meta)
        .dims(&[("tokens", 1..=5), ("width", 1..=3)])
        .names(&["x"])
        .input(|dims, stream| Some(normal(stream, dims[0], dims[1])))
        .admits(|x| x.iter().all(|v| v.abs() <= 10.0))
        .margin(move |x| {
            let range = |x: &Array2<f64>| -> Vec<f64> {
                let end = |of: fn(f64, f64) -> f64, from| x.fold_axis(Axis(0), from, |&m: &f64, &x| of(m, x));
                (end(f64::max, f64::NEG_INFINITY) - end(f64::min, f64::INFINITY)).to_vec()
            };
            let (mut x, first) = (x.clone(), range(x));
            for _ in 0..3 {
                let out = attention.attend(&x);
                x = if skip { x + out } else { out };
            }
            least(range(&x).iter().zip(&first).map(|(now, then)| then - now)) + 1e-9
        })
}

/// The norms of the layers of a stack.
#[derive(Clone, Copy, PartialEq)]
enum Norm {
    Without,
    Before,
}

/// Computes log₂ of the ratio of the gradients at the input and at the output of a stack x ← x + attention(norm x).
fn gradient_growth(attention: &impl HasGradients, norm: Norm, depth: usize, stream: &mut RngStream) -> f64 {
    let rms = |x: &Array2<f64>| {
        (x.pow2().mean_axis(Axis(1)).expect("rows have a width") + 1e-6).sqrt().insert_axis(Axis(1))
    };
    let mut x = normal(stream, 8, 8);
    let mut layers = Vec::new();
    for _ in 0..depth {
        let y = if norm == Norm::Before { &x / &rms(&x) } else { x.clone() };
        let out = attention.attend_to(&y, &y, &y);
        layers.push((x.clone(), y));
        x += &out;
    }
    let mut d: Array2<f64> = normal(stream, 8, 8);
    let size = |d: &Array2<f64>| d.pow2().sum().sqrt();
    let last = size(&d);
    for (x, y) in layers.iter().rev() {
        let [d_q, d_k, d_v] = attention.gradients(y, y, y, &d);
        let mut d_y = d_q + d_k + d_v;
        if norm == Norm::Before {
            let along = (&d_y * y).mean_axis(Axis(1)).expect("rows have a width").insert_axis(Axis(1));
            d_y = (d_y - y * &along) / rms(x);
        }
        d += &d_y;
    }
    (size(&d) / last).log2().clamp(0.0, 20.0)
}

/// Claims that a norm before each layer keeps the size of gradients through depth.
pub fn gradient_through_depth_with_norms(attention: impl HasGradients) -> impl Claim {
    let meta = Meta::theorem(
        "attention/gradient-through-depth-with-norms",
        Subject::Attention,
        "through eight layers with a norm in front of each, the gradient grows by less than 2^3.5",
    )
    .protocol("x ← x + attention(norm x), q = k = v, 8 rows of width 8 a trial; log₂ of the growth: supported below 3.5, refuted above 4");
    Mean::new(meta)
        .bounds(0.0, 20.0)
        .at_most(3.5, 0.5)
        .trial(move |stream| gradient_growth(&attention, Norm::Before, 8, stream))
}

/// Claims that without norms the stack doubles its rows in every layer, and its gradient with them.
pub fn gradient_through_depth_without_norms(attention: impl HasGradients) -> impl Claim {
    let meta = Meta::theorem(
        "attention/gradient-through-depth-without-norms",
        Subject::Attention,
        "through eight layers without norms the gradient grows by more than 2^7",
    )
    .protocol("x ← x + attention(x), q = k = v, 8 rows of width 8 a trial; log₂ of the growth: supported above 7, refuted below 6");
    Mean::new(meta)
        .bounds(0.0, 20.0)
        .at_least(7.0, 1.0)
        .trial(move |stream| gradient_growth(&attention, Norm::Without, 8, stream))
}

#[cfg(test)]
mod tests {
    use super::super::subjects::largest;
    use super::*;
    use crate::{Attention, Offset};

    #[test]
    fn growth_is_that_of_the_stack() {
        let mut stream = RngStream::new(3, 0);
        let plain = Variant::scaled_dot_product(Offset::zero());
        let mean = |norm, stream: &mut RngStream| {
            (0..20).map(|_| gradient_growth(&plain, norm, 8, stream)).sum::<f64>() / 20.0
        };
        let (with, without) = (mean(Norm::Before, &mut stream), mean(Norm::Without, &mut stream));
        assert!(with < 3.5 && without > 7.0, "with norms {with}, without {without}");
        let with_scale: Vec<f64> =
            (0..20).map(|_| output_variance(&Attention::scaled_dot_product(), &mut stream)).collect();
        assert!(largest(&with_scale) < 0.2);
        assert!(plain.attend(&Array2::ones((2, 2))) == Array2::<f64>::ones((2, 2)));
    }
}
