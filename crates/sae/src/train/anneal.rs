//! The numbers that a run changes while it runs: the exponent of its penalty, and λ.

use crate::SaeError;
use collimate_measure::ensure;
use std::collections::VecDeque;

/// The annealing that lowers the exponent of a [`PNorm`](crate::PNorm) penalty from its first value to `p_end`, in equal stages.
///
/// ```text
/// stages p_1 > … > p_m evenly from the first p to p_end, at m steps evenly from `start` to `end`;
/// at stage i:   λ ← λ · mean P(p_old) / mean P(p_i)      over the last `queue` batches, then p ← p_i
/// ```
/// The factor keeps the size of the penalty when its exponent changes; it needs the penalty at the next exponent, which
/// is computed only for the batches that the mean is taken over.
///
/// # References
/// Karvonen et al. (2024), section 4; the queue as in dictionary_learning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PAnneal {
    /// The step of the first stage, which keeps the first p.
    pub start: u64,
    /// The step of the last stage.
    pub end: u64,
    /// The last exponent.
    pub p_end: f64,
    /// The number of stages, at least 2.
    pub stages: u32,
    /// Over how many batches the penalties are averaged.
    pub queue: u32,
}

/// The state of an annealing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AnnealState {
    /// Stages done.
    pub(crate) stage: u32,
    /// The penalties of the last batches at this exponent and at the next.
    pub(crate) recent: VecDeque<[f64; 2]>,
    /// The factor on λ.
    pub(crate) factor: f64,
}

impl AnnealState {
    pub(crate) fn new() -> Self {
        Self { stage: 0, recent: VecDeque::new(), factor: 1.0 }
    }
}

impl PAnneal {
    pub(crate) fn check(&self) -> Result<(), SaeError> {
        ensure(self.p_end > 0.0 && self.p_end.is_finite(), "p_end", "positive and finite", self.p_end)?;
        let holds = self.stages >= 2 && self.queue > 0 && self.end > self.start;
        let allowed = "at least 2, with a queue of at least 1 and an end after the start";
        ensure(holds, "stages", allowed, f64::from(self.stages))?;
        Ok(())
    }

    /// Returns the step of stage `i`, counted from zero.
    fn step_of(&self, i: u32) -> u64 {
        self.start + (self.end - self.start) * u64::from(i) / u64::from(self.stages - 1)
    }

    /// Returns the exponent from stage `i` on.
    fn exponent(&self, first: f64, i: u32) -> f64 {
        first + (self.p_end - first) * f64::from(i) / f64::from(self.stages - 1)
    }

    /// Returns the exponent of the next stage, if this batch counts for its factor.
    pub(crate) fn next_exponent(&self, first: f64, state: &AnnealState, step: u64) -> Option<f64> {
        // The first stage keeps the exponent: nothing is averaged for it.
        (state.stage > 0
            && state.stage < self.stages
            && step + u64::from(self.queue) > self.step_of(state.stage))
        .then(|| self.exponent(first, state.stage))
    }

    /// Takes the penalties of the batch of a step; returns the exponent when a stage begins. The loss of that very
    /// step is still the old one.
    pub(crate) fn observe(
        &self,
        first: f64,
        state: &mut AnnealState,
        step: u64,
        penalties: Option<[f64; 2]>,
    ) -> Option<f64> {
        if let Some(penalties) = penalties {
            state.recent.push_back(penalties);
            while state.recent.len() > self.queue as usize {
                state.recent.pop_front();
            }
        }
        if state.stage >= self.stages || step < self.step_of(state.stage) {
            return None;
        }
        let sums = state.recent.iter().fold([0.0, 0.0], |sums, p| [sums[0] + p[0], sums[1] + p[1]]);
        if sums[1] > 0.0 {
            state.factor *= sums[0] / sums[1];
        }
        state.recent.clear();
        let exponent = self.exponent(first, state.stage);
        state.stage += 1;
        Some(exponent)
    }
}

/// The control of λ that reaches a given number of active latents.
///
/// ```text
/// after each step past the warm-up of the penalty:  log λ ← log λ + gain · clamp(L0/target − 1, −1, 1)
/// ```
/// The current factor is part of a checkpoint. Members without a penalty are not controlled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetL0 {
    /// The mean number of active latents to reach.
    pub l0: f64,
    /// The largest change of log λ in a step; 0.01 moves λ by e in a hundred steps.
    pub gain: f64,
}

impl TargetL0 {
    pub(crate) fn check(&self) -> Result<(), SaeError> {
        for (name, given) in [("target_l0.l0", self.l0), ("target_l0.gain", self.gain)] {
            ensure(given > 0.0 && given.is_finite(), name, "positive and finite", given)?;
        }
        Ok(())
    }

    /// Returns the factor on λ after a batch.
    pub(crate) fn change(&self, l0: f64) -> f64 {
        (self.gain * (l0 / self.l0 - 1.0).clamp(-1.0, 1.0)).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PNorm, Sae, Settings, Weights, Workspace};
    use ndarray::Array2;

    #[test]
    fn stages_fall_where_the_schedule_says() {
        let anneal = PAnneal { start: 2, end: 12, p_end: 0.2, stages: 4, queue: 3 };
        let mut state = AnnealState::new();
        let (mut p, mut changes) = (1.0, Vec::new());
        for step in 0..13 {
            let next = anneal.next_exponent(1.0, &state, step);
            // Halving the exponent's penalty doubles λ: the product stays.
            let penalties = next.map(|_| [8.0, 4.0]);
            if let Some(new) = anneal.observe(1.0, &mut state, step, penalties) {
                p = new;
                changes.push((step, p, state.factor));
            }
        }
        let steps: Vec<u64> = changes.iter().map(|change| change.0).collect();
        assert_eq!(steps, [2, 5, 8, 12]);
        assert!((p - 0.2).abs() < 1e-12 && (changes[1].1 - (1.0 - 0.8 / 3.0)).abs() < 1e-12);
        assert_eq!(changes.iter().map(|change| change.2).collect::<Vec<_>>(), [1.0, 2.0, 4.0, 8.0]);
    }

    #[test]
    fn the_schedule_of_dictionary_learning() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/dl_panneal_schedule.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let values = |key: &str| -> Vec<f64> {
            let data = file.tensor(key).unwrap().data();
            data.chunks(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect()
        };
        let matrix = |key: &str, shape| Array2::from_shape_vec(shape, values(key)).unwrap();
        let weights = Weights {
            w_enc: matrix("w.W_enc", (6, 20)).reversed_axes().as_standard_layout().into_owned(),
            w_dec: matrix("w.W_dec", (20, 6)),
            b_dec: values("w.b_dec").into(),
            per_latent: vec![values("w.b_enc").into()],
        };
        let anneal = PAnneal { start: 2, end: 12, p_end: 0.2, stages: 4, queue: 3 };
        let (mut state, mut p) = (AnnealState::new(), 1.0);
        let (x, trajectory) = (values("in.x"), matrix("out.trajectory", (12, 6)));
        for ((step, x), theirs) in (0_u64..).zip(x.chunks(48)).zip(trajectory.rows()) {
            let now = PNorm::power_sum(p);
            let sae = Sae::from_weights(now, weights.clone()).unwrap();
            let x = Array2::from_shape_vec((8, 6), x.to_vec()).unwrap();
            let settings = Settings { penalty: 0.11 * state.factor, ..Settings::default() };
            let (losses, _) = sae.gradient(&x, &settings, &mut Workspace::default()).unwrap();
            let penalties = anneal.next_exponent(1.0, &state, step).map(|next| {
                let (codes, norms) = (sae.dictionary().encode(&x).unwrap(), sae.penalty_norms());
                [p, next].map(|p| PNorm { p, ..now }.of_codes(&codes, &norms))
            });
            p = anneal.observe(1.0, &mut state, step, penalties).unwrap_or(p);
            // The library keeps its exponents and the means of its queue in single precision.
            let numbers = [(p, 1), (0.11 * state.factor, 3), (losses.sparsity, 4), (losses.total, 5)];
            for (ours, column) in numbers {
                let off = (ours - theirs[column]).abs();
                assert!(off <= 1e-8 + 1e-6 * theirs[column].abs(), "step {step} column {column}: {ours}");
            }
        }
        assert_eq!(state.stage, 3, "the last stage lies after the case");
    }

    #[test]
    fn too_many_active_latents_raise_the_penalty() {
        let target = TargetL0 { l0: 10.0, gain: 0.1 };
        assert!(target.change(20.0) > 1.0 && target.change(5.0) < 1.0);
        assert_eq!((target.change(10.0), target.change(1e9)), (1.0, 0.1f64.exp()));
    }
}
