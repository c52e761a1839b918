//! Training with Adam at a learning rate that falls along half a cosine.

use crate::error::SuperpositionError;
use collimate_grad::{Adam, AdamConfig, Decay, Optimiser, Schedule, ScheduleConfig, WarmUp};
use collimate_measure::ensure;

/// Moves a point by `steps` updates. `gradient` adds the gradient at a point to a slice of zeros.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] for a rate that is not positive and finite, [`SuperpositionError::Diverged`]
/// with the step whose gradient is not finite.
pub(crate) fn train(
    point: &mut [f64],
    steps: u64,
    learning_rate: f64,
    mut gradient: impl FnMut(&[f64], &mut [f64]),
) -> Result<(), SuperpositionError> {
    let allowed = learning_rate > 0.0 && learning_rate.is_finite();
    ensure(allowed, "learning_rate", "positive and finite", learning_rate)?;
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
