//! The selection over a whole batch: the entries of all rows with the largest scores.

use crate::members::rule::Entry;
use crate::step::code_block::{CodeBlock, Ranked};
use collimate_tensor::Scalar;
use std::cmp::Ordering;

/// Orders larger scores first, and equal scores by their place.
fn order<F: Scalar>(a: &Ranked<F>, b: &Ranked<F>) -> Ordering {
    b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal).then(a.place.cmp(&b.place))
}

fn score<F: Scalar>(entry: &Entry<F>, norms: &[F]) -> F {
    entry.code * norms[entry.latent as usize]
}

/// Keeps the `keep` entries with the largest scores, and returns the smallest score that was kept (zero if none was).
pub(crate) fn keep_largest<F: Scalar>(
    blocks: &mut [CodeBlock<F>],
    norms: &[F],
    keep: usize,
    ranked: &mut Vec<Ranked<F>>,
) -> F {
    ranked.clear();
    let entries = blocks.iter().flat_map(|block| &block.entries);
    ranked.extend(entries.enumerate().map(|(i, e)| Ranked { score: score(e, norms), place: i as u32 }));
    if ranked.len() <= keep {
        let smallest = ranked.iter().map(|r| r.score).fold(F::infinity(), |m, s| if s < m { s } else { m });
        return if ranked.is_empty() { F::zero() } else { smallest };
    }
    if keep == 0 {
        for block in blocks {
            block.entries.clear();
            block.ends.iter_mut().for_each(|end| *end = 0);
        }
        return F::zero();
    }
    let (_, &mut last, _) = ranked.select_nth_unstable_by(keep - 1, order);
    let mut place = 0;
    for block in blocks {
        let mut from = 0;
        let mut kept = 0;
        for end in &mut block.ends {
            for i in from..*end as usize {
                let entry = block.entries[i];
                let stays = order(&Ranked { score: score(&entry, norms), place }, &last) != Ordering::Greater;
                place += 1;
                if stays {
                    block.entries[kept] = entry;
                    kept += 1;
                }
            }
            from = *end as usize;
            *end = kept as u32;
        }
        block.entries.truncate(kept);
    }
    last.score
}

/// Estimates a bound that a few more scores than the given share should exceed, from a sample of the scores.
///
/// It only saves time: the entries that are kept do not depend on it.
pub(crate) fn estimate_bound<F: Scalar>(sample: &mut [F], share: f64) -> F {
    let wanted = (1.3 * share * sample.len() as f64) as usize + 8;
    if wanted >= sample.len() {
        return F::zero();
    }
    let descending = |a: &F, b: &F| b.partial_cmp(a).unwrap_or(Ordering::Equal);
    let (_, bound, _) = sample.select_nth_unstable_by(wanted, descending);
    if *bound > F::zero() { *bound } else { F::zero() }
}
