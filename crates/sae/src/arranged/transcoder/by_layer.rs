use super::layer::TranscoderLayer;
use super::layered::LayeredTranscoder;
use crate::arranged::arrangement::{all_finite, check_shape};
use crate::error::SaeError;
use collimate_measure::ensure;
use collimate_tensor::{Scalar, SparseRows, matmul_into};
use ndarray::{Array3, ArrayRef2, Axis, s};

impl<F: Scalar> LayeredTranscoder<F> {
    /// Returns the predictions of `rows` rows without active latents and without skips: the decoder biases, `[layer, b, d_out]`.
    pub fn biases(&self, rows: usize) -> Array3<F> {
        let mut out = Array3::zeros((self.layers.len(), rows, self.d_out()));
        for (layer, mut of_layer) in self.layers.iter().zip(out.outer_iter_mut()) {
            of_layer += &layer.b_dec;
        }
        out
    }

    /// Computes the codes of one layer, and adds what they write and what the skip of the layer passes on to the predictions.
    ///
    /// Calls for all layers in ascending order, from [`LayeredTranscoder::biases`] on, compute [`LayeredTranscoder::forward`]. A run of a
    /// model can take the prediction of a layer as soon as it has been added, before the inputs of later layers are known.
    ///
    /// # Shapes
    /// `x` `[b, d_in]`; `out` `[layer, b, d_out]`; the result has b rows and n columns.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for a layer that does not exist; as [`LayeredTranscoder::encode`].
    ///
    /// # Determinism
    /// The bits are those of [`LayeredTranscoder::forward`].
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{LayerActivation, LayeredTranscoder, Reach, TranscoderLayer};
    /// use ndarray::{Array3, array};
    /// let layer = |outputs: usize| TranscoderLayer {
    ///     w_enc: array![[1.0, 0.0]],
    ///     b_enc: array![0.0],
    ///     activation: LayerActivation::Relu,
    ///     w_dec: Array3::from_elem((1, outputs, 1), 10.0),
    ///     b_dec: array![0.5],
    ///     w_skip: None,
    /// };
    /// let transcoder = LayeredTranscoder::new(vec![layer(2), layer(1)], Reach::LaterLayers)?;
    /// let mut out = transcoder.biases(1);
    /// transcoder.add_layer(0, &array![[3.0, 9.0]], &mut out)?;
    /// assert_eq!(out, array![[[30.5]], [[30.5]]]);
    /// transcoder.add_layer(1, &array![[1.0, 9.0]], &mut out)?;
    /// assert_eq!(out, array![[[30.5]], [[40.5]]]);
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    pub fn add_layer(
        &self,
        layer: usize,
        x: &ArrayRef2<F>,
        out: &mut Array3<F>,
    ) -> Result<SparseRows<F>, SaeError> {
        let codes = self.encode_layer(layer, x)?;
        check_shape("out", &[self.layers.len(), x.nrows(), self.d_out()], out.shape())?;
        self.write(layer, &codes, out)?;
        if let Some(skip) = &self.layers[layer].w_skip {
            matmul_into(F::one(), x, &skip.t(), F::one(), &mut out.index_axis_mut(Axis(0), layer))?;
        }
        Ok(codes)
    }

    /// Computes the codes of one layer.
    ///
    /// # Shapes
    /// `x` `[b, d_in]`; the result has b rows and n columns.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for a layer that does not exist; as [`LayeredTranscoder::encode`].
    ///
    /// # Determinism
    /// The bits are those of [`LayeredTranscoder::encode`].
    pub fn encode_layer(&self, layer: usize, x: &ArrayRef2<F>) -> Result<SparseRows<F>, SaeError> {
        let found = self.layer(layer)?;
        check_shape("x", &[x.nrows(), self.d_in()], x.shape())?;
        all_finite("x", x)?;
        found.encode(x)
    }

    /// Returns the parameters of a layer, or an error if it does not exist.
    pub(super) fn layer(&self, layer: usize) -> Result<&TranscoderLayer<F>, SaeError> {
        ensure(layer < self.layers.len(), "layer", "below the number of layers", layer as f64)?;
        Ok(&self.layers[layer])
    }

    /// Adds what the codes of a layer write to its own and to later layers.
    pub(super) fn write(
        &self,
        layer: usize,
        codes: &SparseRows<F>,
        out: &mut Array3<F>,
    ) -> Result<(), SaeError> {
        let rows = out.len_of(Axis(1));
        check_shape("codes", &[rows, self.n_latents()], &[codes.n_rows(), codes.n_columns()])?;
        let (w_dec, d) = (&self.layers[layer].w_dec, self.d_out());
        let outputs = w_dec.len_of(Axis(1));
        let flat = w_dec.view().into_shape_with_order((self.n_latents(), outputs * d));
        let written = codes.decode(&flat.expect("standard layout"))?;
        for m in 0..outputs {
            let mut to = out.index_axis_mut(Axis(0), layer + m);
            to += &written.slice(s![.., m * d..(m + 1) * d]);
        }
        Ok(())
    }
}
