use crate::Scalar;

/// Replaces every entry by its exponential, accurate within 2 units in the last place.
///
/// # Examples
/// ```
/// let mut x = [0.0_f64, f64::NEG_INFINITY];
/// collimate_tensor::exp_in_place(&mut x);
/// assert_eq!(x, [1.0, 0.0]);
/// ```
pub fn exp_in_place<F: Scalar>(x: &mut [F]) {
    F::exp_kernel(x);
}

/// Applies the exact Gaussian error linear unit in place: x·Φ(x) = ½x(1 + erf(x/√2)).
///
/// # Examples
/// ```
/// let mut x = [1.0_f64];
/// collimate_tensor::gelu_erf(&mut x);
/// assert!((x[0] - 0.841_344_746_068_543).abs() < 1e-15);
/// ```
///
/// # References
/// Hendrycks and Gimpel (2016).
pub fn gelu_erf<F: Scalar>(x: &mut [F]) {
    F::gelu_erf_kernel(x);
}

/// Applies the tanh approximation of the Gaussian error linear unit in place: ½x(1 + tanh(√(2/π)(x + 0.044715x³))).
///
/// It differs from [`gelu_erf`] by up to 5·10⁻⁴. Use the one that the model was trained with.
///
/// # Examples
/// ```
/// let mut x = [1.0_f64];
/// collimate_tensor::gelu_tanh(&mut x);
/// assert!((x[0] - 0.841_191_990_608_277).abs() < 1e-14);
/// ```
///
/// # References
/// Hendrycks and Gimpel (2016), section 2.
pub fn gelu_tanh<F: Scalar>(x: &mut [F]) {
    F::gelu_tanh_kernel(x);
}

/// Applies the sigmoid linear unit (swish with β = 1) in place: x/(1 + e⁻ˣ).
///
/// # Examples
/// ```
/// let mut x = [0.0_f64, 1.0];
/// collimate_tensor::silu(&mut x);
/// assert!(x[0] == 0.0 && (x[1] - 0.731_058_578_630_005).abs() < 1e-15);
/// ```
///
/// # References
/// Elfwing, Uchibe and Doya (2017).
pub fn silu<F: Scalar>(x: &mut [F]) {
    F::silu_kernel(x);
}

/// Computes the gate of a SwiGLU layer: outᵢ = silu(gateᵢ)·upᵢ.
///
/// # Panics
/// If the three slices have different lengths.
///
/// # Examples
/// ```
/// let mut out = [0.0_f64];
/// collimate_tensor::silu_times(&[1.0], &[2.0], &mut out);
/// assert!((out[0] - 1.462_117_157_260_01).abs() < 1e-14);
/// ```
///
/// # References
/// Shazeer (2020), eq. 6.
pub fn silu_times<F: Scalar>(gate: &[F], up: &[F], out: &mut [F]) {
    assert!(gate.len() == out.len() && up.len() == out.len(), "silu_times: slices of different lengths");
    F::silu_times_kernel(gate, up, out);
}
