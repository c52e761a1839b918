use crate::algebra::{PairKeys, Pairing};
use crate::{HeadMap, Mask};
use collimate_tensor::Scalar;
use ndarray::Array3;
use std::ops::Range;

/// How many queries one task takes. A constant, so that tiles and bits do not depend on the number of threads.
pub(crate) const QUERY_BLOCK: usize = 64;

/// How many keys one step of a block takes in. A constant for the same reason.
pub(crate) const KEY_TILE: usize = 128;

/// How many keys a step takes in where the mask cuts through a tile: less of it is computed in vain.
const CUT: usize = 32;

/// Keys of a tile, and the queries of a block that attend to some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) keys: Range<usize>,
    /// Counted from the start of the block; the first is the first of a vector, so is the one after the last, if it is there.
    pub(crate) queries: Range<usize>,
    /// Whether all of these queries attend to all of these keys.
    pub(crate) full: bool,
}

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

    /// The keys `seen`, in pieces: whole tiles where every query of the block attends, smaller ones without the queries that see
    /// nothing of them where the mask cuts through. Vectors have `lanes` queries.
    pub(crate) fn pieces(&self, block: Range<usize>, seen: Range<usize>, lanes: usize) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::with_capacity(seen.len().div_ceil(KEY_TILE) + KEY_TILE / CUT);
        for tile in Self::tiles(seen) {
            if self.all_attend(block.clone(), tile.clone()) {
                pieces.push(Piece { keys: tile, queries: 0..block.len(), full: true });
                continue;
            }
            let mut joined = false;
            for start in tile.clone().step_by(CUT) {
                let keys = start..(start + CUT).min(tile.end);
                let full = self.all_attend(block.clone(), keys.clone());
                match pieces.last_mut().filter(|last| joined && full && last.full) {
                    Some(last) => last.keys.end = keys.end,
                    None => {
                        // Both ends of the attended keys move upwards with the query.
                        let before = |query: &usize| self.keys_of(*query).end <= keys.start;
                        let first = block.clone().take_while(before).count();
                        let behind = |query: &usize| self.keys_of(*query).start >= keys.end;
                        let past = block.len() - block.clone().rev().take_while(behind).count();
                        if first < past {
                            let past = past.next_multiple_of(lanes).min(block.len());
                            pieces.push(Piece { keys, queries: first - first % lanes..past, full });
                        }
                    }
                }
                joined = full;
            }
        }
        pieces
    }

    /// The keys `seen`, in whole tiles with all `columns` of a block.
    pub(crate) fn whole_tiles(&self, block: Range<usize>, seen: Range<usize>, columns: usize) -> Vec<Piece> {
        let piece = |keys: Range<usize>| {
            let full = self.all_attend(block.clone(), keys.clone());
            Piece { keys, queries: 0..columns, full }
        };
        Self::tiles(seen).map(piece).collect()
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

    /// The log-sum-exp of queries that have no key yet (b, h, t): −∞.
    pub(crate) fn no_keys<F: Scalar>(&self) -> Array3<F> {
        Array3::from_elem((self.batch, self.heads, self.queries), F::neg_infinity())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Offset;
    use proptest::prelude::*;

    proptest! {
        /// Every pair that attends is in one piece; a full piece has no other; nothing lies outside of the block.
        #[test]
        fn pieces_hold_every_pair_that_attends_once(
            (queries, keys) in (1..200usize, 0..400usize),
            start in 0..200usize,
            offset in -100..300isize,
            back in proptest::option::of(0..150usize),
            lanes in prop::sample::select(vec![1usize, 8, 16]),
        ) {
            let offset = Offset::fixed(offset);
            let mask = back.map_or(Mask::causal(offset), |back| Mask::window(offset, back));
            let map = HeadMap::multi_head();
            let plan = Plan {
                batch: 1, heads: 1, queries, keys, width: 1, value_width: 1, scale: 1.0, softcap: None, map, pairs: None, mask,
            };
            let start = start % queries;
            let block = start..(start + QUERY_BLOCK).min(queries);
            let mut times = vec![0; block.len() * keys];
            for Piece { keys: of_piece, queries: part, full } in plan.pieces(block.clone(), plan.keys_of_block(block.clone()), lanes) {
                prop_assert!(of_piece.len() <= KEY_TILE && part.end <= block.len() && !part.is_empty());
                prop_assert!(part.start % lanes == 0 && (part.end % lanes == 0 || part.end == block.len()));
                for i in part {
                    for j in of_piece.clone() {
                        prop_assert!(!full || plan.attends(block.start + i, j));
                        times[i * keys + j] += 1;
                    }
                }
            }
            for (place, times) in times.into_iter().enumerate() {
                let attends = plan.attends(block.start + place / keys, place % keys);
                prop_assert!(times == 1 || times == 0 && !attends, "query {} key {}", place / keys, place % keys);
            }
        }
    }
}
