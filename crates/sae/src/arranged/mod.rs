//! Dictionaries whose input has further axes than rows: several layers of a model, or the positions of a sequence.
//!
//! | architecture | input | codes |
//! |---|---|---|
//! | [`Dictionary`](crate::Dictionary) | `[row, d]` | `[row, n]` |
//! | [`LayeredTranscoder`](transcoder::LayeredTranscoder) | `[layer, row, d]` | `[layer, row, n]` |
//! | [`LayeredCrosscoder`](crosscoder::LayeredCrosscoder) | `[row, layer, d]` | `[row, n]`, or `[row, layer, n]` |
//! | [`TemporalDictionary`](temporal::TemporalDictionary) | `[sequence, position, d]` | `[sequence, position, n]` |
//!
//! [`AnyDictionary`](any::AnyDictionary) is one of them. A new architecture is one file and one line in `any.rs`.

pub(crate) mod any;
pub(crate) mod arrangement;
pub(crate) mod crosscoder;
mod products;
pub(crate) mod temporal;
pub(crate) mod transcoder;
