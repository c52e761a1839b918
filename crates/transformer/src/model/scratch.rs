//! Memory that runs share, one after the other.

use crate::config::Config;
use ndarray::Array2;
use std::sync::{Mutex, PoisonError};

/// Runs `work` on a thread of the pool, so that the many parallel steps inside do not each have to enter it.
pub(super) fn in_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    if rayon::current_thread_index().is_some() { work() } else { rayon::scope(|_| work()) }
}

/// The arrays that a layer writes, kept from run to run: fresh memory costs as much as a product.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) normed: Array2<f32>,
    pub(super) query_key_value: Array2<f32>,
    pub(super) z: Array2<f32>,
    pub(super) added: Array2<f32>,
    pub(super) gate_up: Array2<f32>,
    pub(super) hidden: Array2<f32>,
}

/// The scratch of finished runs, for the next ones.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Scratch>>);

impl Pool {
    /// Returns scratch for at least `rows` rows.
    pub(super) fn take(&self, c: &Config, rows: usize) -> Scratch {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scratch = free.unwrap_or_default();
        if scratch.normed.nrows() < rows {
            let heads = c.n_heads * c.d_head;
            // A row length that is a multiple of 1 KiB would put all rows into few sets of the first-level cache.
            let hidden = if c.d_ff.is_multiple_of(256) { c.d_ff + 16 } else { c.d_ff };
            scratch = Scratch {
                normed: Array2::zeros((rows, c.d_model)),
                query_key_value: Array2::zeros((rows, heads + 2 * c.n_key_heads * c.d_head)),
                z: Array2::zeros((rows, heads)),
                added: Array2::zeros((rows, c.d_model)),
                gate_up: Array2::zeros((rows, 2 * c.d_ff)),
                hidden: Array2::zeros((rows, hidden)),
            };
        }
        scratch
    }

    /// Takes scratch back for the next run.
    pub(super) fn give_back(&self, scratch: Scratch) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }
}
