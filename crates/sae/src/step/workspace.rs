//! The buffers of a step.

use crate::float::Float;
use crate::members::rule::Constants;
use crate::step::code_block::Codes;
use crate::step::dense;
use crate::step::gather::LatentBlock;
use crate::step::inputs::Inputs;
use crate::step::residuals::Residuals;
use crate::step::settings::LATENT_BLOCK;
use crate::step::task::Task;
use collimate_tensor::Scalar;
use ndarray::Array2;

/// The buffers of a step, kept between steps so that none is allocated twice.
#[derive(Clone, Debug, Default)]
pub struct Workspace<F: Scalar> {
    pub(crate) constants: Constants<F>,
    pub(crate) passes: Passes<F>,
}

/// The outputs of the passes of a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passes<F: Scalar> {
    pub(crate) inputs: Inputs<F>,
    pub(crate) codes: Codes<F>,
    pub(crate) residuals: Residuals<F>,
    pub(crate) dense: dense::Buffers<F>,
    pub(crate) latents: Vec<LatentBlock<F>>,
    pub(crate) active: Vec<bool>,
}

impl<F: Float> Workspace<F> {
    /// Returns which latents were active in the last batch.
    pub fn active(&self) -> &[bool] {
        &self.passes.active
    }

    /// Returns the residuals x̂ − y of the last batch.
    pub(crate) fn residuals(&self) -> &Array2<F> {
        &self.passes.residuals.first
    }

    /// Returns the residuals of the second decode of the last batch.
    pub(crate) fn second_residuals(&self) -> &Array2<F> {
        &self.passes.residuals.second
    }
}

impl<F: Float> Passes<F> {
    /// Sets the shapes for a batch of rows of width `d`.
    pub(crate) fn resize(&mut self, task: &Task<'_, F>, d: usize) {
        self.residuals.resize(task, d);
        self.latents.resize_with(task.n_latents.div_ceil(LATENT_BLOCK), LatentBlock::default);
        self.active.resize(task.n_latents, false);
    }
}
