//! The staircase: during training on one active feature in two dimensions the loss stays near one constant level for a long
//! time, then falls to the next. Each level is the loss of a regular polygon.

use super::one_active::OneActive;
use super::polygons::{CriticalPolygon, UnusedFeatures};
use crate::error::SuperpositionError;
use collimate_measure::ensure;

/// A level of the staircase: the loss of a polygon in which some unused features have a positive bias.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StaircaseLevel {
    /// The number of corners of the polygon.
    pub corners: usize,
    /// The number of other features with the positive bias that is best without a direction.
    pub on: usize,
    /// The exact loss.
    pub loss: f64,
}

impl StaircaseLevel {
    /// Returns the name for figures: `pentagon`, or `pentagon +1` if one unused feature has a positive bias.
    pub fn name(&self) -> String {
        let polygon = match self.corners {
            3 => "triangle",
            4 => "square",
            5 => "pentagon",
            6 => "hexagon",
            7 => "heptagon",
            _ => "octagon",
        };
        if self.on > 0 { format!("{polygon} +{}", self.on) } else { polygon.to_owned() }
    }
}

/// Lists all levels of `features` features in two dimensions, from the highest loss to the lowest.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] unless there are 3 to 8 features.
///
/// # Examples
/// ```
/// use collimate_superposition::{nearest_level, staircase_levels};
/// let levels = staircase_levels(6)?;
/// let lowest = levels.last().unwrap();
/// assert!(lowest.name() == "hexagon" && (lowest.loss - 0.04819).abs() < 1e-5);
/// assert_eq!(nearest_level(&levels, 0.0619, 2e-4).map(|level| level.name()), Some("pentagon +1".to_owned()));
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// Z. Chen et al. (2023), arXiv 2310.06301.
pub fn staircase_levels(features: usize) -> Result<Vec<StaircaseLevel>, SuperpositionError> {
    ensure((3..=8).contains(&features), "features", "3 to 8", features as f64)?;
    let mut levels = Vec::new();
    for corners in 3..=features {
        let polygon = CriticalPolygon::new(corners)?;
        for on in 0..=features - corners {
            levels.push(StaircaseLevel { corners, on, loss: polygon.loss(features, UnusedFeatures { on })? });
        }
    }
    levels.sort_by(|a, b| b.loss.total_cmp(&a.loss));
    Ok(levels)
}

/// Returns the level nearest to a loss, if a level lies within `tolerance`.
pub fn nearest_level(levels: &[StaircaseLevel], loss: f64, tolerance: f64) -> Option<StaircaseLevel> {
    let near = levels.iter().filter(|level| (level.loss - loss).abs() <= tolerance);
    near.min_by(|a, b| (a.loss - loss).abs().total_cmp(&(b.loss - loss).abs())).copied()
}

/// Runs plain gradient descent on the exact loss and returns the last point.
///
/// `watch` is called with the number of steps taken and the loss, before each step and after the last one.
///
/// # Errors
/// [`SuperpositionError::Shape`] and [`SuperpositionError::NotFinite`] for a bad start, [`SuperpositionError::OutOfRange`] for a rate
/// that is not positive and finite, [`SuperpositionError::Diverged`] if the loss becomes NaN or infinite because the rate is too large.
///
/// # Determinism
/// There is no randomness.
pub fn gradient_descent(
    model: &OneActive,
    start: &[f64],
    rate: f64,
    steps: u64,
    mut watch: impl FnMut(u64, f64),
) -> Result<Vec<f64>, SuperpositionError> {
    ensure(rate > 0.0 && rate.is_finite(), "rate", "positive and finite", rate)?;
    let mut point = start.to_vec();
    let mut gradient = vec![0.0; point.len()];
    let mut loss = model.loss_and_gradient(&point, &mut gradient)?;
    for step in 0..steps {
        watch(step, loss);
        point.iter_mut().zip(&gradient).for_each(|(w, g)| *w -= rate * g);
        loss = model.value_and_gradient(&point, &mut gradient);
        if !loss.is_finite() {
            return Err(SuperpositionError::Diverged { step: step + 1, quantity: "the loss", value: loss });
        }
    }
    watch(steps, loss);
    Ok(point)
}

#[cfg(test)]
mod tests {
    use super::*;
    use collimate_stream::RngStream;

    #[test]
    fn small_steps_descend_to_a_level_and_large_steps_are_an_error() {
        let (model, levels) = (OneActive::new(2, 5).unwrap(), staircase_levels(5).unwrap());
        assert_eq!(levels.len(), 3 + 2 + 1);
        assert!(levels.windows(2).all(|pair| pair[0].loss >= pair[1].loss));
        let mut named = 0;
        for seed in 0..4 {
            let start = model.draw(0.3, 0.0, &mut RngStream::new(seed, 0));
            let mut losses = Vec::new();
            let end = gradient_descent(&model, &start, 0.2, 4000, |_, loss| losses.push(loss)).unwrap();
            assert_eq!((losses.len(), model.loss(&end).unwrap()), (4001, losses[4000]));
            assert!(losses.windows(2).all(|pair| pair[1] <= pair[0] + 1e-12));
            named += usize::from(nearest_level(&levels, losses[4000], 2e-4).is_some());
        }
        assert!(named >= 3, "{named} of 4");
        let start = model.draw(1.0, 0.0, &mut RngStream::new(1, 0));
        assert!(gradient_descent(&model, &start, f64::NAN, 1, |_, _| ()).is_err());
        let far = gradient_descent(&model, &start, 1e200, 5, |_, _| ());
        assert!(matches!(far, Err(SuperpositionError::Diverged { step: 1, .. })), "{far:?}");
        assert!(staircase_levels(2).is_err() && staircase_levels(9).is_err());
    }
}
