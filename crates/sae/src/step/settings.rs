//! The settings and the losses of a step, and the blocks that its passes work on.

use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// The number of rows in one task.
pub(crate) const ROW_BLOCK: usize = 64;
/// The number of latents in one task.
pub(crate) const LATENT_BLOCK: usize = 256;
/// The number of products of a row with a latent below which the blocks run on the calling thread.
pub(crate) const SERIAL: usize = 1 << 15;

/// The terms of the loss of a step that do not belong to the member.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// The coefficient λ of the penalty, for a loss that sums over the dimensions and averages over the rows.
    pub penalty: f64,
    /// The latents that count as dead, ascending. Members with an auxiliary loss or a pull apply it to them.
    pub dead: &'a [u32],
    /// The largest norm of the whole gradient; a longer gradient is scaled down. It costs a second pass over the latents.
    pub clip: Option<f64>,
    /// The way in which the step is computed.
    pub path: Path,
}

/// The way in which the work after the encoder product is done. The results agree up to rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Path {
    /// Sparse, unless more than a fifth of the latents are active in a sample of the rows.
    #[default]
    Auto,
    /// On the active latents only.
    Sparse,
    /// By products over all latents. Members that compare latents with each other have no such path and stay sparse.
    Dense,
}

/// The terms of the loss of one batch, and sums from which the metrics of the batch follow.
///
/// # Units
/// Squared terms are in squared units of the normalised inputs, summed over the dimensions and averaged over the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// The loss that is minimised.
    pub total: f64,
    /// The mean over rows of ‖x − x̂‖².
    pub reconstruction: f64,
    /// The mean over rows of the penalty, without λ; zero for members without one.
    pub sparsity: f64,
    /// The auxiliary term: the gated one, AuxK without α, or the pre-activation loss of JumpReLU.
    pub auxiliary: f64,
    /// The weighted further reconstruction losses: of 4k latents (multi-TopK), of the inner levels (Matryoshka).
    pub further: f64,
    /// The mean number of active latents in a row.
    pub l0: f64,
    /// The mean over rows of ‖x‖².
    pub input_norm2: f64,
    /// The mean over rows of ‖x̂‖².
    pub output_norm2: f64,
    /// The mean over rows of x̂·x.
    pub input_output: f64,
    /// True if the dense path was taken.
    pub dense: bool,
    /// The norm of the gradient (decoder part projected) before clipping; zero if clipping is off.
    pub gradient_norm: f64,
    /// The smallest score that was kept, for members that select over the batch; zero if none was kept.
    pub smallest_kept: f64,
}

/// Runs `f` on every block, on the thread pool unless `serial`.
///
/// Only the loop over the indices is parallel code, so the thread pool's machinery is compiled once for all passes.
pub(crate) fn each<T: Send>(serial: bool, blocks: &mut [T], f: impl Fn(usize, &mut T) + Sync) {
    if serial {
        blocks.iter_mut().enumerate().for_each(|(i, block)| f(i, block));
    } else {
        let blocks: Vec<Mutex<&mut T>> = blocks.iter_mut().map(Mutex::new).collect();
        on_pool(blocks.len(), &|i| f(i, &mut blocks[i].lock().unwrap_or_else(PoisonError::into_inner)));
    }
}

fn on_pool(count: usize, task: &(dyn Fn(usize) + Sync)) {
    (0..count).into_par_iter().for_each(task);
}
