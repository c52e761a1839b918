use collimate_measure::Measurement;
use collimate_stream::RngStream;
use ndarray::Array2;
use std::fmt;

/// A measured number and the number that chance gives by the same computation.
#[derive(Clone, Debug, PartialEq)]
pub struct WithNull {
    /// The measurement.
    pub measured: Measurement,
    /// The measurement of the null object.
    pub null: Measurement,
    /// The description of the null object, for example `random directions`.
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

/// The null model of reconstructions: see [`Dictionary::null`](crate::Dictionary::null).
pub(crate) const SHUFFLED: &str = "decoder rows shuffled across latents";

/// Draws random directions of a given shape.
pub(crate) fn random_directions(shape: (usize, usize), seed: u64) -> Array2<f64> {
    let mut stream = RngStream::named(seed, "random directions");
    Array2::from_shape_fn(shape, |_| stream.normal())
}
