use crate::error::GradError;
use collimate_measure::ensure;
use std::f64::consts::PI;

/// The rise of the learning rate at the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WarmUp {
    /// No rise: the full rate from the first step.
    None,
    /// A linear rise: the factor `from + (1 − from)·(t + 1)/steps` at step `t < steps`.
    Linear {
        /// The number of steps.
        steps: u64,
        /// The factor on the peak before the first step.
        from: f64,
    },
    /// A half cosine: the factor `from + (1 − from)·½(1 − cos(π(t + 1)/steps))` at step `t < steps`.
    Cosine {
        /// The number of steps.
        steps: u64,
        /// The factor on the peak before the first step.
        from: f64,
    },
}

/// The fall of the learning rate towards the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay {
    /// No fall.
    None,
    /// A linear fall from the peak to `to` times the peak, over the last `share` of all steps.
    LinearOverLast {
        /// The fraction of all steps, in (0, 1]; 0.2 is the last fifth.
        share: f64,
        /// The factor on the peak at the last step.
        to: f64,
    },
    /// A half cosine from the end of the warm-up to the last step.
    Cosine {
        /// The factor on the peak at the last step.
        to: f64,
    },
}

/// The configuration of a [`Schedule`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScheduleConfig {
    /// The highest learning rate.
    pub peak: f64,
    /// The number of steps of the run. Only the decay uses it.
    pub total_steps: u64,
    /// The rise at the start.
    pub warm_up: WarmUp,
    /// The fall at the end.
    pub decay: Decay,
}

/// The learning rate of each step: a warm-up times a decay.
///
/// Steps count from 0. The last step of a warm-up has the full rate, and its first step has a positive rate. (In libraries that
/// compute `t/steps`, the first step has rate 0.) The last step of a run, `total_steps − 1`, has the lowest rate of the decay.
/// After it the rate stays at that value.
///
/// # Examples
/// ```
/// use collimate_grad::{Decay, Schedule, ScheduleConfig, WarmUp};
/// let schedule = Schedule::new(ScheduleConfig {
///     peak: 1.0,
///     total_steps: 100,
///     warm_up: WarmUp::Linear { steps: 10, from: 0.0 },
///     decay: Decay::LinearOverLast { share: 0.2, to: 0.0 },
/// })?;
/// assert_eq!((schedule.rate(0), schedule.rate(9), schedule.rate(50)), (0.1, 1.0, 1.0));
/// assert_eq!((schedule.rate(79), schedule.rate(89), schedule.rate(99)), (1.0, 0.5, 0.0));
/// # Ok::<(), collimate_grad::GradError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    config: ScheduleConfig,
}

impl Schedule {
    /// Returns a schedule.
    ///
    /// # Errors
    /// [`GradError::OutOfRange`] for a peak that is not positive and finite, for a factor or fraction outside its range, and for a
    /// warm-up without steps or, with a decay, with more than `total_steps`.
    pub fn new(config: ScheduleConfig) -> Result<Self, GradError> {
        let share = |argument, value: f64| ensure((0.0..=1.0).contains(&value), argument, "in [0, 1]", value);
        ensure(config.peak > 0.0 && config.peak.is_finite(), "peak", "positive and finite", config.peak)?;
        if let WarmUp::Linear { steps, from } | WarmUp::Cosine { steps, from } = config.warm_up {
            share("warm_up.from", from)?;
            let longest = if config.decay == Decay::None { u64::MAX } else { config.total_steps };
            let allowed = "at least 1 and, with a decay, at most total_steps";
            ensure((1..=longest).contains(&steps), "warm_up.steps", allowed, steps as f64)?;
        }
        if config.decay != Decay::None {
            ensure(config.total_steps > 0, "total_steps", "at least 1 with a decay", 0.0)?;
        }
        match config.decay {
            Decay::None => {}
            Decay::LinearOverLast { share: last, to } => {
                share("decay.to", to)?;
                ensure(last > 0.0 && last <= 1.0, "decay.share", "in (0, 1]", last)?;
            }
            Decay::Cosine { to } => share("decay.to", to)?,
        }
        Ok(Self { config })
    }

    /// Returns a schedule with a constant rate.
    ///
    /// # Errors
    /// [`GradError::OutOfRange`] unless the rate is positive and finite.
    pub fn constant(rate: f64) -> Result<Self, GradError> {
        Self::new(ScheduleConfig { peak: rate, total_steps: 0, warm_up: WarmUp::None, decay: Decay::None })
    }

    /// Returns the configuration.
    pub fn config(&self) -> &ScheduleConfig {
        &self.config
    }

    /// Returns the learning rate of step `step`; the first step is 0.
    pub fn rate(&self, step: u64) -> f64 {
        self.config.peak * self.warm_up(step) * self.decay(step)
    }

    fn warm_up(&self, step: u64) -> f64 {
        let (steps, from, cosine) = match self.config.warm_up {
            WarmUp::None => return 1.0,
            WarmUp::Linear { steps, from } => (steps, from, false),
            WarmUp::Cosine { steps, from } => (steps, from, true),
        };
        if step.saturating_add(1) >= steps {
            return 1.0;
        }
        let done = (step + 1) as f64 / steps as f64;
        let risen = if cosine { 0.5 * (1.0 - (PI * done).cos()) } else { done };
        from + (1.0 - from) * risen
    }

    fn decay(&self, step: u64) -> f64 {
        let total = self.config.total_steps as f64;
        // The finished fraction of the decay: in (0, 1], and 1 at the last step.
        let done = |start: f64| ((step as f64 + 1.0 - start) / (total - start)).clamp(0.0, 1.0);
        match self.config.decay {
            Decay::None => 1.0,
            Decay::LinearOverLast { share, to } => {
                let done = done((total * (1.0 - share)).round().min(total - 1.0));
                1.0 - (1.0 - to) * done
            }
            Decay::Cosine { to } => {
                let start = match self.config.warm_up {
                    WarmUp::None => 0.0,
                    WarmUp::Linear { steps, .. } | WarmUp::Cosine { steps, .. } => steps as f64,
                };
                let done = if start >= total { 0.0 } else { done(start) };
                to + (1.0 - to) * 0.5 * (1.0 + (PI * done).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    fn schedule(warm_up: WarmUp, decay: Decay) -> Schedule {
        Schedule::new(ScheduleConfig { peak: 2.0, total_steps: 100, warm_up, decay }).unwrap()
    }

    #[test]
    fn a_warm_up_with_cosine_reaches_the_peak_once_and_ends_at_its_floor() {
        let s = schedule(WarmUp::Linear { steps: 20, from: 0.0 }, Decay::Cosine { to: 0.1 });
        assert_eq!(s.rate(19), 2.0);
        assert_abs_diff_eq!(s.rate(59), 2.0 * 0.55, epsilon = 1e-12); // half-way: the mean of peak and floor
        assert_abs_diff_eq!(s.rate(99), 0.2, epsilon = 1e-12);
        assert_eq!(s.rate(99), s.rate(10_000));
        assert!((0..19).all(|t| s.rate(t) < s.rate(t + 1)));
        assert!((19..99).all(|t| s.rate(t) > s.rate(t + 1)));
    }

    #[test]
    fn a_cosine_warm_up_starts_above_its_first_factor() {
        let s = schedule(WarmUp::Cosine { steps: 10, from: 0.1 }, Decay::None);
        let first = 0.1 + 0.9 * 0.5 * (1.0 - (PI / 10.0).cos());
        assert_abs_diff_eq!(s.rate(0), 2.0 * first, epsilon = 1e-12);
        assert_eq!(s.rate(9), 2.0);
    }

    #[test]
    fn settings_out_of_range_are_named_in_the_error() {
        let bad = |c: ScheduleConfig| Schedule::new(c).unwrap_err().to_string();
        let good = ScheduleConfig { peak: 1.0, total_steps: 10, warm_up: WarmUp::None, decay: Decay::None };
        assert_eq!(
            bad(ScheduleConfig { peak: f64::NAN, ..good }),
            "peak must be positive and finite, but is NaN"
        );
        let decay = Decay::LinearOverLast { share: 1.5, to: 0.0 };
        assert_eq!(bad(ScheduleConfig { decay, ..good }), "decay.share must be in (0, 1], but is 1.5");
        let warm_up = WarmUp::Linear { steps: 11, from: 0.0 };
        assert!(
            bad(ScheduleConfig { warm_up, decay: Decay::Cosine { to: 0.0 }, ..good }).ends_with("but is 11")
        );
    }
}
