//! Parallel training of any model.

use crate::error::SuperpositionError;
use collimate_stream::RngStream;
use rayon::prelude::*;
use std::sync::OnceLock;

/// Trains `count` instances of any model in parallel, each with its own stream, and returns the results in the order of their indices.
///
/// It is for models that an [`Ensemble`](crate::Ensemble) does not train: two-layer networks, attention heads, neurons shared by
/// accident, descents on an exact loss. `train` gets the index of an instance, from 0, and its stream.
///
/// # Errors
/// The error of the first instance by index whose training fails, after all have ended.
///
/// # Determinism
/// Instance `i` draws from `stream.child(i)` and shares nothing with the others. Its bits depend neither on the number of threads nor
/// on `count`.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::{Signed, Source, SparseFeatures, TwoLayerConfig, TwoLayerTarget, train_instances};
/// // Four networks of four neurons learn two absolute values. In some an output dies.
/// let source = Signed(SparseFeatures::uniform(2, 0.5)?);
/// let config = TwoLayerConfig::absolute_value(2, 4);
/// let train = |_, stream: &mut RngStream| config.train(&source, 32, 300, 3e-2, stream);
/// let models = train_instances(4, &RngStream::new(1, 0), train)?;
/// let x = source.rows(200, &mut RngStream::new(2, 0));
/// let mut losses = models.iter().map(|model| model.loss(&x, &TwoLayerTarget::Absolute)).collect::<Result<Vec<_>, _>>()?;
/// losses.sort_by(f64::total_cmp);
/// assert!(losses[0] < 0.01 && losses[3] > 0.1, "{losses:?}");
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn train_instances<T: Send + Sync>(
    count: usize,
    stream: &RngStream,
    train: impl Fn(usize, &mut RngStream) -> Result<T, SuperpositionError> + Sync,
) -> Result<Vec<T>, SuperpositionError> {
    let results: Vec<OnceLock<Result<T, SuperpositionError>>> = (0..count).map(|_| OnceLock::new()).collect();
    in_parallel(count, &|index| {
        // Each index runs once, so the cell is empty.
        let _ = results[index].set(train(index, &mut stream.child(index as u64)));
    });
    // All results are complete before the errors are read, so that the first error by index is returned.
    results.into_iter().map(|result| result.into_inner().expect("every index has run")).collect()
}

/// Calls `run` with every index below `count`, on all threads. One task per index, since runs are long and some end early.
///
/// The function is not generic, so that the scheduler is compiled once for all models.
fn in_parallel(count: usize, run: &(dyn Fn(usize) + Sync)) {
    (0..count).into_par_iter().with_max_len(1).for_each(run);
}
