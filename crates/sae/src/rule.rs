//! What one member of the family adds to the common step.

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
    /// The code of the second decode: ReLU(π) of a gated dictionary.
    pub(crate) gate: F,
    /// ∂(loss of the row)/∂f.
    pub(crate) d_code: F,
    /// ∂(loss of the row)/∂π.
    pub(crate) d_gate: F,
}

/// What an entry adds to the gradients of its latent.
#[derive(Clone, Copy)]
pub(crate) struct Contribution<F> {
    /// To the encoder row, as a multiple of the centred input.
    pub(crate) encoder: F,
    /// To the decoder row, as a multiple of the residual of the first decode.
    pub(crate) decoder: F,
    /// To the decoder row, as a multiple of the residual of the second decode.
    pub(crate) decoder_aux: F,
    /// To the vectors with one entry a latent.
    pub(crate) per_latent: [F; 3],
}

/// The constants of all latents, as slices; those that a member does not have are empty.
pub(crate) type Vectors<'a, F> = [&'a [F]; 3];

/// Buffers of one row's selection, kept so that a step allocates nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch<F> {
    pub(crate) kept: Vec<(u32, F)>,
    pub(crate) values: Vec<F>,
}

/// A member of the family: how a row of encoder products becomes entries, and how an entry sends its gradient back.
pub(crate) trait Rule<F: Scalar>: Sync {
    /// Whether there is a second decode with its own residual.
    const TWO_DECODES: bool;
    /// Whether a latent's activity depends on its own product only, so that a dense path exists.
    const ELEMENTWISE: bool;

    /// What the other methods want to know of a latent; the vectors themselves unless a function of them is dearer.
    fn constants(&self, vectors: [F; 3]) -> [F; 3] {
        vectors
    }

    /// Appends the active latents of a row in ascending order.
    fn select(
        &self,
        constants: Vectors<'_, F>,
        products: &mut [F],
        scratch: &mut Scratch<F>,
        out: &mut Vec<Entry<F>>,
    );

    /// The entry of one latent, if it is active; only for elementwise members.
    fn activate(&self, constants: [F; 3], latent: usize, product: F) -> Option<Entry<F>>;

    /// Sets the gradients of an entry from the products of its decoder row with the two residuals.
    fn local(&self, entry: &mut Entry<F>, dot: F, dot_aux: F, penalty: F);

    /// The amount of an entry that the sparsity penalty weighs.
    fn penalised(&self, entry: &Entry<F>) -> F;

    /// What an entry adds to its latent, per row of the batch.
    fn contribution(&self, constants: [F; 3], entry: &Entry<F>) -> Contribution<F>;
}
