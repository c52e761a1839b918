//! Runs of any trainable model at once.

use crate::error::SuperpositionError;
use collimate_stream::RngStream;
use rayon::prelude::*;

/// Trains `count` instances of any model at once, each with a stream of its own; the results stand in the order of their numbers.
///
/// For the models that a [`Fleet`](super::Fleet) does not hold: those with a layer of neurons, attention heads, neurons shared by accident,
/// descents on an exact loss. `train` gets the number of an instance, from 0, and its stream.
///
/// # Errors
/// That of the lowest number whose training fails, after all have ended.
///
/// # Determinism
/// Instance `i` draws from `stream.child(i)` and shares nothing with the others: the same bits on any number of threads, and whatever
/// `count` is.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::data::{Signed, Source, SparseFeatures};
/// use collimate_superposition::fleet::together;
/// use collimate_superposition::two_layer::{Target, TwoLayerConfig};
/// // Four networks of four neurons learn two absolute values; some lose an output that is never on again.
/// let source = Signed(SparseFeatures::uniform(2, 0.5)?);
/// let config = TwoLayerConfig::absolute_value(2, 4);
/// let train = |_, stream: &mut RngStream| config.train(&source, 32, 300, 3e-2, stream);
/// let models = together(4, &RngStream::new(1, 0), train)?;
/// let x = source.rows(200, &mut RngStream::new(2, 0));
/// let mut losses = models.iter().map(|model| model.loss(&x, &Target::Absolute)).collect::<Result<Vec<_>, _>>()?;
/// losses.sort_by(f64::total_cmp);
/// assert!(losses[0] < 0.01 && losses[3] > 0.1, "{losses:?}");
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn together<T: Send>(
    count: usize,
    stream: &RngStream,
    train: impl Fn(usize, &mut RngStream) -> Result<T, SuperpositionError> + Sync,
) -> Result<Vec<T>, SuperpositionError> {
    let one = |number: usize| train(number, &mut stream.child(number as u64));
    // One task each: runs are long, and some end early. Collected before errors are looked at, so that the first by number counts.
    let all: Vec<Result<T, SuperpositionError>> =
        (0..count).into_par_iter().with_max_len(1).map(one).collect();
    all.into_iter().collect()
}
