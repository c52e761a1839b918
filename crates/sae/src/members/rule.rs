//! What one member of the family adds to the common step.

use crate::float::Float;
use crate::kernels::Ranks;
use collimate_tensor::Scalar;

/// One active latent of one row, and the gradients with respect to it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry<F> {
    /// The latent.
    pub(crate) latent: u32,
    /// The encoder product of this row and latent, without any bias (with it, where the member has only one).
    pub(crate) pre: F,
    /// The code f.
    pub(crate) code: F,
    /// The code of the second decode: ReLU(π) of a gated dictionary, the code among 4k of a multi-TopK one.
    pub(crate) gate: F,
    /// ∂(penalty of the row)/∂(the amount that is penalised).
    pub(crate) slope: F,
    /// ∂(loss of the row)/∂f.
    pub(crate) d_code: F,
    /// ∂(loss of the row)/∂π, or with respect to a threshold.
    pub(crate) d_gate: F,
}

impl<F: Scalar> Entry<F> {
    /// An entry of one path, as one that does not take part where `on` is false.
    #[inline(always)]
    pub(crate) fn of(latent: usize, pre: F, code: F, on: bool) -> (Self, bool) {
        let code = if on { code } else { F::zero() };
        (Self { latent: latent as u32, pre, code, ..Self::default() }, on)
    }
}

/// What an entry adds to the gradients of its latent.
#[derive(Clone, Copy)]
pub(crate) struct Contribution<F> {
    /// To the encoder row, as a multiple of the centred input.
    pub(crate) encoder: F,
    /// To the encoder row of an untied magnitude path.
    pub(crate) magnitude: F,
    /// To the decoder row, as a multiple of the residual of the first decode.
    pub(crate) decoder: F,
    /// To the decoder row, as a multiple of the residual of the second decode.
    pub(crate) decoder_aux: F,
    /// To the vectors with one entry a latent.
    pub(crate) per_latent: [F; 3],
}

impl<F: Scalar> Contribution<F> {
    /// What every member with one path, one decode and one bias adds.
    pub(crate) fn plain(entry: &Entry<F>) -> Self {
        Self {
            encoder: entry.d_code,
            magnitude: F::zero(),
            decoder: entry.code + entry.code,
            decoder_aux: F::zero(),
            per_latent: [entry.d_code, F::zero(), F::zero()],
        }
    }

    pub(crate) fn times(self, factor: F) -> Self {
        Self {
            encoder: self.encoder * factor,
            magnitude: self.magnitude * factor,
            decoder: self.decoder * factor,
            decoder_aux: self.decoder_aux * factor,
            per_latent: self.per_latent.map(|g| g * factor),
        }
    }
}

/// The constants of all latents, as slices; those that a member does not have are empty.
pub(crate) type Vectors<'a, F> = [&'a [F]; 3];

/// Buffers of one row's selection, kept so that a step allocates nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch<F> {
    pub(crate) kept: Vec<(u32, F)>,
    pub(crate) best: Vec<(u32, F)>,
    pub(crate) values: Vec<F>,
    pub(crate) latents: Vec<u32>,
    pub(crate) first: Vec<F>,
    pub(crate) second: Vec<F>,
    pub(crate) ranks: Ranks<F>,
}

/// What a row of encoder products is read with.
pub(crate) struct Row<'a, F> {
    /// The products, one a latent.
    pub(crate) products: &'a [F],
    pub(crate) constants: Vectors<'a, F>,
    /// The norms of the decoder rows where the member wants them, otherwise ones.
    pub(crate) norms: &'a [F],
    /// The centred input of the row.
    pub(crate) input: &'a [F],
    /// The encoder rows, for a second path that is computed where it is needed.
    pub(crate) encoder: &'a [F],
    /// Members that select over the batch: only what exceeds this.
    pub(crate) above: F,
}

/// A member of the family: how a row of encoder products becomes entries, and how an entry sends its gradient back.
pub(crate) trait Rule<F: Float>: Sync {
    /// Whether a latent's activity depends on its own product only, so that a dense path exists.
    const ELEMENTWISE: bool;

    /// The weight of a second decode in the loss, where there is one.
    fn second(&self) -> Option<F> {
        None
    }

    /// How many entries a batch of so many rows keeps, for members that select over the batch.
    fn keep(&self, _rows: usize) -> Option<usize> {
        None
    }

    /// What the other methods want to know of a latent; the vectors themselves unless a function of them is dearer.
    fn constants(&self, vectors: [F; 3]) -> [F; 3] {
        vectors
    }

    /// Appends the active latents of a row in ascending order.
    fn select(&self, row: &Row<'_, F>, scratch: &mut Scratch<F>, out: &mut Vec<Entry<F>>);

    /// The entry of one latent, and whether it takes part; only for elementwise members. The code and gate of one that does
    /// not are zero. (An option would cost the dense path a branch for each latent, and its loops their vectors.)
    fn activate(&self, _constants: [F; 3], _latent: usize, _product: F) -> (Entry<F>, bool) {
        unreachable!("a member that is not elementwise has no dense path")
    }

    /// The amount of an entry that the penalty weighs (before the norm of its decoder row), and what the penalty adds up
    /// for it with the derivative of that: u = amount·norm ↦ (q(u), q′(u)).
    fn amount(&self, _entry: &Entry<F>, _norm: F) -> (F, F) {
        (F::zero(), F::zero())
    }

    /// The penalty of a row from Σ q and the mean of Σ q over the batch, and its derivative with respect to the row's Σ q.
    fn penalty(&self, row: F, _batch: F) -> (F, F) {
        (row, F::one())
    }

    /// Sets the gradients of an entry from the products of its decoder row with the two residuals. `penalty` is λ times
    /// the norm; the slope of the entry is set.
    fn local(&self, constants: [F; 3], entry: &mut Entry<F>, dot: F, dot_aux: F, penalty: F);

    /// ∂(loss of the row)/∂‖d_i‖ through the penalty, for members whose penalty trains the decoder.
    fn norm_pull(&self, _constants: [F; 3], _entry: &Entry<F>, _norm: F, _lambda: F) -> F {
        F::zero()
    }

    /// A term of the loss that only this entry makes.
    fn extra(&self, _constants: [F; 3], _entry: &Entry<F>) -> F {
        F::zero()
    }

    /// What an entry adds to its latent, per row of the batch.
    fn contribution(&self, constants: [F; 3], entry: &Entry<F>) -> Contribution<F>;
}
