use crate::AttentionError;
use collimate_measure::ensure;
use std::ops::Range;

/// The position of the queries among the keys: query `i` has the key position `i + offset`.
///
/// With equal numbers of queries and keys all choices agree. Otherwise libraries disagree: PyTorch's `is_causal` counts from
/// zero (top-left), flash-attn since 2.1 aligns the last query with the last key (bottom-right), ONNX and candle
/// take a number.
///
/// # Examples
/// ```
/// use collimate_attention::Offset;
/// assert_eq!(Offset::keys_minus_queries().value(2, 5), 3); // the last query sees every key
/// assert_eq!(Offset::zero().value(2, 5), 0);               // the first query sees one key
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Offset {
    /// The last query has the position of the last key: the offset is s − t.
    KeysMinusQueries,
    /// The first query has the position of the first key.
    Zero,
    /// A number, for example the length of a cache.
    Fixed(isize),
}

impl Offset {
    /// Returns the offset that gives the last query the position of the last key.
    pub fn keys_minus_queries() -> Self {
        Self::KeysMinusQueries
    }

    /// Returns the offset that gives the first query the position of the first key.
    pub fn zero() -> Self {
        Self::Zero
    }

    /// Returns the offset that gives the first query this key position.
    pub fn fixed(offset: isize) -> Self {
        Self::Fixed(offset)
    }

    /// Returns the number for `queries` queries and `keys` keys.
    pub fn value(&self, queries: usize, keys: usize) -> isize {
        match *self {
            Self::KeysMinusQueries => keys as isize - queries as isize,
            Self::Zero => 0,
            Self::Fixed(offset) => offset,
        }
    }

    /// Returns the number for `queries` queries and `keys` keys, or an error for an offset that no position can have.
    pub(crate) fn checked(&self, queries: usize, keys: usize) -> Result<isize, AttentionError> {
        let offset = self.value(queries, keys);
        // Positions are numbers of f64 for the rotation, and sums of positions must not overflow.
        let holds = offset.unsigned_abs() as u64 <= 1 << 52;
        ensure(holds, "the offset of the queries", "between −2⁵² and 2⁵²", offset as f64)?;
        Ok(offset)
    }
}

/// The keys that a query may attend to.
///
/// ```text
/// none:            every key
/// causal(offset):  key j for query i when j ≤ i + offset
/// window(offset, back):  … and j ≥ i + offset − back: `back` keys before its own, so back + 1 in all
/// ```
///
/// A masked pair has no influence at all: its key and value are not part of any product, so even NaN there changes
/// nothing. A query without any key gives a row of zeros and the log-sum-exp −∞.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mask {
    /// Every query attends to every key.
    None,
    /// A query attends to the keys up to its own position.
    Causal(Offset),
    /// A query attends to its own position and the positions just before it.
    Window {
        /// The position of the queries.
        offset: Offset,
        /// The number of keys before its own position that a query sees. Its own position is added to them.
        back: usize,
    },
}

impl Mask {
    /// Returns the mask under which every query attends to every key.
    pub fn none() -> Self {
        Self::None
    }

    /// Returns the mask under which a query attends to the keys up to its own position.
    pub fn causal(offset: Offset) -> Self {
        Self::Causal(offset)
    }

    /// Returns the mask under which a query attends to its own position and `back` positions before it (flash-attn's window
    /// (back, 0), a sliding window of `back + 1` in Hugging Face).
    pub fn window(offset: Offset, back: usize) -> Self {
        Self::Window { offset, back }
    }

    /// Returns the keys that query `query` of `queries` attends to.
    ///
    /// # Examples
    /// ```
    /// use collimate_attention::{Mask, Offset};
    /// assert_eq!(Mask::causal(Offset::zero()).keys(1, 2, 4), 0..2);
    /// assert_eq!(Mask::causal(Offset::keys_minus_queries()).keys(1, 2, 4), 0..4);
    /// ```
    pub fn keys(&self, query: usize, queries: usize, keys: usize) -> Range<usize> {
        let until = |offset: Offset| {
            let last = (query as isize).saturating_add(offset.value(queries, keys)).min(isize::MAX - 1);
            0..(last + 1).clamp(0, keys as isize) as usize
        };
        match *self {
            Self::None => 0..keys,
            Self::Causal(offset) => until(offset),
            Self::Window { offset, back } => {
                let own = (query as isize).saturating_add(offset.value(queries, keys));
                let end = until(offset).end;
                let start = own.saturating_sub_unsigned(back).clamp(0, end as isize) as usize;
                start..end
            }
        }
    }
}
