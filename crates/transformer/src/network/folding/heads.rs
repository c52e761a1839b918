//! The weights of one head, for the circuits of `collimate_attention`.

use super::gains::Gains;
use crate::description::{LayerDescription, NormKind};
use crate::error::RunError;
use crate::network::Model;
use crate::parameters::{ParameterName, Part};
use crate::precision::Precision;
use collimate_attention::circuits::{Factored, ov_circuit, qk_circuit};
use collimate_measure::ensure;
use collimate_tensor::Scalar;
use ndarray::{Array1, Array2, Axis, s};

/// The weights of one head as maps from the normalised stream to the stream.
///
/// ```text
/// q = x̂ W_Q + b_Q,   k = x̂ W_K + b_K,   v = x̂ W_V + b_V,   the head adds (Σ_s pattern[t, s] v_s) W_O to the stream
/// ```
/// x̂ is the normalised input of attention before gain and bias ([`Site::AttentionNormalised`](crate::Site::AttentionNormalised)), which are folded into
/// the matrices; without a norm before attention it is the stream itself. A layer norm takes the mean off x̂, so W_Q, W_K and W_V have
/// columns of mean 0 after one. A factor on what is added to the stream is folded into W_O, and a factor on rotary cosines and sines into
/// W_Q and W_K. Queries and keys are those before rotation.
///
/// # Shapes
/// W_Q, W_K and W_V `[d, e]`, their biases `[e]`, W_O `[e, d]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HeadWeights<F> {
    /// The key head that the query head reads.
    pub key_head: usize,
    /// The factor on the scores.
    pub scale: f64,
    /// The matrix of the queries.
    pub w_q: Array2<F>,
    /// The bias of the queries.
    pub b_q: Array1<F>,
    /// The matrix of the keys.
    pub w_k: Array2<F>,
    /// The bias of the keys.
    pub b_k: Array1<F>,
    /// The matrix of the values.
    pub w_v: Array2<F>,
    /// The bias of the values.
    pub b_v: Array1<F>,
    /// The output matrix.
    pub w_o: Array2<F>,
    place: String,
    /// The reason why scores are no product of two rows of the stream.
    no_qk: Option<&'static str>,
    /// The reason why what is added is no product with a row of the stream.
    no_ov: Option<&'static str>,
}

impl<F: Precision> HeadWeights<F> {
    /// Computes the QK circuit W_Q W_Kᵀ: the score of a query row x̂ and a key row ŷ at the same position is scale · x̂ W_QK ŷᵀ, apart from
    /// the biases.
    ///
    /// # Errors
    /// [`RunError::Folding`] where queries and keys are normed by themselves, so that no such matrix exists.
    pub fn qk(&self) -> Result<Factored, RunError> {
        self.refuse("the QK circuit", self.no_qk)?;
        Ok(qk_circuit(&self.w_q, &self.w_k)?)
    }

    /// Computes the OV circuit W_V W_O: attending to a row x̂ adds x̂ W_OV to the stream, apart from the biases.
    ///
    /// # Errors
    /// [`RunError::Folding`] where a norm stands after attention, so that no such matrix exists.
    pub fn ov(&self) -> Result<Factored, RunError> {
        self.refuse("the OV circuit", self.no_ov)?;
        Ok(ov_circuit(&self.w_v, &self.w_o)?)
    }

    fn refuse(&self, circuit: &str, reason: Option<&'static str>) -> Result<(), RunError> {
        match reason {
            Some(reason) => Err(RunError::Folding { place: format!("{circuit} of {}", self.place), reason }),
            None => Ok(()),
        }
    }
}

impl<F: Precision> Model<F> {
    /// Returns the weights of a query head, with the norm before attention folded in.
    ///
    /// # Errors
    /// [`RunError::OutOfRange`] for a layer or a head that does not exist; [`RunError::Folding`] for differential attention, whose heads
    /// are subtracted in pairs and normed.
    ///
    /// # Examples
    /// Through what a head of layer 0 reaches a head of layer 1:
    /// ```
    /// use collimate_attention::circuits::{Composition, composition};
    /// use collimate_transformer::{Description, Model, RngStream};
    /// let model = Model::<f64>::random(Description::small(), &RngStream::new(1, 0));
    /// let (earlier, later) = (model.head_weights(0, 2)?, model.head_weights(1, 3)?);
    /// let score = composition(Composition::Key, &earlier.ov()?, &later.qk()?)?;
    /// assert!((score.value - 0.176).abs() < 0.05); // weights that are independent give about 1/√32
    /// assert_eq!(earlier.ov()?.dim(), (32, 32));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn head_weights(&self, layer: usize, head: usize) -> Result<HeadWeights<F>, RunError> {
        let d = &self.description;
        ensure(layer < d.layers.len(), "layer", "a layer of the model, counted from 0", layer as f64)?;
        let one = &d.layers[layer];
        let a = &one.attention;
        ensure(head < a.heads, "head", "a query head of the layer, counted from 0", head as f64)?;
        let place = format!("head {head} of layer {layer}");
        if a.differential.is_some() {
            let reason = "its output is subtracted from that of another head and normed";
            return Err(RunError::Folding { place, reason });
        }
        let parts = [Part::AttentionNormGain, Part::AttentionNormBias];
        let gains = Gains::of(self, one.attention_norm.as_ref(), Some(layer), parts);
        let key_head = head * a.key_heads / a.heads;
        let read = |part| self.read_parameter(ParameterName { layer: Some(layer), part });
        let map = |weight: Part, bias: Part, head: usize| {
            let rows = head * a.head_width..(head + 1) * a.head_width;
            let weight = read(weight).expect("every layer has the matrix");
            let own = read(bias).map(|bias| bias.slice(s![0, rows.clone()]).to_owned());
            folded(weight.slice_move(s![rows, ..]), own, &gains, one)
        };
        let (mut w_q, mut b_q) = map(Part::Query, Part::QueryBias, head);
        let (mut w_k, mut b_k) = map(Part::Key, Part::KeyBias, key_head);
        let (w_v, b_v) = map(Part::Value, Part::ValueBias, key_head);
        if let Some(rotary) = &a.rotary {
            let factor = <F as Scalar>::from_f64(rotary.frequencies(1).1);
            for w in [&mut w_q, &mut w_k] {
                w.slice_mut(s![.., ..rotary.width]).mapv_inplace(|x| x * factor);
            }
            for b in [&mut b_q, &mut b_k] {
                b.slice_mut(s![..rotary.width]).mapv_inplace(|x| x * factor);
            }
        }
        let output = read(Part::AttentionOutput).expect("every layer has the matrix");
        let columns = s![.., head * a.head_width..(head + 1) * a.head_width];
        let w_o = output.slice(columns).t().mapv(|x| x * <F as Scalar>::from_f64(one.branch_scale));
        let no_qk = a.head_norm.map(|_| "queries and keys are normed before they are multiplied");
        let no_ov = one.attention_post_norm.map(|_| "a norm stands between the output matrix and the stream");
        Ok(HeadWeights { key_head, scale: a.scale, w_q, b_q, w_k, b_k, w_v, b_v, w_o, place, no_qk, no_ov })
    }
}

/// Returns a matrix `[e, d]` as the map `[d, e]` of the normalised input, and its bias.
fn folded<F: Precision>(
    weight: Array2<F>,
    bias: Option<Array1<F>>,
    gains: &Gains<F>,
    layer: &LayerDescription,
) -> (Array2<F>, Array1<F>) {
    let mut all = bias.unwrap_or_else(|| Array1::zeros(weight.nrows()));
    if let Some(bias) = &gains.bias {
        all += &weight.dot(bias);
    }
    let mut map = weight.reversed_axes().as_standard_layout().into_owned();
    if let Some(gain) = &gains.gain {
        map *= &gain.view().insert_axis(Axis(1));
    }
    if layer.attention_norm.is_some_and(|norm| norm.kind == NormKind::Layer) {
        let mean = map.sum_axis(Axis(0)) / <F as Scalar>::from_f64(map.nrows() as f64);
        map -= &mean;
    }
    (map, all)
}
