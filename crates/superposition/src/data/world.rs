//! Activations made of thousands of features, with known frequencies, hierarchy, common causes and directions.

use super::hierarchy::{Hierarchy, Siblings};
use super::independent::SparseFeatures;
use super::low_rank::LowRank;
use crate::error::SuperpositionError;
use collimate_measure::ensure;
use collimate_stream::RngStream;
use collimate_tensor::{SparseRows, matmul};
use ndarray::{Array2, ArrayRef2};
use rayon::prelude::*;
use std::ops::Range;

/// The configuration of a [`World`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorldConfig {
    /// The number of features `n`.
    pub features: usize,
    /// The width `d` of the activations.
    pub width: usize,
    /// The exponent with which frequencies fall with the rank.
    pub zipf_exponent: f64,
    /// The on-probability of the most frequent feature before the hierarchy is applied.
    pub highest: f64,
    /// The lowest on-probability.
    pub lowest: f64,
    /// The number of trees of the hierarchy. Their features come first, level by level, so that a parent is more frequent than
    /// its children.
    pub roots: usize,
    /// The number of children of each feature above the last level.
    pub branching: usize,
    /// The number of levels of the trees; 1 is no hierarchy.
    pub levels: usize,
    /// The dependence between the children of one parent.
    pub siblings: Siblings,
    /// The number of common causes, at least 1.
    pub causes: usize,
    /// The share of the standard deviation of each feature's switch that the common causes explain, 0 to 1.
    pub correlation: f64,
    /// The mean values of the most and of the least frequent feature. The others lie between, linearly in the rank.
    pub means: (f64, f64),
    /// The location and the scale of the standard deviations. Each feature's deviation is `|N(location, scale)|`, drawn once.
    pub deviations: (f64, f64),
    /// The number of descent steps on the frame potential, which move the directions further apart than random directions.
    pub spreading_steps: usize,
    /// The size of a descent step.
    pub spreading_rate: f64,
}

impl Default for WorldConfig {
    /// Returns the setting of a published benchmark, 16,384 features in 768 dimensions, without the spreading of directions.
    fn default() -> Self {
        Self {
            features: 16_384,
            width: 768,
            zipf_exponent: 0.5,
            highest: 0.4,
            lowest: 5e-4,
            roots: 128,
            branching: 4,
            levels: 4,
            siblings: Siblings::Exclusive,
            causes: 25,
            correlation: 0.1,
            means: (5.0, 4.0),
            deviations: (0.5, 0.5),
            spreading_steps: 0,
            spreading_rate: 3e-4,
        }
    }
}

/// Features with directions in the space of activations, and the distribution that switches them on.
///
/// A Gaussian copula ([`LowRank`]) draws candidates. A candidate is on if its parent is on and, among exclusive siblings, if it
/// is the one that was picked. Its value is `max(0, N(mean_i, deviation_i))`. An activation is the sum of the values times
/// the directions, without noise or bias.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::{World, WorldConfig};
/// let stream = RngStream::new(1, 0);
/// let small = WorldConfig { features: 60, width: 16, roots: 4, branching: 2, levels: 3, causes: 3, ..Default::default() };
/// let world = World::new(small, &stream.child(0))?;
/// let batch = world.batch(0..100, &stream.child(1));
/// assert_eq!(batch.activations.dim(), (100, 16));
/// // Sample 7 has the same value in every batch that holds it.
/// let again = world.batch(7..8, &stream.child(1));
/// assert_eq!(batch.activations.row(7), again.activations.row(0));
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// "SynthSAEBench" (2026), arXiv 2602.14687.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    directions: Array2<f32>,
    switch: LowRank,
    parent: Vec<Option<usize>>,
    siblings: Siblings,
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

/// Activations with their ground truth.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldBatch {
    /// The activations `[samples, width]`.
    pub activations: Array2<f32>,
    /// The values of the features that are on, `[samples, n]`.
    pub active: SparseRows<f32>,
}

impl World {
    /// Creates a world with random directions.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for empty sizes, a hierarchy with more features than there are,
    /// probabilities outside `(0, 1)`, or means and deviations that are not finite.
    ///
    /// # Determinism
    /// The result depends on the key of the stream alone, on any number of threads. The stream does not advance.
    pub fn new(config: WorldConfig, stream: &RngStream) -> Result<Self, SuperpositionError> {
        let c = config;
        ensure(c.features > 0, "features", "at least 1", 0.0)?;
        ensure(c.width > 0, "width", "at least 1", 0.0)?;
        ensure((0.0..=1.0).contains(&c.correlation), "correlation", "0 to 1", c.correlation)?;
        for x in [c.means.0, c.means.1, c.deviations.0, c.deviations.1, c.spreading_rate] {
            ensure(x.is_finite(), "means, deviations and spreading_rate", "finite", x)?;
        }
        let forest =
            Hierarchy::forest(c.roots.max(1), c.branching, c.levels, 0.0, 0.0, Siblings::Independent)?;
        let mut parent = if c.roots == 0 { Vec::new() } else { forest.parents().to_vec() };
        ensure(
            parent.len() <= c.features,
            "features of the hierarchy",
            "at most `features`",
            parent.len() as f64,
        )?;
        parent.resize(c.features, None);
        let frequencies = SparseFeatures::zipf(c.features, c.zipf_exponent, c.highest, c.lowest)?;
        let on = frequencies.on_probability().to_vec();
        let switch = LowRank::random(on, c.causes, c.correlation, &mut stream.child(0))?;
        let place = |i: usize| i as f64 / (c.features - 1).max(1) as f64;
        let mut draw = stream.child(1);
        let deviation =
            (0..c.features).map(|_| (c.deviations.0 + c.deviations.1 * draw.normal()).abs()).collect();
        let mut directions = Array2::zeros((c.features, c.width));
        slots(&mut directions).par_chunks_exact_mut(c.width).enumerate().for_each(|(i, row)| {
            let mut own = stream.child(2).child(i as u64);
            row.fill_with(|| own.normal() as f32);
        });
        normalise(&mut directions);
        for _ in 0..c.spreading_steps {
            spread(&mut directions, c.spreading_rate as f32);
        }
        let mean = (0..c.features).map(|i| c.means.0 + (c.means.1 - c.means.0) * place(i)).collect();
        Ok(Self { directions, switch, parent, siblings: c.siblings, mean, deviation })
    }

    /// Returns the number of features.
    pub fn features(&self) -> usize {
        self.parent.len()
    }

    /// Returns the direction of each feature, as rows of unit length.
    ///
    /// # Shapes
    /// Result: `[n, width]`; the transpose of the weight matrices elsewhere in this crate.
    pub fn directions(&self) -> &ArrayRef2<f32> {
        &self.directions
    }

    /// Returns the parent of each feature.
    pub fn parents(&self) -> &[Option<usize>] {
        &self.parent
    }

    /// Draws the samples with the numbers `samples`.
    ///
    /// # Determinism
    /// Sample `i` draws from `stream.child(i)`: it is equal on any number of threads and in any batch.
    pub fn batch(&self, samples: Range<u64>, stream: &RngStream) -> WorldBatch {
        let drawn: Vec<_> = samples.into_par_iter().map(|i| self.active(&mut stream.child(i))).collect();
        let mut active = SparseRows::new(self.features());
        for (features, values) in &drawn {
            active.push_row(features, values).expect("ascending features, one value each");
        }
        let activations = active.decode(&self.directions).expect("as many columns as features");
        WorldBatch { activations, active }
    }

    /// Draws the features that are on in one sample, with their values.
    fn active(&self, stream: &mut RngStream) -> (Vec<u32>, Vec<f32>) {
        let mut candidates = Vec::with_capacity(64);
        self.switch.switch(stream, |i, on| {
            if on {
                candidates.push(i);
            }
        });
        // Parents come before their children, so one pass in order decides which candidates are on. Both lists are ascending.
        let mut kept: Vec<usize> = Vec::with_capacity(candidates.len());
        let mut rivals: Vec<usize> = Vec::new();
        let mut at = 0;
        while at < candidates.len() {
            let family = self.parent[candidates[at]];
            let end = at + candidates[at..].iter().take_while(|&&i| self.parent[i] == family).count();
            match family {
                None => kept.extend(&candidates[at..end]),
                Some(above) if kept.binary_search(&above).is_err() => {}
                Some(_) if self.siblings == Siblings::Independent => kept.extend(&candidates[at..end]),
                Some(_) => {
                    rivals.clear();
                    rivals.extend(&candidates[at..end]);
                    kept.push(rivals[stream.below(rivals.len())]);
                }
            }
            at = end;
        }
        let mut value = |i: usize| (self.mean[i] + self.deviation[i] * stream.normal()).max(0.0) as f32;
        kept.into_iter().map(|i| (i as u32, value(i))).filter(|(_, x)| *x > 0.0).unzip()
    }
}

fn normalise(directions: &mut Array2<f32>) {
    let width = directions.ncols();
    slots(directions).par_chunks_exact_mut(width).for_each(|row| {
        let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        row.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
    });
}

fn slots(directions: &mut Array2<f32>) -> &mut [f32] {
    directions.as_slice_mut().expect("a fresh matrix is in row-major order")
}

/// Takes one descent step on the frame potential `Σ cos²`. Its gradient `4 D(DᵀD)` needs no `[n, n]` matrix.
fn spread(directions: &mut Array2<f32>, rate: f32) {
    let gram = matmul(&directions.t(), directions).expect("the shapes fit");
    let pull = matmul(directions, &gram).expect("the shapes fit");
    directions.scaled_add(-4.0 * rate, &pull);
    normalise(directions);
}
