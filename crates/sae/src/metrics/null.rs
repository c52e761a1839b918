use crate::Sae;
use collimate_measure::Measurement;
use collimate_stream::RngStream;
use collimate_tensor::Scalar;
use ndarray::Array2;
use std::fmt;

/// A measured number beside what chance gives by the same computation.
#[derive(Clone, Debug, PartialEq)]
pub struct WithNull {
    /// The number.
    pub measured: Measurement,
    /// The same quantity of the null object.
    pub null: Measurement,
    /// What the null object is, for example `random directions`.
    pub null_is: &'static str,
}

impl WithNull {
    pub(crate) fn pairs(
        measured: Vec<Measurement>,
        null: Vec<Measurement>,
        null_is: &'static str,
    ) -> Vec<Self> {
        measured.into_iter().zip(null).map(|(measured, null)| Self { measured, null, null_is }).collect()
    }
}

impl fmt::Display for WithNull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; null ({}): {:.6}", self.measured, self.null_is, self.null.value)
    }
}

/// What the null of reconstructions is.
pub(crate) const DEALT: &str = "decoder rows dealt out anew among the latents";

/// The dictionary with its decoder rows dealt out anew among the latents: codes that mean nothing for their directions.
///
/// The floor of every metric of reconstruction and of loss recovered: the codes, their number and the set of directions are
/// those of the dictionary, only which belongs to which is chance.
///
/// # Determinism
/// The order is drawn from `seed` alone.
pub fn null_dictionary<F: Scalar>(sae: &Sae<F>, seed: u64) -> Sae<F> {
    sae.with_decoder_dealt(&dealt(sae.size().n_latents, seed))
}

/// The order in which decoder rows are dealt out.
pub(crate) fn dealt(n_latents: usize, seed: u64) -> Vec<usize> {
    RngStream::named(seed, "null dictionary").permutation(n_latents)
}

/// Random directions of a given shape.
pub(crate) fn random_directions(shape: (usize, usize), seed: u64) -> Array2<f64> {
    let mut stream = RngStream::named(seed, "random directions");
    Array2::from_shape_fn(shape, |_| stream.normal())
}
