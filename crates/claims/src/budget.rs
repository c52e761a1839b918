//! The effort of a run.

use crate::meta::Tier;
use std::hash::{BuildHasher, Hasher};

/// The effort of a run, in counts.
///
/// There is no limit in seconds, because a verdict that depends on the clock is not reproducible.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, Tier};
/// let budget = Budget::quick().seed(7);
/// assert_eq!((budget.tier, budget.seed), (Tier::Quick, 7));
/// assert!(Budget::nightly().inputs > Budget::standard().inputs);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The tier.
    pub tier: Tier,
    /// The seed of the run. Each claim draws from its own streams, which follow from the seed and its id.
    pub seed: u64,
    /// True if the seed was drawn at random, so that another run has another seed.
    pub fresh: bool,
    /// The number of random inputs of an exact claim that does not set its own number.
    pub inputs: u64,
    /// The number of margin evaluations for guided search.
    pub guided: u64,
    /// The number of margin evaluations for making a counterexample smaller.
    pub shrink: u64,
    /// The number of threads for trials and inputs. It does not change the result.
    pub threads: usize,
}

impl Budget {
    /// Returns the budget of a tier, with seed 0.
    pub fn of(tier: Tier) -> Self {
        let (inputs, guided, shrink) = match tier {
            Tier::Quick => (300, 300, 10_000),
            Tier::Standard => (3_000, 3_000, 30_000),
            Tier::Nightly => (30_000, 30_000, 100_000),
        };
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        Self { tier, seed: 0, fresh: false, inputs, guided, shrink, threads }
    }

    /// Returns the budget of the quick tier: seconds.
    pub fn quick() -> Self {
        Self::of(Tier::Quick)
    }

    /// Returns the budget of the standard tier: minutes.
    pub fn standard() -> Self {
        Self::of(Tier::Standard)
    }

    /// Returns the budget of the nightly tier: hours.
    pub fn nightly() -> Self {
        Self::of(Tier::Nightly)
    }

    /// Sets the seed.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, fresh: false, ..self }
    }

    /// Draws the seed from the entropy of the operating system. The report shows the seed, so the run can be repeated.
    pub fn fresh(self) -> Self {
        let seed = std::collections::hash_map::RandomState::new().build_hasher().finish();
        // 53 bits, so that the seed survives JSON readers that keep numbers in f64.
        Self { seed: seed >> 11, fresh: true, ..self }
    }

    /// Sets the number of threads (at least one).
    pub fn threads(self, threads: usize) -> Self {
        Self { threads: threads.max(1), ..self }
    }
}
