use crate::{HeadMap, Mask};
use std::ops::Range;

/// How many queries one task takes. A constant, so that tiles and bits do not depend on the number of threads.
pub(crate) const QUERY_BLOCK: usize = 64;

/// The checked sizes and choices of one call: what the kernels read.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub(crate) heads: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) width: usize,
    pub(crate) value_width: usize,
    pub(crate) scale: f64,
    pub(crate) map: HeadMap,
    pub(crate) mask: Mask,
}

impl Plan {
    /// The keys that one query attends to.
    pub(crate) fn keys_of(&self, query: usize) -> Range<usize> {
        self.mask.keys(query, self.queries, self.keys)
    }

    /// The keys that some query of a block attends to: everything outside is skipped.
    pub(crate) fn keys_of_block(&self, queries: Range<usize>) -> Range<usize> {
        // A mask moves both ends upwards with the query, so the first and the last query bound the block.
        if queries.is_empty() {
            0..0
        } else {
            self.keys_of(queries.start).start..self.keys_of(queries.end - 1).end
        }
    }

    /// The multiply-adds of a forward pass without a mask.
    pub(crate) fn work(&self) -> usize {
        self.heads * self.queries * self.keys * (self.width + self.value_width)
    }

    /// The tiles of one head.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let queries = self.queries;
        (0..queries).step_by(QUERY_BLOCK).map(move |start| start..(start + QUERY_BLOCK).min(queries))
    }
}
