use crate::Scalar;

/// Computes the root-mean-square normalisation of one row.
///
/// ```text
/// outᵢ = xᵢ / √(mean(x²) + ε) · gainᵢ
/// ```
///
/// The result does not depend on the scale of a row: a row whose squares overflow or underflow is divided by its largest entry
/// first. A row with NaN gives NaN. In a row with an infinite entry that entry gives NaN and the finite entries give 0. A row of
/// zeros with ε = 0 has no direction and gives NaN.
///
/// # Panics
/// If the slices have different lengths.
///
/// # Examples
/// ```
/// let mut out = [0.0_f64; 2];
/// collimate_tensor::rms_norm_into(&[3.0, 4.0], &[1.0, 2.0], 0.0, &mut out);
/// assert!((out[1] - 8.0 / 12.5_f64.sqrt()).abs() < 1e-15);
/// let mut out = [0.0_f32; 4];
/// collimate_tensor::rms_norm_into(&[1e19; 4], &[1.0; 4], 1e-5, &mut out); // 1e38 is finite, its double is not
/// assert_eq!(out, [1.0; 4]);
/// ```
///
/// # References
/// Zhang and Sennrich (2019), eq. 4.
pub fn rms_norm_into<F: Scalar>(x: &[F], gain: &[F], epsilon: F, out: &mut [F]) {
    assert!(x.len() == gain.len() && x.len() == out.len(), "rms_norm_into: slices of different lengths");
    F::rms_norm_kernel(x, gain, epsilon, out);
}

/// Computes the layer normalisation of one row.
///
/// ```text
/// outᵢ = (xᵢ − mean x) / √(var x + ε) · gainᵢ + biasᵢ,   var with divisor d
/// ```
///
/// Like [`rms_norm_into`], it does not depend on the scale of a row. A row of equal entries with ε = 0 gives NaN.
///
/// # Panics
/// If the slices have different lengths.
///
/// # Examples
/// ```
/// let mut out = [0.0_f64; 2];
/// collimate_tensor::layer_norm_into(&[1.0, 3.0], &[1.0, 1.0], &[0.0, 5.0], 0.0, &mut out);
/// assert_eq!(out, [-1.0, 6.0]);
/// ```
///
/// # References
/// Ba, Kiros and Hinton (2016).
pub fn layer_norm_into<F: Scalar>(x: &[F], gain: &[F], bias: &[F], epsilon: F, out: &mut [F]) {
    let n = x.len();
    assert!(
        gain.len() == n && bias.len() == n && out.len() == n,
        "layer_norm_into: slices of different lengths"
    );
    F::layer_norm_kernel(x, gain, bias, epsilon, out);
}
