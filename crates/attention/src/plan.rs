use crate::algebra::{PairKeys, Pairing};
use crate::{HeadMap, Mask};
use std::ops::Range;

/// How many queries one task takes. A constant, so that tiles and bits do not depend on the number of threads.
pub(crate) const QUERY_BLOCK: usize = 64;

/// How many keys one step of a block takes in. A constant for the same reason.
pub(crate) const KEY_TILE: usize = 128;

/// The checked sizes and choices of one call: what the kernels read.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub(crate) batch: usize,
    pub(crate) heads: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) width: usize,
    pub(crate) value_width: usize,
    pub(crate) scale: f64,
    pub(crate) softcap: Option<f64>,
    pub(crate) map: HeadMap,
    pub(crate) pairs: Option<Pairs>,
    pub(crate) mask: Mask,
}

/// Query heads that come in pairs, of which both read the same value head: the head map joins pairs to pairs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pairs {
    pub(crate) pairing: Pairing,
    pub(crate) keys: PairKeys,
    pub(crate) key_heads: usize,
}

impl Pairs {
    /// The key head and the value head that a query head of `heads` reads.
    pub(crate) fn read(&self, map: &HeadMap, heads: usize, head: usize) -> (usize, usize) {
        let (pair, second) = self.pairing.of(head, heads);
        let value = map.key_head(pair);
        let key = match (self.keys, self.pairing) {
            (PairKeys::Paired, Pairing::Neighbours) => 2 * value + second,
            (PairKeys::Paired, Pairing::Halves) => value + second * (self.key_heads / 2),
            (PairKeys::Repeated, _) => head * self.key_heads / heads,
        };
        (key, value)
    }
}

impl Plan {
    /// The key head that a query head reads.
    pub(crate) fn key_head(&self, head: usize) -> usize {
        self.pairs.map_or_else(|| self.map.key_head(head), |pairs| pairs.read(&self.map, self.heads, head).0)
    }

    /// The value head that a query head reads.
    pub(crate) fn value_head(&self, head: usize) -> usize {
        self.pairs.map_or_else(|| self.map.key_head(head), |pairs| pairs.read(&self.map, self.heads, head).1)
    }

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

    /// The tiles of a range of keys.
    pub(crate) fn tiles(keys: Range<usize>) -> impl DoubleEndedIterator<Item = Range<usize>> {
        let end = keys.end;
        keys.step_by(KEY_TILE).map(move |start| start..(start + KEY_TILE).min(end))
    }

    /// Whether a query attends to a key.
    pub(crate) fn attends(&self, query: usize, key: usize) -> bool {
        self.keys_of(query).contains(&key)
    }

    /// Whether every query of a block attends to every key of a tile.
    pub(crate) fn all_attend(&self, queries: Range<usize>, keys: Range<usize>) -> bool {
        // Both ends of the attended keys move upwards with the query.
        let (first, last) = (self.keys_of(queries.start), self.keys_of(queries.end - 1));
        first.end >= keys.end && last.start <= keys.start
    }

    /// Writes `value` at the masked pairs of a tile, which is rows of keys of `width` columns, one a query.
    pub(crate) fn fill_masked<F: Copy>(
        &self,
        queries: Range<usize>,
        keys: Range<usize>,
        value: F,
        tile: &mut [F],
        width: usize,
    ) {
        // Both ends of the attended keys move upwards with the query, so a key is masked for the first queries, which end before
        // it, and for the last, which start after it.
        let (mut ended, mut started) = (0, 0);
        for (key, row) in keys.zip(tile.chunks_mut(width)) {
            while ended < queries.len() && self.keys_of(queries.start + ended).end <= key {
                ended += 1;
            }
            while started < queries.len() && self.keys_of(queries.start + started).start <= key {
                started += 1;
            }
            row[..ended].fill(value);
            row[started..queries.len()].fill(value);
        }
    }

    /// How many heads that read the same key head share a block: with few queries each, they fill its lanes and read keys
    /// and values once for all.
    pub(crate) fn heads_together(&self) -> usize {
        (QUERY_BLOCK / self.queries.max(1)).max(1)
    }

    /// The multiply-adds of a forward pass without a mask.
    pub(crate) fn work(&self) -> usize {
        self.batch * self.heads * self.queries * self.keys * (self.width + self.value_width)
    }

    /// The tiles of one head.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let queries = self.queries;
        (0..queries).step_by(QUERY_BLOCK).map(move |start| start..(start + QUERY_BLOCK).min(queries))
    }
}
