//! Causality: later rows have no influence on earlier outputs.

use super::order::{normal, widths};
use super::subjects::SelfAttention;
use collimate_claims::{Claim, Exact, Meta, Subject};
use ndarray::{Array2, s};

/// Claims that under a causal mask an output does not depend on later rows at all.
pub fn future_is_invisible(attention: impl SelfAttention) -> impl Claim {
    let meta = Meta::theorem(
        "attention/future-is-invisible",
        Subject::Attention,
        "under a causal mask, other rows after a position do not change the output up to it, not even by a rounding",
    )
    .code("B28");
    invisible(meta, attention, |x| x)
}

/// Claims that under a causal mask even NaN in later rows changes nothing. In PyTorch 2.15 it does, through 0 · NaN.
pub fn future_nan_is_invisible(attention: impl SelfAttention) -> impl Claim {
    let meta = Meta::theorem(
        "attention/future-nan-is-invisible",
        Subject::Attention,
        "under a causal mask, NaN in all rows after a position does not change the output up to it, not even by a rounding",
    )
    .code("B28");
    invisible(meta, attention, |_| f64::NAN)
}

/// Claims that rows of `later` instead of the rows after a position change nothing up to it. `kind` makes the entries of `later`,
/// so that a printed counterexample contains them as they are.
fn invisible(meta: Meta, attention: impl SelfAttention, kind: fn(f64) -> f64) -> impl Claim {
    Exact::new(meta)
        .dims(&[("tokens", 2..=8), ("width", widths(attention.width()))])
        .names(&["x", "later", "position"])
        .input(move |dims, stream| {
            let later = normal(stream, dims[0], dims[1]).mapv(kind);
            Some((normal(stream, dims[0], dims[1]), later, stream.below(dims[0])))
        })
        .admits(move |(x, later, position)| {
            let fits = |v: &f64| v.is_nan() == kind(1.0).is_nan() && !v.is_infinite();
            *position < x.nrows() && x.iter().all(|v| v.is_finite()) && later.iter().all(fits)
        })
        .margin(move |(x, later, position)| {
            let (seen, unseen) = (s![..=*position, ..], s![*position + 1.., ..]);
            let mut changed: Array2<f64> = x.clone();
            changed.slice_mut(unseen).assign(&later.slice(unseen));
            let (before, after) = (attention.attend(x), attention.attend(&changed));
            // Equal as numbers: a masked pair is multiplied by zero, which may turn 0.0 into −0.0.
            if before.slice(seen) == after.slice(seen) { 0.0 } else { -1.0 }
        })
}
