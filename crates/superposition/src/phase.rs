//! The phase diagram of two features in one dimension, three times over: by comparing candidates, at the optimum, and as
//! trained.

use crate::data::SparseFeatures;
use crate::error::{SuperpositionError, require};
use crate::fleet::{Fleet, FleetConfig};
use crate::two_features::TwoFeatures;
use collimate_grad::{Decay, ScheduleConfig, WarmUp};
use collimate_stream::RngStream;
use ndarray::Array2;
use rayon::prelude::*;
use std::sync::Arc;

/// What becomes of the second feature, in the words of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Region {
    /// The first feature has the dimension: `[1, 0]`.
    NotRepresented,
    /// The second feature has the dimension: `[0, 1]`.
    Dedicated,
    /// Both are represented, with opposite signs: `[1, −1]`.
    Antipodal,
    /// Both are represented with the same sign, so that each adds to the other.
    SideBySide,
    /// Neither is: both weights are below [`ABSENT`].
    Neither,
}

impl Region {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::NotRepresented, Self::Dedicated, Self::Antipodal, Self::SideBySide, Self::Neither];

    /// The region that two weights lie in; both represented means a sharing beyond ±[`SUPERPOSED`].
    ///
    /// # Examples
    /// ```
    /// use collimate_superposition::phase::Region;
    /// assert_eq!(Region::of([1.0, -0.8]), Region::Antipodal);
    /// assert_eq!(Region::of([0.02, -1.0]), Region::Dedicated);
    /// ```
    pub fn of(w: [f64; 2]) -> Self {
        let shared = sharing(w);
        if w[0].abs().max(w[1].abs()) < ABSENT {
            Self::Neither
        } else if shared > SUPERPOSED {
            Self::Antipodal
        } else if shared < -SUPERPOSED {
            Self::SideBySide
        } else if w[0].abs() >= w[1].abs() {
            Self::NotRepresented
        } else {
            Self::Dedicated
        }
    }

    /// The name for figures, as said of the second feature.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotRepresented => "not represented",
            Self::Dedicated => "dedicated dimension",
            Self::Antipodal => "superposition, antipodal",
            Self::SideBySide => "superposition, same sign",
            Self::Neither => "neither represented",
        }
    }
}

/// How far two features share one dimension, over importances and densities.
///
/// ```text
/// s = −2 w₁ w₂ / (w₁² + w₂²)      1: opposite and equally long; 0: one of them is alone; negative: they add up
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseDiagram {
    /// Importances of the second feature, one a column.
    pub importances: Vec<f64>,
    /// Densities, one a row.
    pub densities: Vec<f64>,
    /// `s`, densities × importances.
    pub sharing: Array2<f64>,
    /// What the two features do, densities × importances.
    pub region: Array2<Region>,
    /// The loss, densities × importances.
    pub loss: Array2<f64>,
}

/// The sharing from which on a cell counts as superposition when a boundary is drawn.
pub const SUPERPOSED: f64 = 0.1;

/// A weight below this represents nothing.
pub const ABSENT: f64 = 0.1;

impl PhaseDiagram {
    /// For each importance the largest density at which the features share the dimension; those without are left out.
    pub fn boundary(&self) -> Vec<(f64, f64)> {
        let highest = |column: usize| {
            let shared = |row: &usize| self.region[[*row, column]] == Region::Antipodal;
            let rows = (0..self.densities.len()).filter(shared);
            rows.map(|row| self.densities[row])
                .fold(None, |m: Option<f64>, d| Some(m.map_or(d, |m| m.max(d))))
        };
        (0..self.importances.len()).filter_map(|i| Some((self.importances[i], highest(i)?))).collect()
    }
}

/// `count` numbers from `low` to `high`, evenly spaced in their logarithm.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] for no number or an end that is not positive and finite.
pub fn logarithmic(low: f64, high: f64, count: usize) -> Result<Vec<f64>, SuperpositionError> {
    require(count > 0, "count", 0.0, "at least 1")?;
    for end in [low, high] {
        require(end > 0.0 && end.is_finite(), "an end of the range", end, "positive and finite")?;
    }
    let place = |i: usize| i as f64 / (count - 1).max(1) as f64;
    Ok((0..count).map(|i| low * (high / low).powf(place(i))).collect())
}

fn sharing(w: [f64; 2]) -> f64 {
    let length = w[0] * w[0] + w[1] * w[1];
    if length == 0.0 { 0.0 } else { -2.0 * w[0] * w[1] / length }
}

/// Fills a diagram cell by cell with weights and their loss, on all threads.
fn fill(
    importances: &[f64],
    densities: &[f64],
    cell: impl Fn(usize, TwoFeatures) -> Result<([f64; 2], f64), SuperpositionError> + Sync,
) -> Result<PhaseDiagram, SuperpositionError> {
    let columns = importances.len();
    let one = |i: usize| cell(i, TwoFeatures::new(densities[i / columns], importances[i % columns])?);
    let all: Vec<Result<([f64; 2], f64), SuperpositionError>> =
        (0..columns * densities.len()).into_par_iter().map(one).collect();
    // Of several errors the first by number, on any number of threads.
    let cells = all.into_iter().collect::<Result<Vec<_>, _>>()?;
    let shape = (densities.len(), columns);
    let at = |(row, column): (usize, usize)| cells[row * columns + column];
    Ok(PhaseDiagram {
        importances: importances.to_vec(),
        densities: densities.to_vec(),
        sharing: Array2::from_shape_fn(shape, |cell| sharing(at(cell).0)),
        region: Array2::from_shape_fn(shape, |cell| Region::of(at(cell).0)),
        loss: Array2::from_shape_fn(shape, |cell| at(cell).1),
    })
}

/// The diagram of the natural candidates alone: one feature ignored, or both as `[1, −1]` without bias.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] for an importance or a density out of range.
pub fn canonical(importances: &[f64], densities: &[f64]) -> Result<PhaseDiagram, SuperpositionError> {
    fill(importances, densities, |_, model| {
        let candidates = [
            ([1.0, 0.0], model.ignore_last()),
            ([0.0, 1.0], model.ignore_first()),
            ([1.0, -1.0], model.superpose_last()),
        ];
        // Of equal ones the first.
        Ok(candidates.into_iter().fold(candidates[0], |best, one| if one.1 < best.1 { one } else { best }))
    })
}

/// The diagram of the optimum over all four parameters, every cell with a gradient of at most 1e-8.
///
/// # Errors
/// As [`canonical`]; [`SuperpositionError::NotConverged`] when no descent of a cell converged.
///
/// # Determinism
/// Cell `i` draws its random starts from `stream.child(i)`.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::phase::{canonical, optimised};
/// // Importance one half: the candidates say superposition ends at a density of 0.444, the optimum holds on to 0.4845.
/// let (r, s) = ([0.5], [0.40, 0.46, 0.48, 0.50]);
/// assert_eq!(canonical(&r, &s)?.boundary(), [(0.5, 0.40)]);
/// assert_eq!(optimised(&r, &s, 4, &RngStream::new(1, 0))?.boundary(), [(0.5, 0.48)]);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn optimised(
    importances: &[f64],
    densities: &[f64],
    starts: u64,
    stream: &RngStream,
) -> Result<PhaseDiagram, SuperpositionError> {
    fill(importances, densities, |i, model| {
        let best = model.optimum(starts, &mut stream.child(i as u64))?;
        Ok((best.w, best.loss))
    })
}

/// How models are trained for a diagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainedConfig {
    /// Models of each cell; the one of lowest exact loss counts.
    pub models: usize,
    /// Samples a step.
    pub batch: usize,
    /// Steps of Adam.
    pub steps: u64,
    /// The rate at the start; it falls along half a cosine.
    pub learning_rate: f64,
}

impl Default for TrainedConfig {
    /// Four models a cell, 2,000 steps of 256 samples.
    fn default() -> Self {
        Self { models: 4, batch: 256, steps: 2000, learning_rate: 1e-2 }
    }
}

/// The diagram of trained models; losses are exact, at the trained parameters.
///
/// # Errors
/// As [`canonical`]; from [`Fleet`] for settings out of range.
///
/// # Determinism
/// Every importance has a fleet of its own with the stream `stream.child(i)`.
pub fn trained(
    importances: &[f64],
    densities: &[f64],
    config: TrainedConfig,
    stream: &RngStream,
) -> Result<PhaseDiagram, SuperpositionError> {
    require(config.models > 0, "models", 0.0, "at least 1")?;
    let column = |i: usize| -> Result<Vec<[f64; 4]>, SuperpositionError> {
        let settings = FleetConfig {
            importance: vec![1.0, importances[i]],
            batch: config.batch,
            schedule: ScheduleConfig {
                peak: config.learning_rate,
                total_steps: config.steps,
                warm_up: WarmUp::None,
                decay: Decay::Cosine { to: 0.0 },
            },
            ..FleetConfig::new(2, 1)
        };
        let mut fleet = Fleet::new(settings, &stream.child(i as u64))?;
        for &density in densities {
            let source = Arc::new(SparseFeatures::uniform(2, density)?);
            for _ in 0..config.models {
                fleet.launch(source.clone())?;
            }
        }
        fleet.run(config.steps)?;
        Ok(fleet.models().iter().map(|m| [m.w[[0, 0]], m.w[[0, 1]], m.b[0], m.b[1]]).collect())
    };
    let columns: Vec<Vec<[f64; 4]>> = (0..importances.len()).map(column).collect::<Result<_, _>>()?;
    fill(importances, densities, |cell, model| {
        let (row, column) = (cell / importances.len(), cell % importances.len());
        let mut best = ([0.0; 2], f64::INFINITY);
        for point in &columns[column][row * config.models..(row + 1) * config.models] {
            let loss = model.loss_and_gradient(point, &mut [0.0; 4])?;
            if loss < best.1 {
                best = ([point[0], point[1]], loss);
            }
        }
        Ok(best)
    })
}
