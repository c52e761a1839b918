use crate::members::relu::select_above;
use crate::members::rule::{Contribution, Entry, Row, Rule, Scratch};
use crate::{AuxK, BatchTopK, Float, InputBias, Ranking, Sae, SaeError, Variant};
use collimate_tensor::{Scalar, sum_of_squares};
use ndarray::Array2;

/// The crosscoder: one code for several layers, or for the same layer of several models, each with its own encoder and
/// decoder.
///
/// ```text
/// f = ReLU(Σ_l W_enc^l x^l + b_enc)       x̂^l = W_dec^lᵀ f + b_dec^l       ω_i = Σ_l ‖d_i^l‖
/// L = Σ_l ‖x^l − x̂^l‖² + λ Σ_i f_i ω_i                                     (L1)
/// L = Σ_l ‖x^l − x̂^l‖² + α·AuxK, the ⌊k·B⌋ largest f_i ω_i of the batch kept  (BatchTopK; f_i itself is decoded)
/// ```
/// A row is the concatenation of the layers, `d_model` = layers · d, and so are the rows of both matrices: with one
/// layer it is the dictionary with norm weights. `b_dec` is not subtracted from the input; the decoder is free.
///
/// # References
/// Lindsey et al. (Anthropic, October 2024), "Sparse Crosscoders for Cross-Layer Features and Model Diffing"; Minder et
/// al. (2025) for the BatchTopK form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crosscoder {
    /// How many layers a row concatenates.
    pub layers: usize,
    /// What keeps the codes sparse.
    pub sparsity: CrosscoderSparsity,
}

/// What keeps the codes of a crosscoder sparse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CrosscoderSparsity {
    /// The penalty λ Σ f_i Σ_l ‖d_i^l‖.
    L1,
    /// The largest f_i Σ_l ‖d_i^l‖ of a batch.
    BatchTopK {
        /// How many latents a row uses on average.
        k: f64,
        /// The auxiliary loss that revives dead latents.
        aux: Option<AuxK>,
        /// The threshold on f_i Σ_l ‖d_i^l‖ that encodes rows one by one.
        threshold: Option<f64>,
    },
}

impl Crosscoder {
    /// Under the L1 penalty.
    pub const fn l1(layers: usize) -> Self {
        Self { layers, sparsity: CrosscoderSparsity::L1 }
    }

    /// k latents a row on average, without the auxiliary loss.
    pub const fn batch_topk(layers: usize, k: f64) -> Self {
        Self { layers, sparsity: CrosscoderSparsity::BatchTopK { k, aux: None, threshold: None } }
    }

    /// The selection of the BatchTopK form.
    pub(crate) fn batch(&self) -> Option<BatchTopK> {
        match self.sparsity {
            CrosscoderSparsity::L1 => None,
            CrosscoderSparsity::BatchTopK { k, aux, threshold } => Some(BatchTopK {
                k,
                aux,
                threshold,
                ranking: Ranking::TimesDecoderNorm,
                input_bias: InputBias::NotSubtracted,
            }),
        }
    }
}

impl<F: Float> Rule<F> for Crosscoder {
    // The L1 form could run densely; its start is short and the sparse path serves both.
    const ELEMENTWISE: bool = false;

    fn keep(&self, rows: usize) -> Option<usize> {
        self.batch().and_then(|batch| Rule::<F>::keep(&batch, rows))
    }

    fn select(&self, row: &Row<'_, F>, scratch: &mut Scratch<F>, out: &mut Vec<Entry<F>>) {
        match self.batch() {
            Some(batch) => batch.select(row, scratch, out),
            None => {
                let (bias, found) = (row.constants[0], &mut scratch.latents);
                select_above(row.products, bias, F::zero(), found, |latent, pre, bias| {
                    out.push(Entry { latent: latent as u32, pre, code: pre + bias, ..Entry::default() });
                });
            }
        }
    }

    fn amount(&self, entry: &Entry<F>, norm: F) -> (F, F) {
        match self.sparsity {
            CrosscoderSparsity::L1 => (entry.code * norm, F::one()),
            CrosscoderSparsity::BatchTopK { .. } => (F::zero(), F::zero()),
        }
    }

    fn local(&self, _: [F; 3], entry: &mut Entry<F>, dot: F, _: F, penalty: F) {
        entry.d_code = dot + dot + penalty * entry.slope;
    }

    fn norm_pull(&self, _: [F; 3], entry: &Entry<F>, _: F, lambda: F) -> F {
        lambda * entry.slope * entry.code
    }

    fn contribution(&self, _: [F; 3], entry: &Entry<F>) -> Contribution<F> {
        Contribution::plain(entry)
    }
}

impl<F: Scalar> Sae<F> {
    /// The norms ‖d_i^l‖ of the parts of each decoder row of a crosscoder.
    ///
    /// # Shapes
    /// `[n, layers]`
    ///
    /// # Errors
    /// [`SaeError::Unsupported`] for another architecture.
    pub fn layer_norms(&self) -> Result<Array2<f64>, SaeError> {
        let Variant::Crosscoder(crosscoder) = self.variant() else {
            let architecture = self.variant().name();
            return Err(SaeError::Unsupported { operation: "the norms of layers", architecture });
        };
        let decoder = &self.weights().w_dec;
        let width = decoder.ncols() / crosscoder.layers;
        Ok(Array2::from_shape_fn((decoder.nrows(), crosscoder.layers), |(i, layer)| {
            let row = decoder.row(i);
            let row = row.as_slice().expect("rows are contiguous");
            sum_of_squares(&row[layer * width..(layer + 1) * width]).sqrt().to_f64()
        }))
    }

    /// How much of each latent of a crosscoder belongs to one of two layers (or models) `a` and `b`.
    ///
    /// ```text
    /// Δ_i = ½ ((‖d_i^b‖ − ‖d_i^a‖)/max(‖d_i^a‖, ‖d_i^b‖) + 1)
    /// ```
    /// 0: only in `a`, ½: in both alike, 1: only in `b`. ½ for a latent with no decoder in either.
    ///
    /// # Errors
    /// [`SaeError::Unsupported`] for another architecture, [`SaeError::OutOfRange`] for a layer that does not exist.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{Crosscoder, Sae, Size};
    /// use collimate_stream::RngStream;
    /// let size = Size { d_model: 4, n_latents: 1 };
    /// let sae = Sae::<f64>::new(Crosscoder::l1(2), size, &mut RngStream::new(1, 0))?;
    /// let mut weights = sae.into_weights();
    /// weights.w_dec.row_mut(0).assign(&ndarray::array![3.0, 4.0, 0.0, 0.0]);
    /// let sae = Sae::from_weights(Crosscoder::l1(2), weights)?;
    /// assert_eq!(sae.relative_decoder_norms(0, 1)?, ndarray::array![0.0]);
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    ///
    /// # References
    /// Minder et al. (2025), "Robustly identifying concepts introduced during chat fine-tuning using crosscoders". (Quoted
    /// from memory of the paper: its text could not be read.)
    pub fn relative_decoder_norms(&self, a: usize, b: usize) -> Result<ndarray::Array1<f64>, SaeError> {
        let norms = self.layer_norms()?;
        if let Some(&layer) = [a, b].iter().find(|&&layer| layer >= norms.ncols()) {
            let given = layer as f64;
            return Err(SaeError::OutOfRange {
                name: "layer",
                expected: "below the number of layers",
                given,
            });
        }
        Ok(norms
            .rows()
            .into_iter()
            .map(|row| {
                let largest = row[a].max(row[b]);
                if largest > 0.0 { 0.5 * ((row[b] - row[a]) / largest + 1.0) } else { 0.5 }
            })
            .collect())
    }
}
