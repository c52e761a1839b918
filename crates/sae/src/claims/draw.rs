//! Inputs that several claims share.

use crate::{Sae, Settings, Variant, Weights, Workspace};
use collimate_claims::larger;
use collimate_stream::RngStream;
use ndarray::{Array1, Array2};

/// Encoder, decoder, the vectors of the architecture (one a row), decoder bias, rows.
pub(super) type Drawn = (Array2<f64>, Array2<f64>, Array2<f64>, Array1<f64>, Array2<f64>);

/// The dimensions that [`dictionary`] reads.
pub(super) const DIMS: [(&str, std::ops::RangeInclusive<usize>); 3] =
    [("d", 1..=5), ("n", 1..=8), ("rows", 1..=4)];
pub(super) const NAMES: [&str; 5] = ["w_enc", "w_dec", "vectors", "b_dec", "x"];

/// Draws a random dictionary with `vectors` vectors, and rows to encode.
pub(super) fn dictionary(dims: &[usize], vectors: usize, stream: &mut RngStream) -> Drawn {
    let (d, n, rows) = (dims[0], dims[1], dims[2]);
    let mut normal = |a: usize, b: usize| Array2::from_shape_fn((a, b), |_| stream.normal());
    let (w_enc, w_dec, vectors, x) = (normal(n, d), normal(n, d), normal(vectors, n), normal(rows, d));
    let b_dec = normal(1, d).row(0).to_owned();
    (w_enc, w_dec, vectors, b_dec, x)
}

/// Returns true if every number is small enough for rounding to stay small too.
pub(super) fn moderate(drawn: &Drawn) -> bool {
    let (w_enc, w_dec, vectors, b_dec, x) = drawn;
    let all = w_enc.iter().chain(w_dec).chain(vectors).chain(b_dec).chain(x);
    all.into_iter().all(|v| v.abs() <= 4.0)
}

/// Returns the dictionary of a draw.
pub(super) fn sae(variant: impl Into<Variant>, drawn: &Drawn) -> Sae<f64> {
    let (w_enc, w_dec, vectors, b_dec, _) = drawn;
    let weights = Weights {
        w_enc: w_enc.clone(),
        w_dec: w_dec.clone(),
        b_dec: b_dec.clone(),
        per_latent: vectors.rows().into_iter().map(|row| row.to_owned()).collect(),
    };
    Sae::from_weights(variant, weights).expect("a draw fits")
}

/// Computes the loss of a dictionary on some rows.
pub(super) fn losses(sae: &Sae<f64>, x: &Array2<f64>, penalty: f64) -> crate::Losses {
    gradient(sae, x, penalty).0
}

/// Computes the loss of a dictionary on some rows, and its gradient.
pub(super) fn gradient(sae: &Sae<f64>, x: &Array2<f64>, penalty: f64) -> (crate::Losses, Weights<f64>) {
    let settings = Settings { penalty, ..Settings::default() };
    sae.gradient(x, &settings, &mut Workspace::default()).expect("finite input")
}

/// Computes the codes of the rows of a draw, with zeros.
pub(super) fn codes(sae: &Sae<f64>, x: &Array2<f64>) -> Array2<f64> {
    sae.dictionary().encode(x).expect("finite input").to_dense()
}

/// Returns the largest difference of two arrays.
pub(super) fn difference<'a>(
    a: impl IntoIterator<Item = &'a f64>,
    b: impl IntoIterator<Item = &'a f64>,
) -> f64 {
    // NaN must not vanish in a maximum: it violates whatever is claimed.
    a.into_iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, larger)
}
