//! The rule of a member: how a row of encoder products becomes codes, and how a code sends its gradient back.
//!
//! A member writes formulas for one entry. The passes of a step call the methods for a whole row, so that each call
//! through `dyn Rule` is followed by a loop that knows the member.

use crate::Weights;
use crate::float::Float;
use crate::kernels::selection::Ranks;
use collimate_tensor::Scalar;

/// One active latent of one row, and the gradients with respect to it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry<F> {
    /// The latent.
    pub(crate) latent: u32,
    /// The encoder product of this row and latent: without any bias, or with it if the member has only one.
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
    /// Returns an entry with a single path; its code is zero if `on` is false.
    #[inline(always)]
    pub(crate) fn of(latent: usize, pre: F, code: F, on: bool) -> (Self, bool) {
        let code = if on { code } else { F::zero() };
        (Self { latent: latent as u32, pre, code, ..Self::default() }, on)
    }
}

/// The amounts that an entry adds to the gradients of its latent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Contribution<F> {
    /// The coefficient of the centred input in the encoder row.
    pub(crate) encoder: F,
    /// The coefficient of the centred input in the encoder row of an untied magnitude path.
    pub(crate) magnitude: F,
    /// The coefficient of the residual of the first decode in the decoder row.
    pub(crate) decoder: F,
    /// The coefficient of the residual of the second decode in the decoder row.
    pub(crate) decoder_aux: F,
    /// The terms of the vectors with one entry a latent.
    pub(crate) per_latent: [F; 3],
}

impl<F: Scalar> Contribution<F> {
    /// Returns the contribution for a member with one path, one decode and one bias.
    #[inline(always)]
    pub(crate) fn plain(entry: &Entry<F>) -> Self {
        Self {
            encoder: entry.d_code,
            magnitude: F::zero(),
            decoder: entry.code + entry.code,
            decoder_aux: F::zero(),
            per_latent: [entry.d_code, F::zero(), F::zero()],
        }
    }

    /// Returns the contribution with every amount multiplied by `factor`.
    #[inline(always)]
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

/// The contribution of one entry, with its latent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share<F> {
    pub(crate) latent: u32,
    /// True if the code is not zero.
    pub(crate) active: bool,
    pub(crate) amounts: Contribution<F>,
    /// ∂(loss)/∂‖d‖ through the penalty.
    pub(crate) norm_pull: F,
}

/// The constants of all latents, as slices; a vector that the member does not have is empty.
pub(crate) type Vectors<'a, F> = [&'a [F]; 3];

/// The numbers of all latents that do not change within a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Constants<F> {
    /// The values of [`Rule::constants`].
    pub(crate) vectors: [Vec<F>; 3],
    /// The norms of the decoder rows (added up over layers) if the member uses them, otherwise ones.
    pub(crate) norms: Vec<F>,
    /// λ times the weight of each latent in the penalty.
    pub(crate) penalty: Vec<F>,
}

impl<F: Scalar> Constants<F> {
    /// Returns the constants of one latent; a constant that the member does not have is zero.
    #[inline(always)]
    pub(crate) fn of(&self, latent: usize) -> [F; 3] {
        [0, 1, 2].map(|j| self.vectors[j].get(latent).copied().unwrap_or(F::zero()))
    }
}

/// The buffers of one row's selection, kept so that a step allocates nothing.
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

/// The inputs of a row's selection.
pub(crate) struct Row<'a, F> {
    /// The encoder products, one a latent.
    pub(crate) products: &'a [F],
    pub(crate) constants: Vectors<'a, F>,
    /// The norms of the decoder rows if the member uses them, otherwise ones.
    pub(crate) norms: &'a [F],
    /// The centred input of the row.
    pub(crate) input: &'a [F],
    /// The encoder rows, for a second path that is computed only for active latents.
    pub(crate) encoder: &'a [F],
    /// The bound that a score must exceed, for members that select over the batch.
    pub(crate) above: F,
}

/// The numbers of the latents in one stretch of the dense path, one a latent each.
#[derive(Clone, Copy)]
pub(crate) struct Stretch<'a, F> {
    /// The constants of the member; zeros for constants that it does not have.
    pub(crate) constants: Vectors<'a, F>,
    /// The norms of the decoder rows if the member uses them, otherwise ones.
    pub(crate) norms: &'a [F],
    /// λ times the weight of each latent in the penalty.
    pub(crate) penalty: &'a [F],
}

/// The numbers of a row in one stretch of the dense path that `contribute` changes, one a latent each.
pub(crate) struct Columns<'a, F> {
    /// In: the products with the first residual. Out: the coefficients of the input.
    pub(crate) dots: &'a mut [F],
    /// In: the products with the second residual. Out: the coefficients of the second residual.
    pub(crate) gates: &'a mut [F],
    /// Out: the coefficients of the first residual.
    pub(crate) codes: &'a mut [F],
    /// The sums over rows of the gradients of the three vectors.
    pub(crate) vectors: [&'a mut [F]; 3],
    /// The sums of the coefficients of the input.
    pub(crate) encoder: &'a mut [F],
    /// The sums of the pulls on the decoder norms.
    pub(crate) pull: &'a mut [F],
    /// The numbers of rows in which the latents were active.
    pub(crate) active: &'a mut [F],
}

/// The numbers that all entries of a row share.
#[derive(Clone, Copy)]
pub(crate) struct RowFactors<F> {
    /// The derivative of the row's penalty with respect to Σ q.
    pub(crate) slope: F,
    /// One over the number of rows.
    pub(crate) per_row: F,
    pub(crate) lambda: F,
    /// True if the penalty has a gradient with respect to the decoder norms.
    pub(crate) pulls: bool,
    /// True if there is a second decode.
    pub(crate) two: bool,
}

/// The formulas of a member, as the passes of a step use them.
pub(crate) trait Rule<F: Float>: Sync {
    /// Returns the methods of the dense path, if a latent's activity depends on its own product only.
    fn dense(&self) -> Option<&dyn DenseRows<F>> {
        None
    }

    /// Returns the number of entries that a batch of `rows` rows keeps, for members that select over the batch.
    fn keep(&self, _rows: usize) -> Option<usize> {
        None
    }

    /// Computes the constants of a latent from its vectors; the vectors themselves unless a function of them is costly.
    fn constants(&self, vectors: [F; 3]) -> [F; 3] {
        vectors
    }

    /// Appends the active latents of a row in ascending order.
    fn select(&self, row: &Row<'_, F>, scratch: &mut Scratch<F>, out: &mut Vec<Entry<F>>);

    /// Returns the penalty of an entry and its slope: q(u) and q′(u), with u the penalised amount times the norm.
    #[inline]
    fn amount(&self, _entry: &Entry<F>, _norm: F) -> (F, F) {
        (F::zero(), F::zero())
    }

    /// Returns the penalty of a row from Σ q and the mean of Σ q over the batch, and its derivative with respect to Σ q.
    fn penalty(&self, row: F, _batch: F) -> (F, F) {
        (row, F::one())
    }

    /// Sets the gradients of an entry from the products of its decoder row with the two residuals.
    ///
    /// `penalty` is λ times the norm. The slope of the entry is already set.
    fn local(&self, constants: [F; 3], entry: &mut Entry<F>, dot: F, dot_aux: F, penalty: F);

    /// Returns ∂(loss of the row)/∂‖d_i‖ through the penalty, for members whose penalty trains the decoder.
    #[inline]
    fn norm_pull(&self, _constants: [F; 3], _entry: &Entry<F>, _norm: F, _lambda: F) -> F {
        F::zero()
    }

    /// Returns the term of the loss that depends on this entry alone.
    #[inline]
    fn extra(&self, _constants: [F; 3], _entry: &Entry<F>) -> F {
        F::zero()
    }

    /// Returns the amounts that an entry adds to the gradients of its latent, for one row.
    fn contribution(&self, constants: [F; 3], entry: &Entry<F>) -> Contribution<F>;

    /// Computes the constants of all latents.
    fn all_constants(&self, weights: &Weights<F>, out: &mut [Vec<F>; 3]) {
        out.iter_mut().for_each(Vec::clear);
        let n_vectors = weights.per_latent.len();
        for i in 0..weights.w_dec.nrows() {
            let mut vectors = [F::zero(); 3];
            for (value, vector) in vectors.iter_mut().zip(&weights.per_latent) {
                *value = vector[i];
            }
            for (store, value) in out.iter_mut().zip(self.constants(vectors)).take(n_vectors) {
                store.push(value);
            }
        }
    }

    /// Sets the slopes of the entries of a row and returns Σ q.
    fn weigh(&self, entries: &mut [Entry<F>], norms: &[F]) -> F {
        let mut sum = F::zero();
        for entry in entries {
            let (q, slope) = self.amount(entry, norms[entry.latent as usize]);
            sum += q;
            entry.slope = slope;
        }
        sum
    }

    /// Completes the entries of a row: their slopes and gradients, given the products of their decoder rows with the residuals.
    ///
    /// `dots_aux` is empty without a second decode. The terms of [`Rule::extra`] are added to `extra`.
    fn complete(
        &self,
        constants: &Constants<F>,
        row: RowFactors<F>,
        entries: &mut [Entry<F>],
        [dots, dots_aux]: [&[F]; 2],
        extra: &mut f64,
    ) {
        for (i, entry) in entries.iter_mut().enumerate() {
            let latent = entry.latent as usize;
            let own = constants.of(latent);
            let dot_aux = if row.two { dots_aux[i] } else { F::zero() };
            entry.slope *= row.slope;
            self.local(own, entry, dots[i], dot_aux, constants.penalty[latent]);
            *extra += self.extra(own, entry).to_f64();
        }
    }

    /// Replaces `out` by the shares of complete entries of one row.
    ///
    /// The entries carry the slope of the row already; that of `row` is not used.
    fn shares(
        &self,
        constants: &Constants<F>,
        row: RowFactors<F>,
        entries: &[Entry<F>],
        out: &mut Vec<Share<F>>,
    ) {
        out.clear();
        out.extend(entries.iter().map(|entry| {
            let latent = entry.latent as usize;
            let own = constants.of(latent);
            let norm_pull = if row.pulls {
                self.norm_pull(own, entry, constants.norms[latent], row.lambda) * row.per_row
            } else {
                F::zero()
            };
            let amounts = self.contribution(own, entry).times(row.per_row);
            Share { latent: entry.latent, active: entry.code != F::zero(), amounts, norm_pull }
        }));
    }
}

/// A member whose latents do not depend on each other, so that a step can run over all of them.
pub(crate) trait Elementwise<F: Float>: Rule<F> {
    /// Returns the entry of one latent, and whether it takes part. If it does not, its code and gate are zero.
    ///
    /// (An option would cost the dense path a branch for each latent, and its loops their vectors.)
    fn activate(&self, constants: [F; 3], latent: usize, product: F) -> (Entry<F>, bool);
}

/// The dense path, a row at a time.
pub(crate) trait DenseRows<F: Float>: Sync {
    /// Computes the codes of a row: see the kernel `activate`.
    fn activate_row(
        &self,
        products: &[F],
        of: &Stretch<'_, F>,
        codes: &mut [F],
        gates: &mut [F],
        amounts: &mut [F],
        extras: &mut [F],
    ) -> u32;

    /// Computes the amounts that a row adds to the gradients: see the kernel `contribute`.
    fn contribute_row(
        &self,
        products: &[F],
        of: &Stretch<'_, F>,
        row: RowFactors<F>,
        columns: Columns<'_, F>,
    );
}
