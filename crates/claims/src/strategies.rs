//! Strategies for property tests that draw dimensions and a seed, and build the input from them.
//!
//! The cases shrink in the dimensions only, which is fast. A strategy over single numbers shrinks entry by entry.

use collimate_stream::RngStream;
use ndarray::Array2;
use proptest::prelude::{Strategy, any};
use std::fmt::Debug;
use std::ops::RangeInclusive;

/// Returns a strategy whose inputs `draw` builds from dimensions in the given ranges and a stream. Only the dimensions shrink.
///
/// # Examples
/// ```
/// use collimate_claims::strategies::drawn;
/// use proptest::strategy::{Strategy, ValueTree};
/// use proptest::test_runner::TestRunner;
/// let strategy = drawn([2..=5], |dims, stream| stream.permutation(dims[0]));
/// let tree = strategy.new_tree(&mut TestRunner::deterministic()).unwrap();
/// assert!((2..=5).contains(&tree.current().len()));
/// ```
pub fn drawn<const N: usize, I: Debug>(
    dims: [RangeInclusive<usize>; N],
    draw: impl Fn([usize; N], &mut RngStream) -> I,
) -> impl Strategy<Value = I> {
    (dims, any::<u64>().no_shrink()).prop_map(move |(dims, seed)| draw(dims, &mut RngStream::new(seed, 0)))
}

/// Returns a strategy of matrices of standard normal numbers.
///
/// # Examples
/// ```
/// use collimate_claims::strategies::normal_matrix;
/// use proptest::{prop_assert, proptest};
/// proptest!(|(w in normal_matrix(1..=4, 1..=3))| {
///     prop_assert!(w.dot(&w.t()).diag().iter().all(|&square| square >= 0.0));
/// });
/// ```
pub fn normal_matrix(
    rows: RangeInclusive<usize>,
    columns: RangeInclusive<usize>,
) -> impl Strategy<Value = Array2<f64>> {
    drawn([rows, columns], |[m, n], stream| Array2::from_shape_fn((m, n), |_| stream.normal()))
}
