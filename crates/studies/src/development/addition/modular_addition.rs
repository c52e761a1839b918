use crate::development::numbers::Numbers;
use collimate_measure::{OutOfRange, ensure};
use std::collections::HashSet;

/// The division of the pairs into those for training and those for testing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairSplit {
    /// The pairs (a, b) and (b, a) are divided separately. About the share for training of the test pairs has its mirror in training, so a
    /// model that has learned symmetry alone is right on them.
    Ordered,
    /// The pairs (a, b) and (b, a) are on one side.
    Unordered,
}

/// The table of addition modulo a number, divided into pairs for training and for testing.
///
/// # Examples
/// ```
/// use collimate_studies::development::{ModularAddition, Numbers, PairSplit};
/// let ordered = ModularAddition::new(59, 0.5, PairSplit::Ordered, 1, Numbers::SplitMix)?;
/// assert_eq!((ordered.training().len(), ordered.test().len()), (1740, 1741));
/// let unordered = ModularAddition::new(59, 0.5, PairSplit::Unordered, 1, Numbers::SplitMix)?;
/// assert!(ordered.mirrored_share() > 0.45);
/// assert_eq!(unordered.mirrored_share(), 0.0);
/// # Ok::<(), collimate_measure::OutOfRange>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ModularAddition {
    modulus: usize,
    /// All pairs, those for training first.
    pairs: Vec<[usize; 2]>,
    training: usize,
}

impl ModularAddition {
    /// Divides the pairs at random.
    ///
    /// # Errors
    /// [`OutOfRange`] unless the modulus is in 2..=2000, and the share leaves a pair on both sides.
    pub fn new(
        modulus: usize,
        share: f64,
        split: PairSplit,
        seed: u64,
        numbers: Numbers,
    ) -> Result<Self, OutOfRange> {
        ensure((2..=2000).contains(&modulus), "the modulus", "in 2..=2000", modulus as f64)?;
        ensure(share > 0.0 && share < 1.0, "the share for training", "between 0 and 1", share)?;
        let order = numbers.permutation(seed.wrapping_mul(7919).wrapping_add(3), modulus * modulus);
        let pair = |index: &usize| [index / modulus, index % modulus];
        let (pairs, training) = match split {
            PairSplit::Ordered => {
                let count = (share * (modulus * modulus) as f64) as usize;
                (order.iter().map(pair).collect(), count)
            }
            PairSplit::Unordered => {
                // Unordered pairs in the order of their first appearance; the first ones train.
                let count = (share * modulus as f64 * (modulus + 1) as f64) as usize / 2;
                let (mut first, mut second, mut chosen, mut seen) =
                    (Vec::new(), Vec::new(), HashSet::new(), 0);
                let mut known = HashSet::new();
                for [a, b] in order.iter().map(pair) {
                    let unordered = [a.min(b), a.max(b)];
                    if known.insert(unordered) {
                        if seen < count {
                            chosen.insert(unordered);
                        }
                        seen += 1;
                    }
                    if chosen.contains(&unordered) { first.push([a, b]) } else { second.push([a, b]) }
                }
                let count = first.len();
                first.extend(second);
                (first, count)
            }
        };
        let both = (1..modulus * modulus).contains(&training);
        ensure(both, "the number of pairs for training", "at least 1 and not all", training as f64)?;
        Ok(Self { modulus, pairs, training })
    }

    /// Returns the modulus.
    pub fn modulus(&self) -> usize {
        self.modulus
    }

    /// Returns the pairs for training.
    pub fn training(&self) -> &[[usize; 2]] {
        &self.pairs[..self.training]
    }

    /// Returns the pairs for testing.
    pub fn test(&self) -> &[[usize; 2]] {
        &self.pairs[self.training..]
    }

    /// Returns the sum of a pair.
    pub fn sum(&self, [a, b]: [usize; 2]) -> usize {
        (a + b) % self.modulus
    }

    /// Returns the share of the test pairs whose mirror (b, a) is in training.
    pub fn mirrored_share(&self) -> f64 {
        let known: HashSet<&[usize; 2]> = self.training().iter().collect();
        let mirrored = self.test().iter().filter(|[a, b]| known.contains(&[*b, *a])).count();
        mirrored as f64 / self.test().len() as f64
    }
}
