//! The inputs that all passes of a step share.

use crate::float::Float;
use crate::members::aux_k::AuxScale;
use crate::members::choices::PullOver;
use crate::members::member::Member;
use crate::members::rule::{Constants, RowFactors, Rule};
use crate::step::settings::Settings;
use crate::weights::Weights;
use collimate_tensor::{Scalar, sum_of_squares};
use ndarray::{ArrayView2, s};

/// The member, its constants and the settings of one step.
pub(crate) struct Task<'a, F: Float> {
    pub(crate) rule: &'a dyn Rule<F>,
    pub(crate) member: Member,
    pub(crate) constants: &'a Constants<F>,
    pub(crate) settings: &'a Settings<'a>,
    /// The number of rows of the batch.
    pub(crate) rows: usize,
    /// The number of latents.
    pub(crate) n_latents: usize,
    /// True if the blocks run on the calling thread.
    pub(crate) serial: bool,
}

impl<F: Float> Task<'_, F> {
    /// Returns the factors of a row with the given slope of its penalty.
    pub(crate) fn factors(&self, slope: F) -> RowFactors<F> {
        RowFactors {
            slope,
            per_row: F::from_f64(1.0 / self.rows as f64),
            lambda: F::from_f64(self.settings.penalty),
            pulls: self.member.trains_norms,
            two: self.member.second.is_some(),
        }
    }

    /// Returns true if dead latents take part.
    pub(crate) fn revives(&self) -> bool {
        self.member.aux.is_some() && !self.settings.dead.is_empty()
    }
}

impl Member {
    /// Returns the latents at which the groups of the auxiliary loss end.
    ///
    /// There is one group for each level if the auxiliary loss is measured by levels, otherwise one for all latents.
    pub(crate) fn group_ends(&self, n_latents: usize) -> Vec<u32> {
        let of_level = self.aux.is_some_and(|aux| aux.scale == AuxScale::FewDeadOfLevel);
        match self.levels {
            Some(levels) if of_level => levels.widths().to_vec(),
            _ => vec![n_latents as u32],
        }
    }

    /// Returns the width of the rows that are encoded.
    pub(crate) fn input_width<F: Scalar>(&self, weights: &Weights<F>) -> usize {
        weights.w_enc.ncols() / if self.untied { 2 } else { 1 }
    }

    /// Returns the gate rows of the encoder: each row, or its first half if the magnitude path is untied.
    pub(crate) fn gate_rows<'a, F: Scalar>(&self, weights: &'a Weights<F>) -> ArrayView2<'a, F> {
        weights.w_enc.slice(s![.., ..self.input_width(weights)])
    }

    /// Computes the norms of the decoder rows (added up over layers), or ones if the member does not use them.
    pub(crate) fn norms<F: Scalar>(&self, weights: &Weights<F>, norms: &mut Vec<F>) {
        norms.clear();
        if !self.uses_norms() {
            norms.resize(weights.w_dec.nrows(), F::one());
            return;
        }
        let part = weights.w_dec.ncols() / self.layers;
        for row in weights.w_dec.rows() {
            let row = row.to_slice().expect("rows are contiguous");
            norms.push(row.chunks(part).map(|part| sum_of_squares(part).sqrt()).sum());
        }
    }
}

impl<F: Float> Constants<F> {
    /// Computes the constants of a step.
    pub(crate) fn set(
        &mut self,
        rule: &dyn Rule<F>,
        member: &Member,
        weights: &Weights<F>,
        settings: &Settings<'_>,
    ) {
        rule.all_constants(weights, &mut self.vectors);
        member.norms(weights, &mut self.norms);
        let (weighted, lambda) = (member.norm_weighted, F::from_f64(settings.penalty));
        self.penalty.clear();
        self.penalty.extend(self.norms.iter().map(|&norm| if weighted { lambda * norm } else { lambda }));
        let Some(pull) = member.pre_activation else { return };
        let coefficient = F::from_f64(pull.coefficient);
        let weight = |latent: u32| coefficient * self.norms[latent as usize];
        let n = self.norms.len();
        self.vectors[2].clear();
        match pull.over {
            PullOver::All => self.vectors[2].extend((0..n as u32).map(weight)),
            PullOver::Dead => {
                self.vectors[2].resize(n, F::zero());
                for &latent in settings.dead {
                    self.vectors[2][latent as usize] = weight(latent);
                }
            }
        }
    }
}
