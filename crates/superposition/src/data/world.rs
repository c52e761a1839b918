//! A whole world of features in activations: frequencies, hierarchy, common causes, directions, all of them known.

use super::hierarchy::{Hierarchy, Siblings};
use super::low_rank::LowRank;
use crate::error::{SuperpositionError, require};
use collimate_stream::RngStream;
use collimate_tensor::{SparseRows, matmul};
use ndarray::{Array2, ArrayRef2};
use rayon::prelude::*;
use std::ops::Range;

/// What a [`World`] is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorldConfig {
    /// Features `n`.
    pub features: usize,
    /// The width `d` of the activations.
    pub width: usize,
    /// How fast frequencies fall with the rank.
    pub zipf_exponent: f64,
    /// The on-probability of the most frequent feature, before the hierarchy takes its part.
    pub highest: f64,
    /// The lowest on-probability.
    pub lowest: f64,
    /// Trees of the hierarchy; their features come first, level by level, so that a parent is more frequent than its
    /// children.
    pub roots: usize,
    /// Children of each feature above the last level.
    pub branching: usize,
    /// Levels of the trees; 1 is no hierarchy.
    pub levels: usize,
    /// Whether children of one parent exclude each other.
    pub siblings: Siblings,
    /// The number of common causes, at least 1.
    pub causes: usize,
    /// How much of the standard deviation of each feature's switch the common causes explain, 0 to 1.
    pub correlation: f64,
    /// The mean value of the most and of the least frequent feature; the others lie between, linearly in the rank.
    pub means: (f64, f64),
    /// Each feature's standard deviation is `|N(location, scale)|`, drawn once.
    pub deviations: (f64, f64),
    /// Steps of descent on the frame potential, after which the directions are further apart than random ones.
    pub spreading_steps: usize,
    /// The size of such a step.
    pub spreading_rate: f64,
}

impl Default for WorldConfig {
    /// 16,384 features in 768 dimensions, after a published benchmark; the spreading of directions is left out.
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

/// Features with directions in the space of activations, and everything that decides when they are on.
///
/// A feature is a candidate by a Gaussian copula ([`LowRank`]); it is on when its parent is on too and, among exclusive
/// siblings, when it was picked. Its value is `max(0, N(mean_i, deviation_i))`. An activation is the sum of the values
/// times the directions: no noise, no bias.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::data::{World, WorldConfig};
/// let stream = RngStream::new(1, 0);
/// let small = WorldConfig { features: 60, width: 16, roots: 4, branching: 2, levels: 3, causes: 3, ..Default::default() };
/// let world = World::new(small, &stream.child(0))?;
/// let batch = world.batch(0..100, &stream.child(1));
/// assert_eq!(batch.activations.dim(), (100, 16));
/// // Sample 7 is the same in every batch that holds it.
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
    /// Samples × width.
    pub activations: Array2<f32>,
    /// The features of each sample that are on, with their values: samples × features.
    pub active: SparseRows<f32>,
}

impl World {
    /// A world with random directions.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for empty sizes, a hierarchy with more features than there are,
    /// probabilities outside `(0, 1)`, or means and deviations that are not finite.
    ///
    /// # Determinism
    /// A function of the stream's key, on any number of threads; the stream is not moved.
    pub fn new(config: WorldConfig, stream: &RngStream) -> Result<Self, SuperpositionError> {
        let c = config;
        require(c.features > 0, "features", 0.0, "at least 1")?;
        require(c.width > 0, "width", 0.0, "at least 1")?;
        require((0.0..=1.0).contains(&c.correlation), "correlation", c.correlation, "0 to 1")?;
        for x in [c.means.0, c.means.1, c.deviations.0, c.deviations.1, c.spreading_rate] {
            require(x.is_finite(), "means, deviations and spreading_rate", x, "finite")?;
        }
        let forest =
            Hierarchy::forest(c.roots.max(1), c.branching, c.levels, 0.0, 0.0, Siblings::Independent)?;
        let mut parent = if c.roots == 0 { Vec::new() } else { forest.parents().to_vec() };
        require(
            parent.len() <= c.features,
            "features of the hierarchy",
            parent.len() as f64,
            "at most `features`",
        )?;
        parent.resize(c.features, None);
        let frequencies = super::SparseFeatures::zipf(c.features, c.zipf_exponent, c.highest, c.lowest)?;
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

    /// The number of features.
    pub fn features(&self) -> usize {
        self.parent.len()
    }

    /// The direction of each feature, unit rows.
    ///
    /// # Shapes
    /// Features × width.
    pub fn directions(&self) -> &ArrayRef2<f32> {
        &self.directions
    }

    /// The parent of each feature.
    pub fn parents(&self) -> &[Option<usize>] {
        &self.parent
    }

    /// Samples number `samples` of the stream.
    ///
    /// # Determinism
    /// Sample `i` draws from `stream.child(i)`: the same on any number of threads and in any batch.
    pub fn batch(&self, samples: Range<u64>, stream: &RngStream) -> WorldBatch {
        let drawn: Vec<_> = samples.into_par_iter().map(|i| self.active(&mut stream.child(i))).collect();
        let mut active = SparseRows::new(self.features());
        for (features, values) in &drawn {
            active.push_row(features, values).expect("ascending features, one value each");
        }
        let activations = active.decode(&self.directions).expect("as many columns as features");
        WorldBatch { activations, active }
    }

    /// The features that are on in one sample, with their values.
    fn active(&self, stream: &mut RngStream) -> (Vec<u32>, Vec<f32>) {
        let mut candidates = Vec::with_capacity(64);
        self.switch.switch(stream, |i, on| {
            if on {
                candidates.push(i);
            }
        });
        // Parents come before their children, so one pass in order settles who may be on; both lists are ascending.
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

/// One step down the frame potential `Σ cos²`, whose gradient `4 D(DᵀD)` needs no n × n matrix.
fn spread(directions: &mut Array2<f32>, rate: f32) {
    let gram = matmul(&directions.t(), directions).expect("the shapes fit");
    let pull = matmul(directions, &gram).expect("the shapes fit");
    directions.scaled_add(-4.0 * rate, &pull);
    normalise(directions);
}
