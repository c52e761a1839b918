use crate::AttentionError;
use crate::attention::Attention;
use crate::error::check_shape;
use crate::parts::{HeadMap, Mask, Pairs};
use collimate_measure::ensure;
use collimate_tensor::Scalar;
use ndarray::Array3;
use std::ops::Range;

/// The number of queries of one task. A constant, so that tiles and bits do not depend on the number of threads.
pub(crate) const QUERY_BLOCK: usize = 64;

/// The number of keys that one step of a block takes in. A constant for the same reason.
pub(crate) const KEY_TILE: usize = 128;

/// The number of keys that a step takes in where the mask cuts through a tile: fewer masked pairs are computed.
const CUT: usize = 32;

/// Keys of a tile, and the queries of a block that attend to some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) keys: Range<usize>,
    /// The queries, counted from the start of the block. The range starts at a whole vector and ends at a whole vector or at the end
    /// of the block.
    pub(crate) queries: Range<usize>,
    /// True if all queries of the piece attend to all its keys.
    pub(crate) full: bool,
}

/// The checked sizes and choices of one call, as the kernels read them.
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

impl Plan {
    /// Checks the shapes `[b, h, t, d]` of q, k and v against the choices. `letters` are the axes of q, k, v and the output for
    /// messages; without a batch axis they start at axis `first`.
    pub(crate) fn new(
        attention: &Attention,
        [q, k, v]: [[usize; 4]; 3],
        (letters, first): ([&'static str; 4], usize),
        pairs: Option<Pairs>,
    ) -> Result<Self, AttentionError> {
        let ([batch, heads, queries, width], [_, key_heads, keys, _]) = (q, k);
        let value_width = v[3];
        let check = |name, letters, expected: [usize; 4], given: [usize; 4]| {
            check_shape(name, letters, &expected[first..], &given[first..])
        };
        check("k", letters[1], [batch, key_heads, keys, width], k)?;
        // The head map joins pairs to pairs, and each pair of key heads has one value head.
        let of_one = if pairs.is_some() { 2 } else { 1 };
        check("v", letters[2], [batch, key_heads / of_one, keys, value_width], v)?;
        attention.heads.check(heads / of_one, key_heads / of_one)?;
        let scale = attention.scale.value(width);
        ensure(scale.is_finite(), "the scale", "finite (d ≥ 1)", scale)?;
        if let Some(cap) = attention.softcap {
            ensure(cap.is_finite() && cap > 0.0, "the softcap", "finite and positive", cap)?;
        }
        if let Mask::Causal(offset) | Mask::Window { offset, .. } = attention.mask {
            offset.checked(queries, keys)?;
        }
        let Attention { heads: map, mask, softcap, .. } = *attention;
        Ok(Self { batch, heads, queries, keys, width, value_width, scale, softcap, map, pairs, mask })
    }

    /// Returns the shape `[b, h, t, e]` of the output.
    pub(crate) fn out_shape(&self) -> (usize, usize, usize, usize) {
        (self.batch, self.heads, self.queries, self.value_width)
    }

    /// Returns the key head that a query head reads.
    pub(crate) fn key_head(&self, head: usize) -> usize {
        self.pairs.map_or_else(|| self.map.read(head), |pairs| pairs.read(&self.map, self.heads, head).0)
    }

    /// Returns the value head that a query head reads.
    pub(crate) fn value_head(&self, head: usize) -> usize {
        self.pairs.map_or_else(|| self.map.read(head), |pairs| pairs.read(&self.map, self.heads, head).1)
    }

    /// Returns the keys that one query attends to.
    pub(crate) fn keys_of(&self, query: usize) -> Range<usize> {
        self.mask.keys(query, self.queries, self.keys)
    }

    /// Returns the range of keys that some query of a block attends to. All other keys are skipped.
    pub(crate) fn keys_of_block(&self, queries: Range<usize>) -> Range<usize> {
        // A mask moves both ends upwards with the query, so the first and the last query bound the block.
        if queries.is_empty() {
            0..0
        } else {
            self.keys_of(queries.start).start..self.keys_of(queries.end - 1).end
        }
    }

    /// Returns the tiles of a range of keys.
    pub(crate) fn tiles(keys: Range<usize>) -> impl DoubleEndedIterator<Item = Range<usize>> {
        let end = keys.end;
        keys.step_by(KEY_TILE).map(move |start| start..(start + KEY_TILE).min(end))
    }

    /// Returns the keys `seen` in pieces: whole tiles where every query of the block attends. Where the mask cuts through a tile, the
    /// pieces are smaller and leave out the queries that see none of their keys. Vectors have `lanes` queries.
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

    /// Returns the keys `seen` in whole tiles with all `columns` of a block.
    pub(crate) fn whole_tiles(&self, block: Range<usize>, seen: Range<usize>, columns: usize) -> Vec<Piece> {
        let piece = |keys: Range<usize>| {
            let full = self.all_attend(block.clone(), keys.clone());
            Piece { keys, queries: 0..columns, full }
        };
        Self::tiles(seen).map(piece).collect()
    }

    /// Returns true if a query attends to a key.
    pub(crate) fn attends(&self, query: usize, key: usize) -> bool {
        self.keys_of(query).contains(&key)
    }

    /// Returns true if every query of a block attends to every key of a tile.
    pub(crate) fn all_attend(&self, queries: Range<usize>, keys: Range<usize>) -> bool {
        // Both ends of the attended keys move upwards with the query.
        let (first, last) = (self.keys_of(queries.start), self.keys_of(queries.end - 1));
        first.end >= keys.end && last.start <= keys.start
    }

    /// Writes `value` at the masked pairs of a tile. A row of the tile is one key, its `width` columns are queries.
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

    /// Returns the number of heads with the same key head that share a block: with few queries each, they fill its lanes and read
    /// keys and values once for all heads.
    pub(crate) fn heads_together(&self) -> usize {
        (QUERY_BLOCK / self.queries.max(1)).max(1)
    }

    /// Returns the log-sum-exp `[b, h, t]` of queries that have no key yet: −∞.
    pub(crate) fn no_keys<F: Scalar>(&self) -> Array3<F> {
        Array3::from_elem((self.batch, self.heads, self.queries), F::neg_infinity())
    }

    /// Returns the number of multiply-adds of a forward pass without a mask.
    pub(crate) fn work(&self) -> usize {
        self.batch * self.heads * self.queries * self.keys * (self.width + self.value_width)
    }

    /// Returns the blocks of queries of one head.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let queries = self.queries;
        (0..queries).step_by(QUERY_BLOCK).map(move |start| start..(start + QUERY_BLOCK).min(queries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::Offset;
    use proptest::prelude::*;

    proptest! {
        /// Tests that every pair that attends is in one piece, that a full piece has no other pairs, and that no piece leaves the block.
        #[test]
        fn every_attending_pair_is_in_exactly_one_piece(
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
