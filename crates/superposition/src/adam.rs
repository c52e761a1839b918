//! Training on fresh samples with Adam, the rate falling along half a cosine.

use crate::error::{SuperpositionError, require};
use collimate_grad::{Adam, AdamConfig, Decay, Optimiser, Schedule, ScheduleConfig, WarmUp};

/// Moves a point by `steps` updates; `gradient` adds the gradient at a point to zeros.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] for a rate that is not positive and finite, [`SuperpositionError::Diverged`]
/// with the step at which the gradient stopped being finite.
pub(crate) fn train(
    point: &mut [f64],
    steps: u64,
    learning_rate: f64,
    mut gradient: impl FnMut(&[f64], &mut [f64]),
) -> Result<(), SuperpositionError> {
    let allowed = learning_rate > 0.0 && learning_rate.is_finite();
    require(allowed, "learning_rate", learning_rate, "positive and finite")?;
    let schedule = Schedule::new(ScheduleConfig {
        peak: learning_rate,
        total_steps: steps.max(1),
        warm_up: WarmUp::None,
        decay: Decay::Cosine { to: 0.0 },
    })
    .expect("the rate was checked above");
    let mut adam = Adam::<f64>::new(point.len(), AdamConfig::default()).expect("the defaults are valid");
    let mut sums = vec![0.0; point.len()];
    for step in 0..steps {
        sums.fill(0.0);
        gradient(point, &mut sums);
        adam.step(schedule.rate(step), &sums, point)
            .map_err(|error| SuperpositionError::diverged(step + 1, &error))?;
    }
    Ok(())
}
