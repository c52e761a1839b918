use crate::GradError;
use std::f64::consts::PI;

/// How the learning rate rises at the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WarmUp {
    /// The full rate from the first step.
    None,
    /// `from + (1 − from)·(t + 1)/steps` of the peak at step `t < steps`.
    Linear {
        /// How many steps it takes.
        steps: u64,
        /// The share of the peak it starts from.
        from: f64,
    },
    /// `from + (1 − from)·½(1 − cos(π(t + 1)/steps))` of the peak.
    Cosine {
        /// How many steps it takes.
        steps: u64,
        /// The share of the peak it starts from.
        from: f64,
    },
}

/// How the learning rate falls towards the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay {
    /// It does not fall.
    None,
    /// Linear from the peak to `to` times the peak over the last `share` of all steps.
    LinearOverLast {
        /// The share of the total, in `(0, 1]`; 0.2 is the last fifth.
        share: f64,
        /// The share of the peak at the last step.
        to: f64,
    },
    /// Half a cosine from the end of the warm-up to the last step.
    Cosine {
        /// The share of the peak at the last step.
        to: f64,
    },
}

/// The parts of a [`Schedule`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScheduleConfig {
    /// The highest learning rate.
    pub peak: f64,
    /// How many steps the run has; only the decay reads it.
    pub total_steps: u64,
    /// The start.
    pub warm_up: WarmUp,
    /// The end.
    pub decay: Decay,
}

/// The learning rate of each step: a warm-up times a decay.
///
/// Steps count from 0. The last step of a warm-up already has the full rate and its first step is never 0
/// (libraries that compute `t/steps` waste their first step); the last step of a run, `total_steps − 1`, has the
/// lowest rate of its decay. Beyond the end the rate stays at that value.
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
    /// A schedule from its parts.
    ///
    /// # Errors
    /// [`GradError::Config`] for a peak that is not positive and finite, shares outside their ranges, or a warm-up
    /// of no steps or one that leaves no steps for a decay.
    pub fn new(config: ScheduleConfig) -> Result<Self, GradError> {
        let share = |name, value: f64| {
            if (0.0..=1.0).contains(&value) {
                Ok(())
            } else {
                Err(GradError::Config { name, value, expected: "a share in [0, 1]" })
            }
        };
        if !(config.peak > 0.0 && config.peak.is_finite()) {
            return Err(GradError::Config {
                name: "peak",
                value: config.peak,
                expected: "positive and finite",
            });
        }
        if let WarmUp::Linear { steps, from } | WarmUp::Cosine { steps, from } = config.warm_up {
            share("warm_up.from", from)?;
            let longest = if config.decay == Decay::None { u64::MAX } else { config.total_steps };
            if steps == 0 || steps > longest {
                return Err(GradError::Config {
                    name: "warm_up.steps",
                    value: steps as f64,
                    expected: "at least 1 and, with a decay, at most total_steps",
                });
            }
        }
        if config.decay != Decay::None && config.total_steps == 0 {
            return Err(GradError::Config {
                name: "total_steps",
                value: 0.0,
                expected: "at least 1 with a decay",
            });
        }
        match config.decay {
            Decay::None => {}
            Decay::LinearOverLast { share: last, to } => {
                share("decay.to", to)?;
                share("decay.share", last)?;
                if last == 0.0 {
                    return Err(GradError::Config { name: "decay.share", value: 0.0, expected: "above 0" });
                }
            }
            Decay::Cosine { to } => share("decay.to", to)?,
        }
        Ok(Self { config })
    }

    /// The same rate at every step.
    ///
    /// # Errors
    /// [`GradError::Config`] unless the rate is positive and finite.
    pub fn constant(rate: f64) -> Result<Self, GradError> {
        Self::new(ScheduleConfig { peak: rate, total_steps: 0, warm_up: WarmUp::None, decay: Decay::None })
    }

    /// The parts it was made from.
    pub fn config(&self) -> &ScheduleConfig {
        &self.config
    }

    /// The learning rate of step `step`, the first being 0.
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
        // `done` runs over (0, 1] in the decaying part: its last step has 1.
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

    fn schedule(warm_up: WarmUp, decay: Decay) -> Schedule {
        Schedule::new(ScheduleConfig { peak: 2.0, total_steps: 100, warm_up, decay }).unwrap()
    }

    #[test]
    fn a_warm_up_with_cosine_reaches_the_peak_once_and_ends_at_its_floor() {
        let s = schedule(WarmUp::Linear { steps: 20, from: 0.0 }, Decay::Cosine { to: 0.1 });
        assert_eq!(s.rate(19), 2.0);
        assert!((s.rate(59) - 2.0 * 0.55).abs() < 1e-12); // half-way: the mean of peak and floor
        assert!((s.rate(99) - 0.2).abs() < 1e-12);
        assert_eq!(s.rate(99), s.rate(10_000));
        assert!((0..19).all(|t| s.rate(t) < s.rate(t + 1)));
        assert!((19..99).all(|t| s.rate(t) > s.rate(t + 1)));
    }

    #[test]
    fn a_cosine_warm_up_starts_above_its_share() {
        let s = schedule(WarmUp::Cosine { steps: 10, from: 0.1 }, Decay::None);
        let first = 0.1 + 0.9 * 0.5 * (1.0 - (PI / 10.0).cos());
        assert!((s.rate(0) - 2.0 * first).abs() < 1e-12);
        assert_eq!(s.rate(9), 2.0);
    }

    #[test]
    fn senseless_parts_are_named() {
        let bad = |c: ScheduleConfig| Schedule::new(c).unwrap_err().to_string();
        let good = ScheduleConfig { peak: 1.0, total_steps: 10, warm_up: WarmUp::None, decay: Decay::None };
        assert_eq!(bad(ScheduleConfig { peak: f64::NAN, ..good }), "peak = NaN: must be positive and finite");
        let decay = Decay::LinearOverLast { share: 1.5, to: 0.0 };
        assert_eq!(bad(ScheduleConfig { decay, ..good }), "decay.share = 1.5: must be a share in [0, 1]");
        let warm_up = WarmUp::Linear { steps: 11, from: 0.0 };
        assert!(
            bad(ScheduleConfig { warm_up, decay: Decay::Cosine { to: 0.0 }, ..good })
                .contains("warm_up.steps = 11")
        );
    }
}
