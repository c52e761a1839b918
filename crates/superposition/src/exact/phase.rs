//! The phase diagram of two features in one dimension, in three forms: by comparing candidates, at the optimum, and for
//! trained models.

use super::two_features::TwoFeatures;
use crate::data::SparseFeatures;
use crate::ensemble::{Ensemble, EnsembleConfig};
use crate::error::SuperpositionError;
use collimate_grad::{Decay, ScheduleConfig, WarmUp};
use collimate_measure::ensure;
use collimate_stream::RngStream;
use ndarray::Array2;
use rayon::prelude::*;
use std::sync::Arc;

/// The representation of the second feature, in the terms of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PhaseRegion {
    /// The first feature has the dimension: `[1, 0]`.
    NotRepresented,
    /// The second feature has the dimension: `[0, 1]`.
    Dedicated,
    /// Both are represented, with opposite signs: `[1, −1]`.
    Antipodal,
    /// Both are represented with one sign, so that each adds to the other.
    SideBySide,
    /// Neither is represented: both weights are below [`PhaseRegion::ABSENT`].
    Neither,
}

impl PhaseRegion {
    /// The sharing beyond which two features count as superposed.
    pub const SUPERPOSED: f64 = 0.1;

    /// The size of a weight below which it represents no feature.
    pub const ABSENT: f64 = 0.1;

    /// All regions.
    pub const ALL: [Self; 5] =
        [Self::NotRepresented, Self::Dedicated, Self::Antipodal, Self::SideBySide, Self::Neither];

    /// Returns the region of two weights. Both features count as represented if the sharing is beyond
    /// ±[`PhaseRegion::SUPERPOSED`].
    ///
    /// # Examples
    /// ```
    /// use collimate_superposition::PhaseRegion;
    /// assert_eq!(PhaseRegion::of([1.0, -0.8]), PhaseRegion::Antipodal);
    /// assert_eq!(PhaseRegion::of([0.02, -1.0]), PhaseRegion::Dedicated);
    /// ```
    pub fn of(w: [f64; 2]) -> Self {
        let shared = sharing(w);
        if w[0].abs().max(w[1].abs()) < Self::ABSENT {
            Self::Neither
        } else if shared > Self::SUPERPOSED {
            Self::Antipodal
        } else if shared < -Self::SUPERPOSED {
            Self::SideBySide
        } else if w[0].abs() >= w[1].abs() {
            Self::NotRepresented
        } else {
            Self::Dedicated
        }
    }

    /// Returns the name for figures. It describes the second feature.
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

/// The extent to which two features share one dimension, over importances and densities.
///
/// ```text
/// s = −2 w₁ w₂ / (w₁² + w₂²)      1: opposite and equally long; 0: one of them is alone; negative: they add up
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseDiagram {
    /// The importances of the second feature, one per column.
    pub importances: Vec<f64>,
    /// The densities, one per row.
    pub densities: Vec<f64>,
    /// The sharing `s`, `[densities, importances]`.
    pub sharing: Array2<f64>,
    /// The region of each cell, `[densities, importances]`.
    pub region: Array2<PhaseRegion>,
    /// The loss, `[densities, importances]`.
    pub loss: Array2<f64>,
}

impl PhaseDiagram {
    /// Lists for each importance the largest density at which the features share the dimension. Importances without such a density
    /// are left out.
    pub fn boundary(&self) -> Vec<(f64, f64)> {
        let highest = |column: usize| {
            let shared = |row: &usize| self.region[[*row, column]] == PhaseRegion::Antipodal;
            let rows = (0..self.densities.len()).filter(shared);
            rows.map(|row| self.densities[row])
                .fold(None, |m: Option<f64>, d| Some(m.map_or(d, |m| m.max(d))))
        };
        (0..self.importances.len()).filter_map(|i| Some((self.importances[i], highest(i)?))).collect()
    }
}

/// Returns `count` numbers from `low` to `high`, evenly spaced in their logarithm.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] for no number or an end that is not positive and finite.
pub fn logarithmic_range(low: f64, high: f64, count: usize) -> Result<Vec<f64>, SuperpositionError> {
    ensure(count > 0, "count", "at least 1", 0.0)?;
    for end in [low, high] {
        ensure(end > 0.0 && end.is_finite(), "an end of the range", "positive and finite", end)?;
    }
    let place = |i: usize| i as f64 / (count - 1).max(1) as f64;
    Ok((0..count).map(|i| low * (high / low).powf(place(i))).collect())
}

fn sharing(w: [f64; 2]) -> f64 {
    let length = w[0] * w[0] + w[1] * w[1];
    if length == 0.0 { 0.0 } else { -2.0 * w[0] * w[1] / length }
}

/// Computes the weights and the loss of every cell, on all threads.
fn fill(
    importances: &[f64],
    densities: &[f64],
    cell: &(dyn Fn(usize, TwoFeatures) -> Result<([f64; 2], f64), SuperpositionError> + Sync),
) -> Result<PhaseDiagram, SuperpositionError> {
    let columns = importances.len();
    let one = |i: usize| cell(i, TwoFeatures::new(densities[i / columns], importances[i % columns])?);
    let all: Vec<Result<([f64; 2], f64), SuperpositionError>> =
        (0..columns * densities.len()).into_par_iter().map(one).collect();
    // The first error by number is returned, on any number of threads.
    let cells = all.into_iter().collect::<Result<Vec<_>, _>>()?;
    let shape = (densities.len(), columns);
    let at = |(row, column): (usize, usize)| cells[row * columns + column];
    Ok(PhaseDiagram {
        importances: importances.to_vec(),
        densities: densities.to_vec(),
        sharing: Array2::from_shape_fn(shape, |cell| sharing(at(cell).0)),
        region: Array2::from_shape_fn(shape, |cell| PhaseRegion::of(at(cell).0)),
        loss: Array2::from_shape_fn(shape, |cell| at(cell).1),
    })
}

/// Computes the diagram of the natural candidates: one feature ignored, or both as `[1, −1]` without bias.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] for an importance or a density out of range.
pub fn canonical_diagram(importances: &[f64], densities: &[f64]) -> Result<PhaseDiagram, SuperpositionError> {
    fill(importances, densities, &|_, model| {
        let candidates = [
            ([1.0, 0.0], model.ignore_last()),
            ([0.0, 1.0], model.ignore_first()),
            ([1.0, -1.0], model.superpose_last()),
        ];
        // The first of equal candidates is kept.
        Ok(candidates.into_iter().fold(candidates[0], |best, one| if one.1 < best.1 { one } else { best }))
    })
}

/// Computes the diagram of the optimum over all four parameters. Every cell has a gradient of at most 1e-8.
///
/// # Errors
/// The errors of [`canonical_diagram`], and [`SuperpositionError::NotConverged`] if no descent of a cell converged.
///
/// # Determinism
/// Cell `i` draws its random starts from `stream.child(i)`.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::{canonical_diagram, optimised_diagram};
/// // At importance one half superposition ends at a density of 0.444 for the candidates, and at 0.4845 for the optimum.
/// let (r, s) = ([0.5], [0.40, 0.46, 0.48, 0.50]);
/// assert_eq!(canonical_diagram(&r, &s)?.boundary(), [(0.5, 0.40)]);
/// assert_eq!(optimised_diagram(&r, &s, 4, &RngStream::new(1, 0))?.boundary(), [(0.5, 0.48)]);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn optimised_diagram(
    importances: &[f64],
    densities: &[f64],
    starts: u64,
    stream: &RngStream,
) -> Result<PhaseDiagram, SuperpositionError> {
    fill(importances, densities, &|i, model| {
        let best = model.optimum(starts, &mut stream.child(i as u64))?;
        Ok((best.w, best.loss))
    })
}

/// The training of the models of a diagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainedDiagramConfig {
    /// The number of models of each cell. The model of lowest exact loss is kept.
    pub models: usize,
    /// The number of samples per step.
    pub batch: usize,
    /// The number of steps of Adam.
    pub steps: u64,
    /// The learning rate at the start. It falls along half a cosine.
    pub learning_rate: f64,
}

impl Default for TrainedDiagramConfig {
    /// Returns four models per cell and 2,000 steps of 256 samples.
    fn default() -> Self {
        Self { models: 4, batch: 256, steps: 2000, learning_rate: 1e-2 }
    }
}

/// Trains models for every cell and computes their diagram. The losses are exact at the trained parameters.
///
/// # Errors
/// The errors of [`canonical_diagram`], and those of [`Ensemble`] for settings out of range.
///
/// # Determinism
/// Importance `i` has its own ensemble with the stream `stream.child(i)`.
pub fn trained_diagram(
    importances: &[f64],
    densities: &[f64],
    config: TrainedDiagramConfig,
    stream: &RngStream,
) -> Result<PhaseDiagram, SuperpositionError> {
    ensure(config.models > 0, "models", "at least 1", 0.0)?;
    let column = |i: usize| -> Result<Vec<[f64; 4]>, SuperpositionError> {
        let settings = EnsembleConfig {
            importance: vec![1.0, importances[i]],
            batch: config.batch,
            schedule: ScheduleConfig {
                peak: config.learning_rate,
                total_steps: config.steps,
                warm_up: WarmUp::None,
                decay: Decay::Cosine { to: 0.0 },
            },
            ..EnsembleConfig::new(2, 1)
        };
        let mut ensemble = Ensemble::new(settings, &stream.child(i as u64))?;
        for &density in densities {
            let source = Arc::new(SparseFeatures::uniform(2, density)?);
            for _ in 0..config.models {
                ensemble.add(source.clone())?;
            }
        }
        ensemble.run(config.steps)?;
        Ok(ensemble.models().iter().map(|m| [m.w[[0, 0]], m.w[[0, 1]], m.b[0], m.b[1]]).collect())
    };
    let columns: Vec<Vec<[f64; 4]>> = (0..importances.len()).map(column).collect::<Result<_, _>>()?;
    fill(importances, densities, &|cell, model| {
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
