//! Training on one active feature in two dimensions: the loss comes to rest at levels, and each level is a regular polygon.

use crate::error::{SuperpositionError, require};
use crate::gons::{Gon, Spare};
use crate::one_active::OneActive;

/// A loss at which training may rest: a polygon, with some of the spare features' biases on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// The corners of the polygon.
    pub corners: usize,
    /// How many of the other features have the positive bias that is best without a direction.
    pub on: usize,
    /// The loss, exact.
    pub loss: f64,
}

impl Level {
    /// The name for figures: `pentagon`, and `pentagon +1` with one spare bias on.
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

/// All levels of `features` features in two dimensions, from the highest loss to the lowest.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] unless there are 3 to 8 features.
///
/// # Examples
/// ```
/// use collimate_superposition::staircase::{level_of, levels};
/// let levels = levels(6)?;
/// let lowest = levels.last().unwrap();
/// assert!(lowest.name() == "hexagon" && (lowest.loss - 0.04819).abs() < 1e-5);
/// assert_eq!(level_of(&levels, 0.0619, 2e-4).map(|level| level.name()), Some("pentagon +1".to_owned()));
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// Z. Chen et al. (2023), arXiv 2310.06301.
pub fn levels(features: usize) -> Result<Vec<Level>, SuperpositionError> {
    require((3..=8).contains(&features), "features", features as f64, "3 to 8")?;
    let mut levels = Vec::new();
    for corners in 3..=features {
        let gon = Gon::critical(corners)?;
        for on in 0..=features - corners {
            levels.push(Level { corners, on, loss: gon.loss(features, Spare { on })? });
        }
    }
    levels.sort_by(|a, b| b.loss.total_cmp(&a.loss));
    Ok(levels)
}

/// The level nearest to a loss, if any lies within `tolerance`.
pub fn level_of(levels: &[Level], loss: f64, tolerance: f64) -> Option<Level> {
    let near = levels.iter().filter(|level| (level.loss - loss).abs() <= tolerance);
    near.min_by(|a, b| (a.loss - loss).abs().total_cmp(&(b.loss - loss).abs())).copied()
}

/// Plain gradient descent on the exact loss, the continuous-time course of training; returns the last point.
///
/// `watch` hears the loss before each step, and after the last one.
///
/// # Errors
/// [`SuperpositionError::Shape`] and [`SuperpositionError::NotFinite`] for a bad start, [`SuperpositionError::OutOfRange`] for a rate
/// that is not positive and finite, [`SuperpositionError::Diverged`] when so large a rate makes the point leave all bounds.
///
/// # Determinism
/// No randomness.
pub fn walk(
    model: &OneActive,
    start: &[f64],
    rate: f64,
    steps: u64,
    mut watch: impl FnMut(u64, f64),
) -> Result<Vec<f64>, SuperpositionError> {
    require(rate > 0.0 && rate.is_finite(), "rate", rate, "positive and finite")?;
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
    fn small_steps_descend_to_a_named_level_and_large_ones_are_refused() {
        let (model, levels) = (OneActive::new(2, 5).unwrap(), levels(5).unwrap());
        assert_eq!(levels.len(), 3 + 2 + 1);
        assert!(levels.windows(2).all(|pair| pair[0].loss >= pair[1].loss));
        let mut named = 0;
        for seed in 0..4 {
            let start = model.draw(0.3, 0.0, &mut RngStream::new(seed, 0));
            let mut losses = Vec::new();
            let end = walk(&model, &start, 0.2, 4000, |_, loss| losses.push(loss)).unwrap();
            assert_eq!((losses.len(), model.loss(&end).unwrap()), (4001, losses[4000]));
            assert!(losses.windows(2).all(|pair| pair[1] <= pair[0] + 1e-12));
            named += usize::from(level_of(&levels, losses[4000], 2e-4).is_some());
        }
        assert!(named >= 3, "{named} of 4");
        let start = model.draw(1.0, 0.0, &mut RngStream::new(1, 0));
        assert!(walk(&model, &start, f64::NAN, 1, |_, _| ()).is_err());
        let far = walk(&model, &start, 1e200, 5, |_, _| ());
        assert!(matches!(far, Err(SuperpositionError::Diverged { step: 1, .. })), "{far:?}");
        assert!(super::levels(2).is_err() && super::levels(9).is_err());
    }
}
