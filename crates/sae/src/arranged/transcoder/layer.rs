use crate::arranged::arrangement::{all_finite, check_shape};
use crate::arranged::products::{codes, positive};
use crate::error::SaeError;
use collimate_measure::ensure;
use collimate_tensor::{Scalar, SparseRows, top_k};
use ndarray::{Array1, Array2, Array3, ArrayRef2};

/// The activation of a layer.
#[derive(Clone, Debug, PartialEq)]
pub enum LayerActivation<F> {
    /// a = ReLU(z).
    Relu,
    /// `a = z·1[z > θ]`, with a threshold `[n]` for each latent. A negative threshold lets negative codes through.
    JumpRelu(Array1<F>),
    /// The k largest entries of z. They keep their signs.
    TopK(usize),
}

/// The parameters of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct TranscoderLayer<F> {
    /// The encoder directions `[n, d_in]`, one latent a row.
    pub w_enc: Array2<F>,
    /// The encoder bias `[n]`.
    pub b_enc: Array1<F>,
    /// The activation.
    pub activation: LayerActivation<F>,
    /// The decoder directions `[n, layers written to, d_out]`, the own layer first.
    pub w_dec: Array3<F>,
    /// The decoder bias `[d_out]` of the output of this layer.
    pub b_dec: Array1<F>,
    /// The linear path `[d_out, d_in]` from the input to the output of this layer, if there is one.
    pub w_skip: Option<Array2<F>>,
}

impl<F: Scalar> TranscoderLayer<F> {
    /// Brings every array into row order, and returns an error for other shapes, NaN and infinity.
    pub(super) fn checked(mut self, [n, d_in, d_out]: [usize; 3], outputs: usize) -> Result<Self, SaeError> {
        check_shape("w_enc", &[n, d_in], self.w_enc.shape())?;
        check_shape("b_enc", &[n], self.b_enc.shape())?;
        check_shape("w_dec", &[n, outputs, d_out], self.w_dec.shape())?;
        check_shape("b_dec", &[d_out], self.b_dec.shape())?;
        self.w_enc = self.w_enc.as_standard_layout().into_owned();
        self.w_dec = self.w_dec.as_standard_layout().into_owned();
        all_finite("w_enc", &self.w_enc)?;
        all_finite("b_enc", &self.b_enc)?;
        all_finite("w_dec", &self.w_dec)?;
        all_finite("b_dec", &self.b_dec)?;
        match &self.activation {
            LayerActivation::Relu => {}
            LayerActivation::JumpRelu(threshold) => {
                check_shape("threshold", &[n], threshold.shape())?;
                all_finite("threshold", threshold)?;
            }
            LayerActivation::TopK(k) => {
                ensure((1..=n).contains(k), "k", "between 1 and the number of latents", *k as f64)?;
            }
        }
        if let Some(skip) = self.w_skip.take() {
            check_shape("w_skip", &[d_out, d_in], skip.shape())?;
            all_finite("w_skip", &skip)?;
            self.w_skip = Some(skip.as_standard_layout().into_owned());
        }
        Ok(self)
    }

    /// Computes the codes of rows `[b, d_in]`. The caller has checked the width and the numbers.
    pub(super) fn encode(&self, x: &ArrayRef2<F>) -> Result<SparseRows<F>, SaeError> {
        match &self.activation {
            LayerActivation::Relu => codes(x, &self.w_enc, &self.b_enc, positive),
            LayerActivation::JumpRelu(threshold) => codes(x, &self.w_enc, &self.b_enc, |z, kept| {
                let above = z.iter().zip(threshold).enumerate().filter(|(_, (z, theta))| *z > *theta);
                kept.extend(above.map(|(latent, (&z, _))| (latent as u32, z)));
            }),
            LayerActivation::TopK(k) => codes(x, &self.w_enc, &self.b_enc, |z, kept| top_k(z, *k, kept)),
        }
    }
}
