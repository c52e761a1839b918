use crate::AttentionError;
use crate::error::check_shape;
use collimate_measure::{Fingerprint, Measurement, Quantity, Unit};
use collimate_tensor::Scalar;
use ndarray::{Array2, Array3, Axis};

const SHARE: Quantity = Quantity {
    name: "rollout share",
    definition: "entry of the product over layers of the row-normalised ½(mean over heads of the pattern + identity)",
    unit: Unit::Fraction,
};

/// Computes the share of each input position in each output position, if every layer passes on half of its input and half of
/// the values it attends to.
///
/// ```text
/// Â_l = ½ (mean_h A_l + I), each row divided by its sum,   R = Â_L … Â_1
/// ```
///
/// # Shapes
/// Patterns `[h, t, t]` of each layer, the first layer first. The result is `[t, t]`, with a row for each output position.
///
/// # Errors
/// [`AttentionError::Undefined`] without a layer or a head, or when a row has no positive sum; [`AttentionError::Shape`]
/// when the layers differ in length or are not square.
///
/// # Examples
/// ```
/// use collimate_attention::circuits::rollout;
/// use ndarray::array;
/// let layer = array![[[1.0, 0.0], [1.0, 0.0]]]; // both positions look at the first
/// let two = rollout(&[layer.clone(), layer])?;
/// assert_eq!(two, array![[1.0, 0.0], [0.75, 0.25]]);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Abnar and Zuidema (2020), "Quantifying Attention Flow in Transformers".
pub fn rollout<F: Scalar>(layers: &[Array3<F>]) -> Result<Array2<f64>, AttentionError> {
    let undefined = |reason| AttentionError::Undefined { quantity: "attention rollout", reason };
    let length = layers.first().ok_or_else(|| undefined("there is no layer"))?.dim().1;
    let mut product = Array2::eye(length);
    for layer in layers {
        let heads = layer.dim().0;
        check_shape("a layer's patterns", "[h, t, t]", &[heads, length, length], layer.shape())?;
        let mean =
            layer.mapv(|x| x.to_f64()).mean_axis(Axis(0)).ok_or_else(|| undefined("a layer has no head"))?;
        let mut own = (mean + Array2::<f64>::eye(length)) * 0.5;
        for mut row in own.rows_mut() {
            let sum = row.sum();
            if sum.is_nan() || sum <= 0.0 {
                return Err(undefined("a row of a pattern with the identity has no positive sum"));
            }
            row /= sum;
        }
        product = collimate_tensor::matmul(&own, &product)?;
    }
    Ok(product)
}

/// Measures one entry of the [`rollout`]: the share of the input at `key` in the output at `query`.
///
/// # Errors
/// Like [`rollout`]; [`AttentionError::Index`] for a position that does not exist.
///
/// # Examples
/// ```
/// use collimate_attention::circuits::rollout_share;
/// let layer = ndarray::array![[[1.0, 0.0], [1.0, 0.0]]];
/// assert_eq!(rollout_share(&[layer], 1, 0)?.value, 0.5);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
pub fn rollout_share<F: Scalar>(
    layers: &[Array3<F>],
    query: usize,
    key: usize,
) -> Result<Measurement, AttentionError> {
    let rollout = rollout(layers)?;
    for (axis, index) in [("query", query), ("key", key)] {
        if index >= rollout.nrows() {
            return Err(AttentionError::Index { axis, index, length: rollout.nrows() });
        }
    }
    let place = [query.to_le_bytes(), key.to_le_bytes()].concat();
    let object = layers.iter().fold(Fingerprint::of(&place), |object, layer| {
        object.and_numbers(&layer.iter().map(|x| (*x).to_f64()).collect::<Vec<_>>())
    });
    Ok(Measurement::exact(&SHARE, rollout[[query, key]], object))
}
