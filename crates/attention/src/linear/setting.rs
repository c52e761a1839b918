use crate::AttentionError;
use crate::attention::Scale;
use crate::parts::HeadMap;
use collimate_measure::ensure;
use collimate_tensor::Scalar;
use ndarray::{ArrayRef1, ArrayRef2, ArrayRef3};

/// The way in which a sequence is run through the state. All ways give the same results up to rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Token by token: O(t·d·e) work, for decoding.
    Recurrent,
    /// Within a chunk as attention, from chunk to chunk by the state: O(t·(size + d)·e) work in matrix products.
    Chunked {
        /// The number of tokens of a chunk, at least 1; 64 is a good choice.
        size: usize,
    },
    /// The whole sequence as one chunk: O(t²·(d + e)) work and O(t²) memory, as in a table of attention.
    Parallel,
}

/// The choices that every member of the family needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// The factor on the queries.
    pub scale: Scale,
    /// The key head, and with it the state, that a query head reads.
    pub heads: HeadMap,
    /// The way of computation.
    pub form: Form,
}

/// The divisor of the output of linear attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Denominator {
    /// No division.
    One,
    /// Division by the sum of the weights plus ε, so that the weights of a query sum to 1 if ε is 0.
    SumOfWeights {
        /// The number ε ≥ 0.
        epsilon: f64,
    },
}

impl Denominator {
    /// Returns ε, if the output is divided.
    pub(super) fn epsilon<F: Scalar>(self) -> Result<Option<F>, AttentionError> {
        let Self::SumOfWeights { epsilon } = self else { return Ok(None) };
        ensure(epsilon >= 0.0 && epsilon.is_finite(), "epsilon", "a finite number, at least 0", epsilon)?;
        Ok(Some(F::from_f64(epsilon)))
    }
}

/// The logarithm of the decay of a state, for each head, token or channel.
///
/// 0 keeps everything, −∞ forgets everything. Positive numbers are allowed and enlarge the state.
#[derive(Clone, Copy, Debug)]
pub enum LogDecay<'a, F> {
    /// One number for each key head `[g]`.
    PerHead(&'a ArrayRef1<F>),
    /// A number for each token `[g, t]`.
    PerToken(&'a ArrayRef2<F>),
    /// A number for each token and channel of the key `[g, t, d]`.
    PerChannel(&'a ArrayRef3<F>),
}
