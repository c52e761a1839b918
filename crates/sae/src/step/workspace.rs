//! The buffers of a step, kept between steps so that none is allocated twice.

use crate::float::Float;
use crate::members::rule::{Entry, Rule, Scratch};
use crate::step::buffer_pool::BufferPool;
use crate::step::latents::{self, LatentBlock};
use crate::step::{ROW_BLOCK, SERIAL, Settings};
use crate::step::{batch, dense};
use crate::{PullOver, Sae, Variant, Weights};
use collimate_tensor::{PackedMatrix, Scalar, sum_of_squares};
use ndarray::Array2;

/// Sums over the rows of one block.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RowSums {
    pub(crate) residual2: f64,
    pub(crate) aux2: f64,
    pub(crate) revive2: f64,
    pub(crate) inner: f64,
    pub(crate) extra: f64,
    pub(crate) active: u64,
    pub(crate) input2: f64,
    pub(crate) input_residual: f64,
}

/// What belongs to one block of rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowBlock<F> {
    pub(crate) entries: Vec<Entry<F>>,
    /// Where the entries of each row end.
    pub(crate) ends: Vec<u32>,
    /// Where the entries of each row and latent block begin: `cuts[row * (blocks + 1) + block]`.
    pub(crate) cuts: Vec<u32>,
    /// The same of the dead latents, where there is an auxiliary loss.
    pub(crate) dead_entries: Vec<Entry<F>>,
    pub(crate) dead_ends: Vec<u32>,
    pub(crate) dead_cuts: Vec<u32>,
    /// Σ q of each row, later the derivative of its penalty with respect to that.
    pub(crate) penalties: Vec<F>,
    pub(crate) scratch: Scratch<F>,
    pub(crate) sums: RowSums,
    pub(crate) residual_sum: Vec<F>,
    pub(crate) aux_sum: Vec<F>,
    pub(crate) column_sums: Vec<F>,
    /// Rows of numbers, one a latent, that are not kept.
    pub(crate) columns: [Vec<F>; 3],
}

/// The buffers of a step, kept between steps so that none is allocated twice.
#[derive(Clone, Debug)]
pub struct Workspace<F: Scalar> {
    /// x − b_dec, or x.
    pub(crate) input: Array2<F>,
    /// The encoder products, where those of a whole batch are needed together.
    pub(crate) products: Array2<F>,
    /// The encoder, packed for products with a few rows, where they are not.
    pub(crate) packed: Option<PackedMatrix<F>>,
    /// The encoder products of the rows of a task.
    pub(crate) tiles: BufferPool<Vec<F>>,
    /// x̂ − y.
    pub(crate) residual: Array2<F>,
    /// The residual of the second decode.
    pub(crate) aux: Array2<F>,
    /// What the dead latents leave of the residual, or of the residual of each level.
    pub(crate) revive: Array2<F>,
    /// The suffix sums of the residuals of nested levels, level by level.
    pub(crate) suffix: Array2<F>,
    pub(crate) constants: [Vec<F>; 3],
    /// λ times the weight of each latent in the penalty.
    pub(crate) penalty: Vec<F>,
    pub(crate) decoder_norm: Vec<F>,
    pub(crate) rows: Vec<RowBlock<F>>,
    pub(crate) latents: Vec<LatentBlock<F>>,
    pub(crate) dense: dense::Buffers<F>,
    /// α over the variance of the residual, or what takes its place.
    pub(crate) aux_scale: F,
    pub(crate) ranked: Vec<batch::Ranked<F>>,
    pub(crate) active: Vec<bool>,
    pub(crate) serial: bool,
}

impl<F: Scalar> Default for Workspace<F> {
    fn default() -> Self {
        let empty = || Array2::zeros((0, 0));
        Self {
            input: empty(),
            products: empty(),
            packed: None,
            tiles: BufferPool::default(),
            residual: empty(),
            aux: empty(),
            revive: empty(),
            suffix: empty(),
            constants: Default::default(),
            penalty: Vec::new(),
            decoder_norm: Vec::new(),
            rows: Vec::new(),
            latents: Vec::new(),
            dense: dense::Buffers::default(),
            aux_scale: F::zero(),
            ranked: Vec::new(),
            active: Vec::new(),
            serial: true,
        }
    }
}

impl<F: Float> Workspace<F> {
    /// Which latents were active in the last batch.
    pub fn active(&self) -> &[bool] {
        &self.active
    }

    pub(crate) fn prepare<R: Rule<F>>(
        &mut self,
        rule: &R,
        sae: &Sae<F>,
        rows: usize,
        settings: &Settings<'_>,
    ) {
        let variant = sae.variant();
        let (n, d) = sae.weights().w_dec.dim();
        let resize = |a: &mut Array2<F>, shape: (usize, usize)| {
            if a.dim() != shape {
                *a = Array2::zeros(shape);
            }
        };
        let only_if = |wanted: bool, rows: usize| if wanted { (rows, d) } else { (0, d) };
        resize(&mut self.input, (rows, sae.input_width()));
        let at_once = if tiled(rule, rows) { 0 } else { rows };
        resize(&mut self.products, (at_once, n));
        resize(&mut self.residual, (rows, d));
        resize(&mut self.aux, only_if(rule.second().is_some(), rows));
        let revived = variant.revival_ends(n).len() * rows;
        resize(&mut self.revive, only_if(variant.aux().is_some() && !settings.dead.is_empty(), revived));
        let levels = variant.levels().map_or(0, |levels| levels.len());
        resize(&mut self.suffix, only_if(levels > 0, levels * rows));
        self.rows.resize_with(rows.div_ceil(ROW_BLOCK), RowBlock::default);
        self.latents.resize_with(n.div_ceil(latents::BLOCK), LatentBlock::default);
        self.active.resize(n, false);
        self.serial = rows * n < SERIAL;
        set_constants(rule, sae.weights(), &mut self.constants);
        set_norms(variant, sae.weights(), &mut self.decoder_norm);
        let (weighted, lambda) = (variant.norm_weighted(), F::from_f64(settings.penalty));
        self.penalty.clear();
        self.penalty
            .extend(self.decoder_norm.iter().map(|&norm| if weighted { lambda * norm } else { lambda }));
        if let Variant::JumpRelu(jump) = variant
            && let Some(pull) = jump.pre_activation
        {
            let coefficient = F::from_f64(pull.coefficient);
            let weight = |latent: u32| coefficient * self.decoder_norm[latent as usize];
            self.constants[2].clear();
            match pull.over {
                PullOver::All => self.constants[2].extend((0..n as u32).map(weight)),
                PullOver::Dead => {
                    self.constants[2].resize(n, F::zero());
                    for &latent in settings.dead {
                        self.constants[2][latent as usize] = weight(latent);
                    }
                }
            }
        }
    }
}

/// How far the rows of a tile of products lie apart: not a multiple of 1 KiB, which would crowd a few sets of the cache.
pub(crate) fn stride<F>(n: usize) -> usize {
    let stride = n.next_multiple_of(16);
    if (stride * size_of::<F>()).is_multiple_of(1024) { stride + 16 } else { stride }
}

/// Whether a task may forget the products of its rows once it has selected from them. A batch that is no more than one tile
/// is not worth packing for.
pub(crate) fn tiled<F: Float, R: Rule<F>>(rule: &R, rows: usize) -> bool {
    rows > ROW_BLOCK && !R::ELEMENTWISE && rule.keep(rows).is_none()
}

/// The norms of the decoder rows (added up over layers) where the member wants them, otherwise ones.
pub(crate) fn set_norms<F: Scalar>(variant: &Variant, weights: &Weights<F>, norms: &mut Vec<F>) {
    norms.clear();
    if !variant.wants_norms() {
        norms.resize(weights.w_dec.nrows(), F::one());
        return;
    }
    let part = weights.w_dec.ncols() / variant.layers();
    for row in weights.w_dec.rows() {
        let row = row.to_slice().expect("rows are contiguous");
        norms.push(row.chunks(part).map(|part| sum_of_squares(part).sqrt()).sum());
    }
}

pub(crate) fn set_constants<F: Float, R: Rule<F>>(
    rule: &R,
    weights: &Weights<F>,
    constants: &mut [Vec<F>; 3],
) {
    constants.iter_mut().for_each(Vec::clear);
    let n_vectors = weights.per_latent.len();
    for i in 0..weights.w_dec.nrows() {
        let mut vectors = [F::zero(); 3];
        for (value, vector) in vectors.iter_mut().zip(&weights.per_latent) {
            *value = vector[i];
        }
        for (store, value) in constants.iter_mut().zip(rule.constants(vectors)).take(n_vectors) {
            store.push(value);
        }
    }
}
